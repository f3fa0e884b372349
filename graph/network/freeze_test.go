package network

import (
	"strings"
	"testing"
)

func TestFreeze(t *testing.T) {
	net, err := Named("resnet18")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text   string
		layers int
		err    string
	}{
		{"", 0, ""}, {"none", 0, ""}, {"stem", 1, ""}, {"1", 2, ""}, {"08", 9, ""}, {"all", 9, ""},
		{"9", 0, "freeze 9: expected none, stem, 1 to 8 blocks (of resnet18), or all"},
		{"0", 0, "expected none, stem"}, {"-1", 0, "expected none, stem"}, {"head", 0, "expected none, stem"}, {"1.5", 0, "expected none, stem"},
	} {
		var f Freeze
		err := f.UnmarshalText([]byte(c.text))
		layers := 0
		if err == nil {
			layers, err = f.Layers(net)
		}
		if layers != c.layers || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %d layers, %v; expected %d and %q", c.text, layers, err, c.layers, c.err)
		}
		if err == nil {
			var again Freeze
			if err := again.UnmarshalText([]byte(f.String())); err != nil || again != f {
				t.Errorf("%q: its text %q is read as %q, %v", c.text, f, again, err)
			}
		}
	}
}

// Every variable of every network belongs to a layer, in the order of computation, and all blocks
// have some.
func TestDepth(t *testing.T) {
	for _, net := range networks {
		depth, seen := 0, map[int]bool{}
		cfg := testConfig(64, Float32)
		cfg.Arch = net.Name
		for _, v := range variablesOf(t, cfg) {
			d := net.Depth(v.Name)
			if seen[d] = true; d < depth {
				t.Errorf("%s: %s belongs to layer %d, after layer %d", net.Name, v.Name, d, depth)
			}
			depth = d
		}
		if len(seen) != net.Head()+1 || depth != net.Head() {
			t.Errorf("%s: %d layers, the last is %d; expected %d and the head as the last", net.Name, len(seen), depth, net.Head()+1)
		}
	}
	net, err := Named("resnet101")
	if err != nil {
		t.Fatal(err)
	}
	if d := net.Depth("stage3/block10/conv1/kernel"); d != 3+4+10 {
		t.Errorf("block 10 of stage 3 is layer %d, expected 17", d)
	}
}
