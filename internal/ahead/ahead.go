// Package ahead fills buffers by several workers ahead of their use, and uses them in
// order: how images are decoded while a disk stores, or a network predicts, those before.
package ahead

import (
	"context"
	"sync"
)

// Work is a sequence of blocks that pass through a few buffers of type B, each filled in
// one or more parts.
type Work[B any] struct {
	// Blocks is the number of blocks.
	Blocks int
	// Buffers limit the memory: as many blocks are in work at the same time.
	Buffers []B
	// Workers is the number of parts that are filled at the same time.
	Workers int
	// Start gives a buffer to block seq, of 0 to Blocks − 1 in order, and returns the
	// number of parts to fill.
	Start func(b B, seq int) (parts int)
	// Fill fills a part, of 0 to parts − 1. Workers call it at the same time. scratch is
	// what the worker's last call has returned, nil at first.
	Fill func(b B, part int, scratch []byte) []byte
	// Use is called with one block after the other, in order, when all its parts are
	// filled. An error ends the work.
	Use func(b B) error
}

// Run does the work. It returns the error of Use, or ctx's, and not before all workers have
// ended. Blocks are started in order, so the one to use next is always among those in work.
func (w Work[B]) Run(ctx context.Context) error {
	type block struct {
		buffer B
		left   sync.WaitGroup // parts to fill
	}
	type part struct {
		block *block
		index int
	}
	ctx, cancel := context.WithCancel(ctx)
	var goroutines sync.WaitGroup
	defer goroutines.Wait()
	defer cancel()

	free, ready := make(chan *block, len(w.Buffers)), make(chan *block, len(w.Buffers))
	parts := make(chan part)
	for _, b := range w.Buffers {
		free <- &block{buffer: b}
	}
	goroutines.Go(func() {
		defer close(ready)
		defer close(parts)
		for seq := range w.Blocks {
			select {
			case b := <-free:
				n := w.Start(b.buffer, seq)
				b.left.Add(n)
				ready <- b // has room for every buffer
				for i := range n {
					parts <- part{b, i} // workers take all of them, whatever happens
				}
			case <-ctx.Done():
				return
			}
		}
	})
	for range w.Workers {
		goroutines.Go(func() {
			var scratch []byte
			for p := range parts {
				if ctx.Err() == nil {
					scratch = w.Fill(p.block.buffer, p.index, scratch)
				}
				p.block.left.Done()
			}
		})
	}
	for b := range ready {
		b.left.Wait()
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.Use(b.buffer); err != nil {
			return err
		}
		free <- b
	}
	return ctx.Err()
}
