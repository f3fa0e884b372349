package graph

import (
	"fmt"
	"slices"
	"strings"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	nodepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/node_def_go_proto"

	"galaxy/graph/session"
)

// Placed counts a training graph's ops of one purpose on one device.
type Placed struct {
	Device string `json:"device"`
	Part   string `json:"part"`
	Ops    int    `json:"ops"`
}

// parts are the parts of a training graph, in the order of a step, and the scopes
// at the root of a replica, or of the graph around it, that belong to each.
var parts = []struct {
	name   string
	scopes []string
}{
	{"input", inputScopes()},
	{"staging", []string{nodeStage, "staged", nodeHold, "held"}},
	{"variables", []string{"variable"}},
	{"forward", []string{"train", "views", "train_loss"}},
	{"gradients", []string{"backward", "filter_gradients"}},
	{"micro-batches", []string{"accumulated", nodeAccumulateFirst, nodeAccumulateMore}},
	{"all-reduce", []string{"all_reduce"}},
	{"clock", []string{nodeComputed, nodeReduced}},
	{"loss scaling", []string{"scaled_loss", "unscaled", "loss_scaling", nodeScale}},
	{"update", []string{"global_norm", nodeNorm, nodeLoss, nodeStopped, "if_finite", "optimizer", "assign_average", "average_weights", "average_rest", nodeTrain, nodeAverage, nodeBegin}},
	{"evaluation", []string{"eval", "posterior", nodeLogits, nodeProbabilities, nodeFeatures}},
	{"first values", []string{"init", "init_seed", "load"}},
	{"checkpoints", []string{"save", "restore"}},
	{"workers", []string{"share"}},
}

func inputScopes() (scopes []string) {
	for _, e := range inputs {
		scopes = append(scopes, e.name)
		if e.split {
			scopes = append(scopes, "split_"+e.name)
		}
	}
	return scopes
}

// partOf returns the part of a node by its first scope, which may end in a number.
func partOf(name string) string {
	scope, _, _ := strings.Cut(name, "/")
	base := scope
	if i := strings.LastIndexByte(scope, '_'); i >= 0 && strings.Trim(scope[i+1:], "0123456789") == "" {
		base = scope[:i]
	}
	for _, p := range parts {
		if slices.Contains(p.scopes, scope) || slices.Contains(p.scopes, base) {
			return p.name
		}
	}
	return "other"
}

// placement counts the ops of a training graph by device and part. An op on the wrong device is an error: everything of replica i belongs on device i
// and all other ops on the host, except copies of values from the host into a variable, which are on the variable's device. TensorFlow would put ops
// without a device on the first GPU.
func placement(nodes []*nodepb.NodeDef, host string, devices []string) ([]Placed, error) {
	byName := map[string]*nodepb.NodeDef{}
	for _, n := range nodes {
		byName[n.Name] = n
	}
	counts := map[Placed]int{}
	var wrong []string
	for _, n := range nodes {
		want, name := host, n.Name
		var i int
		if replica, rest, ok := strings.Cut(n.Name, "/"); ok {
			if _, err := fmt.Sscanf(replica, replicaPrefix+"%d", &i); err == nil && i < len(devices) {
				want, name = devices[i], rest
			}
		}
		if handle := byName[firstInput(n)]; n.Op == "AssignVariableOp" && handle != nil && want == host {
			want = handle.Device
		}
		if n.Device != want {
			at := n.Device
			if at == "" {
				at = "no device"
			}
			wrong = append(wrong, fmt.Sprintf("%s (%s) is on %s, not on %s", n.Name, n.Op, at, want))
		}
		counts[Placed{Device: n.Device, Part: partOf(name)}]++
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%d ops are misplaced: %s", len(wrong), strings.Join(wrong[:min(3, len(wrong))], "; "))
	}
	var placed []Placed
	for p, n := range counts {
		p.Ops = n
		placed = append(placed, p)
	}
	rank := func(p Placed) int {
		for i, part := range parts {
			if part.name == p.Part {
				return i
			}
		}
		return len(parts)
	}
	slices.SortFunc(placed, func(a, b Placed) int {
		if a.Device != b.Device {
			return slices.Index(devices, a.Device) - slices.Index(devices, b.Device)
		}
		return rank(a) - rank(b)
	})
	return placed, nil
}

// firstInput returns the name of the node that a node's first input comes from.
func firstInput(n *nodepb.NodeDef) string {
	if len(n.Input) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(n.Input[0], ":")
	return name
}

func placementOf(g *tf.Graph, host string, devices []string) ([]Placed, error) {
	def, err := session.Def(g)
	if err != nil {
		return nil, err
	}
	return placement(def.Node, host, devices)
}
