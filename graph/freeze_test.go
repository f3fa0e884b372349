package graph

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"galaxy/graph/network"

	nodepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/node_def_go_proto"
)

// reached returns the nodes that a replica's target needs.
func reached(nodes []*nodepb.NodeDef, target string) map[string]*nodepb.NodeDef {
	byName := map[string]*nodepb.NodeDef{}
	for _, n := range nodes {
		byName[n.Name] = n
	}
	found := map[string]*nodepb.NodeDef{}
	for next := []string{target}; len(next) > 0; next = next[1:] {
		name, _, _ := strings.Cut(strings.TrimPrefix(next[0], "^"), ":")
		if n := byName[name]; n != nil && found[name] == nil {
			found[name] = n
			next = append(next, n.Input...)
		}
	}
	return found
}

// A step has gradients for the layers above the frozen ones alone, runs no gradient into these, and
// changes none of their variables.
func TestFreezeInGraph(t *testing.T) {
	for _, c := range []struct {
		arch   string
		freeze network.Freeze
		// Convolutions that are trained, and those of them whose input is a frozen layer's
		// output: into that there is no gradient.
		trained, first int
		pool           int // gradients of the stem's pooling
	}{
		{small, "", 6, 1, 1}, // the stem; stage 1: two; stage 2: two and a shortcut
		{small, "stem", 5, 1, 0},
		{small, "1", 3, 2, 0},
		{small, "2", 0, 0, 0},
		{small, "all", 0, 0, 0},
		{bottlenecks, "1", 4, 2, 0},
	} {
		t.Run(fmt.Sprintf("%s %v", c.arch, c.freeze), func(t *testing.T) {
			cfg := testTrainerConfig(32, 4)
			cfg.Model.Arch, cfg.Freeze, cfg.Average = c.arch, c.freeze, .9
			p := prepared(t, cfg)
			r := mustBuild(t, cfg)
			nodes := replicaNodes(t, r)
			counts := map[string]int{}
			for _, n := range reached(nodes, nodeAverage) {
				counts[n.Op]++
			}
			for op, want := range map[string]int{
				"Conv2DBackpropFilter": c.trained, "FusedBatchNormGradV3": c.trained, "Conv2DBackpropInput": c.trained - c.first, "MaxPoolGrad": c.pool,
				"ResourceApplyKerasMomentum": 3*c.trained + 2, // kernel, gamma, beta; the head's kernel and bias
			} {
				if counts[op] != want {
					t.Errorf("a step has %d ops %s, expected %d", counts[op], op, want)
				}
			}
			net, err := network.Named(c.arch)
			if err != nil {
				t.Fatal(err)
			}
			frozen := 0
			for _, v := range r.model {
				if v.Fixed != (net.Depth(v.Name) < p.frozen) {
					t.Errorf("%s: fixed %v with %d frozen layers", v.Name, v.Fixed, p.frozen)
				}
				if !v.Fixed {
					continue
				}
				frozen++
				for _, n := range nodes {
					if slices.Contains(n.Input, network.HandleNode(v.Name)) && n.Op != "ReadVariableOp" {
						t.Errorf("%s (%s) uses the frozen %s", n.Name, n.Op, v.Name)
					}
				}
				for _, other := range slices.Concat(r.slots, r.live) {
					if strings.HasPrefix(other.Name, v.Name+"/") {
						t.Errorf("the frozen %s has %s", v.Name, other.Name)
					}
				}
			}
			if want := len(r.model) - 5*c.trained - 2; frozen != want {
				t.Errorf("%d of %d variables are frozen, expected %d", frozen, len(r.model), want)
			}
		})
	}
}

