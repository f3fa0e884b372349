//go:build !linux

package session

// TrimMemory does nothing here: only glibc has to be asked.
func TrimMemory() {}
