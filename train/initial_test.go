package train

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/graph/network"
	"galaxy/graph/session"
)

// filled returns a tensor whose values count up from 1.
func filled(shape ...int64) session.Tensor {
	t := session.Tensor{Shape: shape, Values: make([]float32, session.Elements(shape))}
	for i := range t.Values {
		t.Values[i] = float32(i + 1)
	}
	return t
}

// smallModel has the variables of a network with a stem, a block and a head.
func smallModel(channels, outputs int64) []network.Variable {
	return []network.Variable{
		{Name: stemKernel, Shape: []int64{7, 7, channels, 4}},
		{Name: "stem/bn/gamma", Shape: []int64{4}},
		{Name: "stage1/block1/conv1/kernel", Shape: []int64{3, 3, 4, 4}},
		{Name: "head/kernel", Shape: []int64{4, outputs}},
		{Name: "head/bias", Shape: []int64{outputs}},
	}
}

// weightsOfModel returns values for all variables.
func weightsOfModel(columns []string, variables []network.Variable) initialWeights {
	w := initialWeights{tensors: map[string]session.Tensor{}, columns: columns}
	for _, v := range variables {
		w.tensors[v.Name] = filled(v.Shape...)
	}
	return w
}

func TestFitInitialWeights(t *testing.T) {
	three := []string{"a", "b", "c"}
	frozen := func(variables []network.Variable, below int) []network.Variable {
		for i := range below {
			variables[i].Fixed = true
		}
		return variables
	}
	for _, c := range []struct {
		name    string
		from    initialWeights
		to      []network.Variable
		columns []string
		table   []string // lines, of blanks each one
		err     string
	}{
		{"all fits", weightsOfModel(three, smallModel(3, 3)), smallModel(3, 3), three,
			[]string{"initial weights from RUN: loaded 5 of 5 tensors, 751 of 751 parameters"}, ""},
		{"unknown columns", weightsOfModel(nil, smallModel(3, 3)), smallModel(3, 3), three,
			[]string{"initial weights from RUN: loaded 5 of 5 tensors, 751 of 751 parameters"}, ""},
		{"another head", weightsOfModel(three, smallModel(3, 3)), smallModel(3, 5), []string{"v", "w", "x", "y", "z"}, []string{
			"initial weights from RUN: loaded 3 of 5 tensors, 736 of 761 parameters",
			"tensor expected came why",
			"fresh head/kernel [4 5] [4 3] another shape",
			"fresh head/bias [5] [3] another shape",
		}, ""},
		{"as many other columns", weightsOfModel(three, smallModel(3, 3)), smallModel(3, 3), []string{"a", "b", "d"}, []string{
			"initial weights from RUN: loaded 3 of 5 tensors, 736 of 751 parameters",
			"tensor expected came why",
			"fresh head/kernel [4 3] [4 3] it predicts other columns",
			"fresh head/bias [3] [3] it predicts other columns",
		}, ""},
		{"one channel", weightsOfModel(three, smallModel(3, 3)), frozen(smallModel(1, 3), 2), three, []string{
			"initial weights from RUN: loaded 5 of 5 tensors, 359 of 359 parameters",
			"tensor expected came why",
			"adapted stem/conv/kernel [7 7 1 4] [7 7 3 4] the sum over the 3 channels",
		}, ""},
		{"more channels", weightsOfModel(three, smallModel(1, 3)), smallModel(5, 3), three, []string{
			"initial weights from RUN: loaded 5 of 5 tensors, 1143 of 1143 parameters",
			"tensor expected came why",
			"adapted stem/conv/kernel [7 7 5 4] [7 7 1 4] the kernels of 1 channel in turn, times 1/5",
		}, ""},
		{"a stem of another size", weightsOfModel(three, append(smallModel(3, 3)[1:], network.Variable{Name: stemKernel, Shape: []int64{3, 3, 3, 4}})), smallModel(3, 3), three, []string{
			"initial weights from RUN: loaded 4 of 5 tensors, 163 of 751 parameters",
			"tensor expected came why",
			"fresh stem/conv/kernel [7 7 3 4] [3 3 3 4] another shape",
		}, ""},
		{"no block", weightsOfModel(three, smallModel(3, 3)[:2]), smallModel(3, 3), three, []string{
			"initial weights from RUN: loaded 2 of 5 tensors, 592 of 751 parameters",
			"tensor expected came why",
			"fresh stage1/block1/conv1/kernel [3 3 4 4] none no such tensor",
			"fresh head/kernel [4 3] none no such tensor",
			"fresh head/bias [3] none no such tensor",
		}, ""},
		{"a frozen layer that is fresh", weightsOfModel(three, smallModel(3, 3)[:2]), frozen(smallModel(3, 3), 3), three, nil,
			"stage1/block1/conv1/kernel is frozen and would keep random values (expected the shape [3 3 4 4], came none): freeze fewer layers (freeze)"},
		{"a head alone", weightsOfModel(three, smallModel(3, 3)[3:]), smallModel(3, 3), three, nil,
			"nothing below the head fits: stem/conv/kernel has the shape [7 7 3 4] here and none there; is it a network of another kind?"},
		{"nothing", initialWeights{}, smallModel(3, 3), three, nil, "nothing below the head fits"},
	} {
		f := c.from.fit(c.to, c.columns)
		err := f.check()
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got the error %v, expected %q", c.name, err, c.err)
			continue
		}
		if err != nil {
			continue
		}
		var lines []string
		for line := range strings.Lines(f.table("RUN")) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		if !slices.Equal(lines, c.table) {
			t.Errorf("%s: got the table\n%s\nexpected\n%s", c.name, strings.Join(lines, "\n"), strings.Join(c.table, "\n"))
		}
		for _, v := range c.to {
			if values, ok := f.weights[v.Name]; ok && len(values) != v.Elements() {
				t.Errorf("%s: %d values for %s, expected %d", c.name, len(values), v.Name, v.Elements())
			}
		}
	}
}

