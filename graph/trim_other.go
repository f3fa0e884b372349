//go:build !linux

package graph

// TrimMemory does nothing here: only glibc has to be asked.
func TrimMemory() {}
