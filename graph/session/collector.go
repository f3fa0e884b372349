package session

import (
	"runtime"
	"sync/atomic"
)

// A Collector forces a garbage collection after every 8 MiB of fed tensors. Tensors are in C
// memory, which only their finalizers free: Go's collector sees a few bytes of each and would
// let gigabytes accumulate. Its methods may be called concurrently.
type Collector struct{ bytes atomic.Int64 }

const collectEvery = 8 << 20

// Fed counts n bytes of tensors that nothing refers to any more.
func (c *Collector) Fed(n int) {
	if c.bytes.Add(int64(n)) >= collectEvery {
		c.bytes.Store(0)
		runtime.GC()
	}
}
