// Package ahead fills buffers with several workers and uses them in order, so that images
// are decoded while a disk stores, or a network predicts, earlier ones.
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
	// Buffers limit the memory: each block in progress has one.
	Buffers []B
	// Workers is the number of parts filled at the same time.
	Workers int
	// Start prepares buffer b for block seq, and returns the number of parts to fill.
	// It is called for 0 to Blocks − 1 in order.
	Start func(b B, seq int) (parts int)
	// Fill fills a part, from 0 to parts − 1. Workers call it concurrently. scratch is
	// the result of the worker's last call, nil at first.
	Fill func(b B, part int, scratch []byte) []byte
	// Use is called with one block after the other, in order, once all its parts are
	// filled. An error ends the work.
	Use func(b B) error
}

// Run does the work. It waits for all workers, and returns the error of Use or of ctx.
// Blocks are started in order, so the next block to use is always in progress.
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
					parts <- part{b, i} // workers take all of them, even after an error
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
