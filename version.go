// Package galaxy holds what the whole module shares: the version of TensorFlow
// it is built for.
//
// The program is cmd/galaxy. docs/architecture.md lists the packages.
package galaxy

import (
	_ "embed"
	"strings"
)

//go:embed TENSORFLOW_VERSION
var tensorFlowVersion string

// TensorFlowVersion returns the version of libtensorflow this module is built
// for, such as "2.21.0". The file TENSORFLOW_VERSION is its only source: the
// fetch script and the Makefile read the same one.
func TensorFlowVersion() string {
	return strings.TrimSpace(tensorFlowVersion)
}
