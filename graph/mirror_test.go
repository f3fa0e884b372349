package graph

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	graphpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/graph_go_proto"
	nodepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/node_def_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
	"google.golang.org/protobuf/proto"
)

// underRace reports whether the tests run under the race detector.
var underRace bool

// skipUnderRace skips a long test in which the race detector finds no more than in
// other tests.
func skipUnderRace(t *testing.T, why string) {
	if underRace {
		t.Skip(why)
	}
}

func cpus(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("/device:CPU:%d", i))
	}
	return names
}

// lossesOf runs n steps with rising rates, as in a warm-up, and returns the losses.
func lossesOf(t *testing.T, tr *Trainer, from, n int64) (losses []float64) {
	t.Helper()
	for i := from; i < from+n; i++ {
		images, labels := testBatch(tr.setup.TrainerConfig, uint64(i))
		out, err := tr.Step(StepInput{Batch: Batch{Images: images, Labels: labels}, Step: i, Seed: 3, LearningRate: 2e-5 * float64(i+1)})
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, out.Loss)
	}
	return losses
}

func replicaNodes(t *testing.T, r *replica) []*nodepb.NodeDef {
	t.Helper()
	var def graphpb.GraphDef
	if err := proto.Unmarshal(r.def, &def); err != nil {
		t.Fatal(err)
	}
	return def.Node
}

// nudge moves every weight of the model up by one unit in the last place.
func nudge(t *testing.T, tr *Trainer) {
	t.Helper()
	s := op.NewScopeWithGraph(tr.replicas[0].graph).SubScope("nudge").WithDevice(session.HostDevice)
	var ops []*tf.Operation
	for _, v := range tr.vars {
		if v.Trainable {
			vs := s.SubScope("value")
			up := op.Bitcast(vs.SubScope("back"), op.AddV2(vs, op.Bitcast(vs, tr.reads[v.Name], tf.Int32), tg.Const(vs, int32(1))), tf.Float)
			for _, r := range tr.replicas {
				ops = append(ops, assign(vs, []tf.Output{r.output(network.HandleNode(v.Name))}, up)...)
			}
		}
	}
	if _, err := tr.sess.Run(nil, nil, []*tf.Operation{session.Group(s, "all", ops)}); err != nil {
		t.Fatal(err)
	}
}

func largestGap(a, b []float64) (gap float64) {
	for i := range a {
		gap = max(gap, math.Abs(a[i]-b[i]))
	}
	return gap
}

// replicasAgree checks that every variable has the same bits on all devices.
func replicasAgree(t *testing.T, tr *Trainer) {
	t.Helper()
	var first network.Weights
	for i, r := range tr.replicas {
		reads := map[string]tf.Output{}
		for _, v := range tr.vars {
			reads[v.Name] = r.output(network.ReadNode(v.Name))
		}
		w, err := readWeights(tr.sess, slices.Sorted(maps.Keys(reads)), reads)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = w
		}
		for name := range w {
			if !slices.Equal(w[name], first[name]) {
				t.Errorf("%s of replica %d is not that of replica 0", name, i)
			}
		}
	}
}

// Several devices compute what one device computes in as many micro-batches.
// After 20 steps, or 10 with -short, they differ by no more than twice the difference between two
// runs of one side whose initial weights are one unit in the last place apart.
func TestMirroredEqualsMicroBatches(t *testing.T) {
	skipUnderRace(t, "it computes in one goroutine")
	steps := int64(20)
	if testing.Short() {
		steps = 10
	}
	all := []struct {
		devices int
		kind    Optimizer
	}{
		{2, Optimizer{Kind: AdamW, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: 1e-2}},
		{4, Optimizer{Kind: SGD, Momentum: .9, WeightDecay: 1e-4, ClipNorm: 1}},
		{2, Optimizer{Kind: Muon, Momentum: .9, Beta1: .9, Beta2: .999, Epsilon: 1e-8, WeightDecay: 1e-2}},
	}
	if testing.Short() {
		all = all[:1]
	}
	for _, c := range all {
		t.Run(fmt.Sprintf("%d %s", c.devices, c.kind.Kind), func(t *testing.T) {
			alone := testTrainerConfig(32, 8*c.devices)
			alone.Devices, alone.Optimizer, alone.Accumulate = cpus(1), c.kind, c.devices
			mirrored := alone
			mirrored.Devices, mirrored.Accumulate = cpus(c.devices), 1
			one, all := newTestTrainer(t, alone), newTestTrainer(t, mirrored)
			a, b := lossesOf(t, one, 0, steps), lossesOf(t, all, 0, steps)
			if gap := largestGap(a[:10], b[:10]); !(gap < 1e-5) {
				t.Errorf("the first losses differ by %v:\nin micro-batches %v\non devices       %v", gap, a[:10], b[:10])
			}
			replicasAgree(t, all)
			gap := largestGap(a, b)
			if gap == 0 {
				return // two devices and two micro-batches give the same bits: a sum of two has one order
			}
			limit := 0.0
			for _, side := range []struct {
				tr     *Trainer
				losses []float64
			}{{one, a}, {all, b}} {
				if err := side.tr.Init(1); err != nil {
					t.Fatal(err)
				}
				nudge(t, side.tr)
				limit = max(limit, 2*largestGap(side.losses, lossesOf(t, side.tr, 0, steps)))
			}
			t.Logf("largest difference of the losses %.3g, by one unit in the last place %.3g", gap, limit/2)
			if !(gap <= limit) {
				t.Errorf("losses differ by %v: expected at most %v", gap, limit)
			}
		})
	}
}

