package graph

import (
	"math"
	"path/filepath"
	"testing"

	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
)

// TestGPU compares training steps on the first GPU, in every precision, with and
// without XLA, with steps of the CPU in float32. It also skips a step.
func TestGPU(t *testing.T) {
	found, err := session.HasGPU(session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Skip("TensorFlow finds no GPU here")
	}
	cfg := testTrainerConfig(64, 32)
	cfg.Model.Arch, cfg.Model.Align, cfg.SkipNonFinite = network.Default, true, true
	cfg.Augment = images.Augment{Rotate: 30, Flip: true, Shift: .05, Zoom: 1.2, Brightness: .1, Contrast: .1, Color: .1}
	const steps = 4
	on := func(device string, p network.Precision, xla bool) TrainerConfig {
		c := cfg
		c.Devices, c.Model.Precision = []string{device}, p
		c.Session = session.Config{GPUMemory: "growth", XLA: xla}
		return c
	}
	want := lossesOf(t, newTestTrainer(t, on("/device:CPU:0", network.Float32, false)), 0, steps)
	for _, c := range []struct {
		precision network.Precision
		tolerance float64 // relative; float32 on a GPU is TF32, of 10 bits, inside a convolution
	}{{network.Float32, 2e-3}, {network.BFloat16, 2e-2}, {network.Float16, 5e-3}} {
		for name, xla := range map[string]bool{"": false, " XLA": true} {
			t.Run(string(c.precision)+name, func(t *testing.T) {
				tr := newTestTrainer(t, on("/device:GPU:0", c.precision, xla))
				got := lossesOf(t, tr, 0, steps)
				for i := range got {
					if math.Abs(got[i]-want[i]) > c.tolerance*want[i] {
						t.Errorf("step %d: loss %v, on the CPU %v", i, got[i], want[i])
					}
				}
				skipStep(t, tr, cfg, steps)
				// A checkpoint written on a GPU restores on a CPU.
				prefix := filepath.Join(t.TempDir(), "variables")
				if err := tr.Save(prefix); err != nil {
					t.Fatal(err)
				}
				cpu := newTestTrainer(t, on("/device:CPU:0", network.Float32, false))
				if err := cpu.Restore(prefix); err != nil {
					t.Fatal(err)
				}
				a, b := lossesOf(t, tr, steps, 1)[0], lossesOf(t, cpu, steps, 1)[0]
				if math.Abs(a-b) > c.tolerance*b {
					t.Errorf("after a restore on the CPU: loss %v, on the GPU %v", b, a)
				}
			})
		}
	}
}