// A network of another kind does not fill the screen.
func TestFitTableIsShort(t *testing.T) {
	variables := smallModel(3, 3)
	for range 30 {
		variables = append(variables, network.Variable{Name: "stage9/block1/bn1/beta", Shape: []int64{2}})
	}
	f := weightsOfModel(nil, smallModel(3, 3)).fit(variables, nil)
	if text := f.table("RUN"); strings.Count(text, "\n") != 2+mostMisfits || !strings.HasSuffix(text, "\n  and 22 more") {
		t.Errorf("got the table\n%s", text)
	}
}

// An image whose channels are all alike gives the sums that it gave with the old number of channels,
// and every new channel has the kernel of an old one, scaled, or their sum.
func TestAdaptChannels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, n, out := rapid.Int64Range(1, 8).Draw(t, "in"), rapid.Int64Range(1, 8).Draw(t, "n"), rapid.Int64Range(1, 3).Draw(t, "out")
		was := filled(2, 3, in, out)
		for i := range was.Values {
			was.Values[i] = float32(rapid.IntRange(-50, 50).Draw(t, "value"))
		}
		got, how := adaptChannels(was, n)
		if how == "" || int64(len(got)) != 6*n*out {
			t.Fatalf("%d values (%q), expected %d", len(got), how, 6*n*out)
		}
		for tap := range int64(6) {
			for filter := range out {
				old := make([]float64, in)
				for c := range old {
					old[c] = float64(was.Values[(tap*in+int64(c))*out+filter])
				}
				for c := range n { // timm's formula, one value at a time
					want := old[c%in] * float64(in) / float64(n)
					if n == 1 {
						want = 0
						for _, x := range old {
							want += x
						}
					}
					if x := float64(got[(tap*n+c)*out+filter]); math.Abs(x-want) > 1e-4 {
						t.Fatalf("tap %d, channel %d, filter %d is %v, expected %v", tap, c, filter, x, want)
					}
				}
			}
		}
		if n%in == 0 || n == 1 {
			sum := func(values []float32) (s float64) {
				for _, x := range values {
					s += float64(x)
				}
				return s
			}
			if a, b := sum(was.Values), sum(got); math.Abs(a-b) > 1e-2 {
				t.Fatalf("the kernels sum to %v, expected %v", b, a)
			}
		}
	})
}