// The random draws of an example do not depend on how the batch is split, and a
// checkpoint from one number of devices resumes on another. Averaging weights
// must agree too.
func TestMirroredGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 8)
	cfg.Augment, cfg.Model.Dropout, cfg.Average = images.Augment{Rotate: 180, Flip: true, Color: .1}, .3, .9
	cfg.Devices = cpus(2)
	two := newTestTrainer(t, cfg)
	lossesOf(t, two, 0, 3)
	prefix := filepath.Join(t.TempDir(), "variables")
	if err := two.Save(prefix); err != nil {
		t.Fatal(err)
	}
	want := lossesOf(t, two, 3, 3)
	replicasAgree(t, two)
	for _, devices := range []int{1, 2} {
		cfg.Devices, cfg.Accumulate = cpus(devices), 2/devices
		other := newTestTrainer(t, cfg)
		if err := other.Restore(prefix); err != nil {
			t.Fatal(err)
		}
		replicasAgree(t, other)
		got := lossesOf(t, other, 3, 3)
		if gap := largestGap(got, want); !(gap < 1e-6) {
			t.Errorf("%d devices after a restore: losses %v, expected %v", devices, got, want)
		}
	}
}

func TestPlacement(t *testing.T) {
	t.Parallel()
	cfg := testTrainerConfig(32, 8)
	cfg.Devices, cfg.Average, cfg.Resize = cpus(2), .9, true
	tr := newTestTrainer(t, cfg)
	collectives := 0
	for _, o := range tr.replicas[0].graph.Operations() {
		if o.Type() == "CollectiveReduceV2" {
			collectives++
		}
	}
	if want := 4 * 2; collectives != want {
		t.Errorf("%d all-reduces on 2 devices: expected %d", collectives, want)
	}
	counts := map[string][]int{}
	for _, p := range tr.Placement() {
		if p.Part == "other" {
			t.Errorf("%d ops on %s are of no part", p.Ops, p.Device)
		}
		counts[p.Part] = append(counts[p.Part], p.Ops)
		if p.Part == "input" && p.Device != session.HostDevice {
			t.Errorf("%d input ops are on %s", p.Ops, p.Device)
		}
	}
	counts["update"][0] -= 3 // the targets of all replicas together, on the host
	for _, part := range []string{"forward", "gradients", "all-reduce", "update", "variables"} {
		if n := counts[part]; len(n) < 2 || n[0] != n[1] {
			t.Errorf("%s: %v ops, expected as many on each of 2 devices", part, n)
		}
	}

	def, err := session.Def(tr.replicas[0].graph)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, op, device string }{
		{"replica_1/backward/", "Conv2DBackpropFilter", ""}, // would be a gradient built in the outer graph
		{"replica_1/train/", "Conv2D", "/device:CPU:0"},
		{"replica_0/optimizer/", "ResourceApplyKerasMomentum", "/device:CPU:1"},
		{"images", "Placeholder", "/device:CPU:1"},
		{"save/", "SaveV2", ""},
	} {
		i := slices.IndexFunc(def.Node, func(n *nodepb.NodeDef) bool { return n.Op == c.op && strings.HasPrefix(n.Name, c.name) })
		if i < 0 {
			t.Fatalf("there is no %s under %s", c.op, c.name)
		}
		was := def.Node[i].Device
		def.Node[i].Device = c.device
		if _, err := placement(def.Node, session.HostDevice, cfg.Devices); err == nil || !strings.Contains(err.Error(), def.Node[i].Name) || !strings.Contains(err.Error(), was) {
			t.Errorf("%s on %q: got %v, expected an error that names it and %s", def.Node[i].Name, c.device, err, was)
		}
		def.Node[i].Device = was
	}
	if _, err := placement(def.Node, session.HostDevice, cfg.Devices); err != nil {
		t.Error(err)
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		batch, devices, accumulate int
		want                       string
	}{
		{7, 2, 0, "multiple of 2"},
		{2, 4, 1, "multiple of 4"},
		{12, 2, 4, "multiple of 8"},
		{8, 1, -1, "accumulate -1"},
		{4, 4, 1, "at least 2 examples"},
	} {
		cfg := testTrainerConfig(8, c.batch) // one pixel is left of each image
		cfg.Devices, cfg.Accumulate = cpus(c.devices), c.accumulate
		if tr, err := NewTrainer(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, %v, expected an error with %q", c, tr, err, c.want)
		}
	}
}
