//go:build tools

// Package tools names BuildKit's daemon and client, so that go.mod pins them and go.sum all they are built from.
package tools

import (
	_ "github.com/moby/buildkit/cmd/buildctl"
	_ "github.com/moby/buildkit/cmd/buildkitd"
)
