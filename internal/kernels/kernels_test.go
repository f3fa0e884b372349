package kernels

import (
	"slices"
	"strings"
	"testing"
)

func TestReadCPU(t *testing.T) {
	const cpuinfo = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9R14\ncache size\t: 1024 KB\nflags\t\t: fpu avx512f\n\n" +
		"processor\t: 1\nmodel name\t: other\ncache size\t: 7 KB\n"
	var c CPU
	c.read(cpuinfo)
	if c.Model != "AMD EPYC 9R14" || strings.Join(c.identity, ", ") != "cpu family 25, model 17, cache size 1024 KB" {
		t.Errorf("read %+v", c)
	}
	c = CPU{}
	c.read("")
	if c.Model != "" || c.identity != nil {
		t.Errorf("read %+v of nothing", c)
	}
}

// oneDNN's variable is respected, in any case, but never adds instructions that the CPU
// lacks.
func TestLargest(t *testing.T) {
	t.Setenv("ONEDNN_MAX_CPU_ISA", "")
	t.Setenv("DNNL_MAX_CPU_ISA", "")
	all := Largest()
	for _, x := range isas {
		for _, name := range []string{string(x.isa), strings.ToLower(string(x.isa))} {
			t.Setenv("ONEDNN_MAX_CPU_ISA", name)
			got := Largest()
			if rank(got) > rank(x.isa) || rank(got) > rank(all) || x.has() && got != x.isa {
				t.Errorf("%s: the largest is %s, where the CPU has %s", name, got, all)
			}
			if BFloat16() && rank(x.isa) < rank(bf16) {
				t.Errorf("%s: there are instructions for bfloat16", name)
			}
		}
	}
	// The older name is used if the newer is not set; a name between two of isas means the
	// smaller one.
	t.Setenv("ONEDNN_MAX_CPU_ISA", "")
	t.Setenv("DNNL_MAX_CPU_ISA", "sse41")
	if got := Largest(); rank(got) > rank("SSE41") {
		t.Errorf("under DNNL_MAX_CPU_ISA the largest is %s", got)
	}
	for limit, most := range smaller {
		t.Setenv("ONEDNN_MAX_CPU_ISA", string(limit))
		if got := Largest(); rank(got) > rank(most) || rank(most) < 0 {
			t.Errorf("%s: the largest is %s", limit, got)
		}
	}
	t.Setenv("DNNL_MAX_CPU_ISA", "")
	t.Setenv("ONEDNN_MAX_CPU_ISA", "nonsense")
	if got := Largest(); got != all {
		t.Errorf("the largest is %s, expected %s", got, all)
	}
}

func TestMachine(t *testing.T) {
	one, two := Machine(1), Machine(2)
	if one == two || !strings.Contains(one, "1 threads") || !strings.Contains(one, InUse()) {
		t.Errorf("%q and %q", one, two)
	}
	t.Setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
	if OneDNN() && Largest() == "SSE41" && Machine(1) == one {
		t.Errorf("%q with smaller kernels, too", one)
	}
	if c := ThisCPU(); slices.Contains(c.Features, "AVX2") && !slices.Contains(c.Features, "AVX") {
		t.Errorf("features %q", c.Features)
	}
}