// After many steps, with weight decay, averages, micro-batches, several devices and every precision,
// frozen variables have the bits that they started with, all others have changed, and a restored
// trainer continues bit for bit.
func TestFrozenBits(t *testing.T) {
	steps := int64(100)
	if testing.Short() {
		steps = 12
	}
	all := []struct {
		freeze    network.Freeze
		precision network.Precision
		optimizer Optimizer
		average   float64
		devices   int
	}{
		{"1", network.Float16, Optimizer{Kind: AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: .5, LayerDecay: .5, ClipNorm: 1}, .9, 1},
		{"stem", network.BFloat16, Optimizer{Kind: SGD, Momentum: .9, WeightDecay: .5, LayerDecay: .9}, 0, 2},
		{"all", network.Float32, Optimizer{Kind: AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: .5}, .9, 2},
	}
	if testing.Short() {
		all = all[:2]
	}
	for _, c := range all {
		t.Run(fmt.Sprintf("%v %v", c.freeze, c.precision), func(t *testing.T) {
			t.Parallel()
			cfg := testTrainerConfig(32, 4*c.devices)
			seasoned := newTestTrainer(t, cfg) // so that batch norm's averages are not 0 and 1
			trainSteps(t, seasoned, cfg, 0, 3)
			cfg.Freeze, cfg.Model.Precision, cfg.Optimizer, cfg.Average = c.freeze, c.precision, c.optimizer, c.average
			cfg.Devices, cfg.Accumulate = cpus(c.devices), 2
			tr := newTestTrainer(t, cfg)
			before := weightsOf(t, seasoned)
			if err := tr.LoadModel(before); err != nil {
				t.Fatal(err)
			}
			trainSteps(t, tr, cfg, 0, steps)
			replicasAgree(t, tr)
			after := weightsOf(t, tr)
			for _, v := range tr.Variables() {
				if !tr.Loads(v.Name) {
					continue
				}
				if same := slices.EqualFunc(before[v.Name], after[v.Name], func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }); same != v.Fixed {
					t.Errorf("%s: frozen %v, unchanged %v", v.Name, v.Fixed, same)
				}
			}
			prefix := filepath.Join(t.TempDir(), "variables")
			if err := tr.Save(prefix); err != nil {
				t.Fatal(err)
			}
			again := newTestTrainer(t, cfg)
			if err := again.Restore(prefix); err != nil {
				t.Fatal(err)
			}
			trainSteps(t, tr, cfg, steps, steps+3)
			trainSteps(t, again, cfg, steps, steps+3)
			want := weightsOf(t, tr)
			for name, w := range weightsOf(t, again) {
				if !slices.Equal(w, want[name]) {
					t.Errorf("%s differs after a restore", name)
				}
			}
		})
	}
}

// Whatever is frozen, several devices average what is left: few values, and of very different sizes.
func TestFrozenOnSeveralDevices(t *testing.T) {
	for _, freeze := range []network.Freeze{"stem", "1", "2", "all"} {
		cfg := testTrainerConfig(32, 4)
		cfg.Freeze, cfg.Devices = freeze, cpus(2)
		tr := newTestTrainer(t, cfg)
		trainSteps(t, tr, cfg, 0, 1)
		replicasAgree(t, tr)
	}
}

// Frozen batch norm uses its moving averages: with everything frozen, the loss of a step is the loss
// of the predictions.
func TestFrozenNormUsesAverages(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 8)
	seasoned := newTestTrainer(t, cfg)
	trainSteps(t, seasoned, cfg, 0, 3)
	loss := func(freeze network.Freeze) (step, predicted float64) {
		cfg.Freeze = freeze
		tr := newTestTrainer(t, cfg)
		if err := tr.LoadModel(weightsOf(t, seasoned)); err != nil {
			t.Fatal(err)
		}
		images, labels := testBatch(cfg, 5)
		_, probabilities, err := tr.Predict(images)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range probabilities {
			predicted += float64((p - labels[i]) * (p - labels[i]))
		}
		out, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Loss, predicted / float64(len(labels))
	}
	if step, predicted := loss(network.FreezeAll); !(math.Abs(step-predicted) < 1e-6) {
		t.Errorf("all frozen: the loss of a step is %v, of the predictions %v", step, predicted)
	}
	if step, predicted := loss(network.FreezeNone); !(math.Abs(step-predicted) > 1e-4) {
		t.Errorf("nothing frozen: the loss of a step is %v, of the predictions %v, which the batch's statistics should change", step, predicted)
	}
}

