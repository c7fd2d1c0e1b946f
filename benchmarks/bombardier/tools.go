//go:build tools

// Package tools names bombardier, so that go.mod pins it and go.sum all it is built from.
package tools

import _ "github.com/codesenberg/bombardier"
