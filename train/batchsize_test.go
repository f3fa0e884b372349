package train

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/graph/session"
)

// The batch found fits, the next larger candidate does not, and few batches are tried.
func TestSearchBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.IntRange(1, 16).Draw(t, "unit")
		limit := rapid.IntRange(unit, 70000).Draw(t, "limit")
		largest := rapid.IntRange(0, 80000).Draw(t, "largest")
		first := rapid.IntRange(1, limit).Draw(t, "first")
		tried := map[int]bool{}
		got, err := searchBatch(unit, first, limit, func(batch int) (bool, error) {
			if tried[batch] || batch < unit || batch > limit || batch%unit != 0 {
				t.Errorf("%d was tried, of multiples of %d up to %d; tried before: %v", batch, unit, limit, tried)
			}
			tried[batch] = true
			return batch <= largest, nil
		})
		if best := min(largest, limit) / unit * unit; best == 0 {
			if err == nil || !strings.Contains(err.Error(), "no batch fits") {
				t.Errorf("%d, %v: expected that none fits", got, err)
			}
		} else if err != nil || got > best || best-got > max(unit, best/16) || !tried[got] {
			t.Errorf("%d, %v: expected at most %d, and no less than a sixteenth below", got, err, best)
		}
		if len(tried) > 24 {
			t.Errorf("%d batches were tried", len(tried))
		}
	})
	failed := errors.New("no such device")
	if _, err := searchBatch(1, 32, 100, func(int) (bool, error) { return false, failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, expected the error of the trial", err)
	}
}

func TestExplainMemory(t *testing.T) {
	oom := fmt.Errorf("step 7: %w", errors.New("OOM when allocating tensor with shape[2048,2,2,4608] and type bfloat16 on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc\n\t [[{{node x}}]]\nHint: …"))
	p := &setup{devices: []string{"/device:CPU:0"}}
	p.Config.Batch, p.Config.Accumulate = 96, 2
	err := p.explainMemory(context.Background(), oom, nil)
	for _, want := range []string{"out of memory with a batch of 96 on /device:CPU:0", "a smaller batch", "accumulate 4", "step 7: OOM when allocating tensor"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: expected %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "Hint") || !session.IsOutOfMemory(err) {
		t.Errorf("%v: expected one line, and still an error for want of memory", err)
	}
	// The error of cuDNN's kernels.
	p.Config.Batch = 544
	cudnn := errors.New("2 root error(s) found.\n  (0) NOT_FOUND: No algorithm worked!  Error messages:\n  Profiling failure on CUDNN engine eng25{}: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 48.27MiB. [tf-allocator-allocation-error='']\n\t [[{{node x}}]]")
	if err := p.explainMemory(context.Background(), cudnn, nil); err == nil || !strings.Contains(err.Error(), "out of memory with a batch of 544") {
		t.Errorf("%v: expected an error for want of memory", err)
	}
	other := errors.New("disk full")
	if !errors.Is(p.explainMemory(context.Background(), other, nil), other) || p.explainMemory(context.Background(), nil, nil) != nil {
		t.Error("another error was changed")
	}
}
