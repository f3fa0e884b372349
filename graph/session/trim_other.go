//go:build !linux

package session

// TrimMemory does nothing on this system: only glibc keeps freed memory.
func TrimMemory() {}
