//go:build tools

// What `go mod tidy` is to keep: the commands that are built.
package tools

import (
	_ "github.com/kedacore/keda/v2/cmd/adapter"
	_ "github.com/kedacore/keda/v2/cmd/operator"
)