// Each variable's update is LayerDecay to the power of its distance from the head times what it is
// without.
func TestLayerDecayByDepth(t *testing.T) {
	t.Parallel()
	const decay = .5
	cfg := testTrainerConfig(32, 4)
	cfg.Optimizer = Optimizer{Kind: SGD, WeightDecay: .5}
	change := func(layerDecay float64) network.Weights {
		cfg.Optimizer.LayerDecay = layerDecay
		tr := newTestTrainer(t, cfg)
		before := weightsOf(t, tr)
		trainSteps(t, tr, cfg, 0, 1)
		after := weightsOf(t, tr)
		for name, w := range after {
			for i := range w {
				w[i] -= before[name][i]
			}
		}
		return after
	}
	full, layered := change(0), change(decay)
	for name, want := range map[string]float64{
		"head/kernel": 1, "head/bias": 1, "stage2/block1/conv2/kernel": decay, "stage2/block1/shortcut/bn/gamma": decay,
		"stage1/block1/conv1/kernel": decay * decay, "stage1/block1/bn2/beta": decay * decay, "stem/conv/kernel": decay * decay * decay,
		"stem/bn/gamma": decay * decay * decay, "stem/bn/moving_mean": 1,
	} {
		var a, b float64
		for i := range full[name] {
			a, b = a+math.Abs(float64(full[name][i])), b+math.Abs(float64(layered[name][i]))
		}
		if !(a > 0 && math.Abs(b/a-want) < 1e-3) {
			t.Errorf("%s changes by %v of what it does without, expected %v", name, b/a, want)
		}
	}
}

// A head that is trained on held features is the head that is trained on images: the same losses, the
// same frozen bits, and after a restore the same bits.
func TestHeldFeatures(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 8)
	seasoned := newTestTrainer(t, cfg)
	trainSteps(t, seasoned, cfg, 0, 3)
	before := weightsOf(t, seasoned)
	cfg.Freeze, cfg.Average, cfg.Model.Dropout, cfg.Model.Align, cfg.Devices, cfg.Accumulate = network.FreezeAll, .9, .3, true, cpus(2), 2
	all, rows := cfg, 3*featuresBatch/2
	all.Batch = rows // the examples to choose from
	pixels, labels := testBatch(all, 5)
	held := cfg
	held.Held, held.HoldFeatures = rows, true
	open := func(cfg TrainerConfig) *Trainer {
		tr := newTestTrainer(t, cfg)
		if err := tr.LoadModel(before); err != nil {
			t.Fatal(err)
		}
		if cfg.HoldFeatures {
			if err := tr.Hold(bytes.NewReader(pixels)); err != nil {
				t.Fatal(err)
			}
		}
		return tr
	}
	steps := func(tr *Trainer, from, to int64) (losses []float64) {
		size, outputs := cfg.Model.Shape().Bytes(), cfg.Model.Outputs
		for step := from; step < to; step++ {
			var b Batch
			for i := range cfg.Batch {
				row := (int(step)*31 + i*7) % rows
				b.Labels = append(b.Labels, labels[row*outputs:(row+1)*outputs]...)
				if tr.setup.HoldFeatures {
					b.Rows = append(b.Rows, int64(row))
				} else {
					b.Images = append(b.Images, pixels[row*size:(row+1)*size]...)
				}
			}
			out, err := tr.Step(StepInput{Batch: b, Step: step, Seed: 7, LearningRate: .1})
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, out.Loss)
		}
		return losses
	}
	a, b := open(cfg), open(held)
	want, got := steps(a, 0, 12), steps(b, 0, 12)
	if gap := largestGap(want, got); !(gap < 1e-5) || want[0] == want[11] {
		t.Errorf("losses on held features %v, on images %v", got, want)
	}
	replicasAgree(t, b)
	after := weightsOf(t, b)
	for _, v := range b.Variables() {
		if v.Fixed && !slices.Equal(before[v.Name], after[v.Name]) {
			t.Errorf("the frozen %s has changed", v.Name)
		}
	}
	if ops := reached(replicaNodes(t, mustBuild(t, held)), nodeAverage); slices.ContainsFunc(slices.Collect(maps.Values(ops)), func(n *nodepb.NodeDef) bool { return n.Op == "Conv2D" }) {
		t.Error("a step computes convolutions")
	}
	prefix := filepath.Join(t.TempDir(), "variables")
	if err := b.Save(prefix); err != nil {
		t.Fatal(err)
	}
	again := newTestTrainer(t, held)
	if err := again.Restore(prefix); err != nil {
		t.Fatal(err)
	}
	if err := again.Hold(bytes.NewReader(pixels)); err != nil {
		t.Fatal(err)
	}
	if x, y := steps(b, 12, 15), steps(again, 12, 15); !slices.Equal(x, y) {
		t.Errorf("losses after a restore %v, expected %v", y, x)
	}
	held.Freeze = network.FreezeStem
	if _, err := NewTrainer(held); err == nil || !strings.Contains(err.Error(), "held features need") {
		t.Errorf("with trained blocks: got %v", err)
	}
}

func mustBuild(t *testing.T, cfg TrainerConfig) *replica {
	t.Helper()
	r, err := buildReplica(prepared(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
