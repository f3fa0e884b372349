package savedmodel

import (
	"slices"
	"strings"
	"testing"

	"galaxy/graph/network"
)

// A model's needs decide whether it opens, with or without a warning.
func TestMetadataCheck(t *testing.T) {
	for _, c := range []struct {
		name         string
		m            Metadata
		has          []Need
		warning, err string
	}{
		{name: "float32", m: Metadata{Precision: network.Float32}},
		{name: "bfloat16", m: Metadata{Precision: network.BFloat16}, has: []Need{BFloat16}},
		{name: "bfloat16 elsewhere", m: Metadata{Precision: network.BFloat16}, has: []Need{OneDNN, VNNI, unlimited}, warning: "again in float32"},
		{name: "bfloat16 under a limit", m: Metadata{Precision: network.BFloat16}, has: []Need{OneDNN, VNNI}, err: "unset ONEDNN_MAX_CPU_ISA"},
		{name: "int8", m: Metadata{Precision: network.Int8, Needs: []Need{OneDNN}}, has: []Need{OneDNN}},
		{name: "int8 on Eigen's kernels", m: Metadata{Precision: network.Int8, Needs: []Need{OneDNN}}, err: "unset TF_ENABLE_ONEDNN_OPTS"},
		{name: "int8 of an older version", m: Metadata{Precision: network.Int8}, has: []Need{OneDNN}, err: "export the run again"},
		{name: "the same with VNNI", m: Metadata{Precision: network.Int8}, has: []Need{OneDNN, VNNI}},
		{name: "int8 with a stem in bfloat16", m: Metadata{Precision: network.Int8, Needs: needs(network.Int8, network.BFloat16)}, has: []Need{OneDNN, unlimited}, warning: "bfloat16"},
		{name: "of a later version", m: Metadata{Precision: network.Float32, Needs: []Need{"magic"}}, err: `needs "magic"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			warning, err := c.m.check(func(n Need) bool { return slices.Contains(c.has, n) })
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, expected %q", err, c.err)
			}
			if (warning != "") != (c.warning != "") || !strings.Contains(warning, c.warning) {
				t.Errorf("warning %q, expected %q", warning, c.warning)
			}
		})
	}
}
