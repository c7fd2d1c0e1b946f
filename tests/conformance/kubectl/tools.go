//go:build tools

// Package tools names kubectl, so that go.mod pins it and go.sum all it is built from.
package tools

import _ "k8s.io/kubernetes/cmd/kubectl"
