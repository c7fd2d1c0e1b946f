//go:build tools

// Package tools names the real Pulumi CLI, so that go.mod pins it and go.sum all it is built from.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
