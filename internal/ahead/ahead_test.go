package ahead_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"galaxy/internal/ahead"
)

type buffer struct {
	seq    int
	filled []int64 // how often each part was filled
}

// Every block is used once, in order, with every part filled once; an error or the end of
// the context ends the work early, and no worker is left running.
func TestWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.IntRange(0, 40).Draw(t, "blocks")
		parts := rapid.IntRange(0, 5).Draw(t, "parts")
		fails := rapid.IntRange(-1, 50).Draw(t, "the block whose use fails")
		stops := rapid.IntRange(-1, 50).Draw(t, "the block whose fill ends the context")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		broken := errors.New("broken")
		var working atomic.Int64
		var used []int
		w := ahead.Work[*buffer]{
			Blocks: blocks, Workers: rapid.IntRange(1, 5).Draw(t, "workers"),
			Start: func(b *buffer, seq int) int {
				b.seq, b.filled = seq, make([]int64, parts)
				return parts
			},
			Fill: func(b *buffer, part int, scratch []byte) []byte {
				working.Add(1)
				defer working.Add(-1)
				if b.seq == stops {
					cancel()
				}
				b.filled[part]++
				return append(scratch, 0)
			},
			Use: func(b *buffer) error {
				if slices.ContainsFunc(b.filled, func(n int64) bool { return n != 1 }) {
					t.Fatalf("block %d has parts filled %v times", b.seq, b.filled)
				}
				if b.seq == fails {
					return broken
				}
				used = append(used, b.seq)
				return nil
			},
		}
		for range rapid.IntRange(1, 6).Draw(t, "buffers") {
			w.Buffers = append(w.Buffers, new(buffer))
		}
		err := w.Run(ctx)
		if n := working.Load(); n != 0 {
			t.Fatalf("%d workers are left", n)
		}
		for i, seq := range used {
			if seq != i {
				t.Fatalf("the blocks were used in the order %v", used)
			}
		}
		failed := fails >= 0 && fails < blocks
		stopped := stops >= 0 && stops < blocks && parts > 0
		switch {
		case errors.Is(err, broken) && failed && len(used) == fails:
		case errors.Is(err, context.Canceled) && stopped && len(used) < blocks:
		case err == nil && !failed && len(used) == blocks: // at the latest when the last was filled
		default:
			t.Fatalf("%v after the blocks %v of %d", err, used, blocks)
		}
	})
}
