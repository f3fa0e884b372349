package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/graph/torch"
	"galaxy/internal/usage"
	"galaxy/savedmodel"
	"galaxy/train/checkpoint"
)

// initialWeights are weights from elsewhere that a network may start from.
type initialWeights struct {
	// tensors are by the names of the network's variables.
	tensors map[string]session.Tensor
	// columns are what the head predicts, in order; nil if that is not known.
	columns []string
	arch    string // of their network; "" if that is not known
}

// readInitial reads what Config.InitFrom names, as far as want accepts the variables' names. A
// further kind of file is a further case.
func readInitial(from string, want func(name string) bool) (w initialWeights, err error) {
	is := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	switch {
	case is(from + ".index"):
		w.tensors, err = session.ReadBundle(from, want)
	case is(filepath.Join(from, "saved_model.pb")):
		var prefix string
		if prefix, w.columns, err = savedmodel.Variables(from); err == nil {
			w.tensors, err = session.ReadBundle(prefix, want)
		}
	case strings.HasSuffix(from, torch.Extension):
		w.tensors, w.arch, err = readTorch(from, want)
	default:
		cfg, e := ReadConfig(from)
		if e != nil {
			return w, listForms(from, e)
		}
		w.columns, w.arch = cfg.Target().Columns(), cfg.Model.Arch
		err = WithBest(from, cfg, func(best *checkpoint.Checkpoint) (err error) {
			w.tensors, err = session.ReadBundle(best.Prefix(), want)
			return err
		})
	}
	return w, err
}

// listForms adds to the error of a path at which there is nothing that readInitial knows what may be there.
func listForms(from string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		err = fmt.Errorf("%s is a file of another kind", from)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return fmt.Errorf("%w; expected the folder of a run, the folder of a SavedModel, a file of weights (%s), or the prefix of a TensorFlow bundle", err, torch.Extension)
}

// readTorch reads the weights of torchvision's and timm's networks.
func readTorch(path string, want func(name string) bool) (_ map[string]session.Tensor, arch string, err error) {
	f, err := torch.Open(path)
	if err != nil {
		return nil, "", listForms(path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	weights, err := f.Weights()
	if err != nil {
		return nil, "", err
	}
	tensors := map[string]session.Tensor{}
	for _, v := range f.Variables {
		if want(v.Name) {
			tensors[v.Name] = session.Tensor{Shape: v.Shape, Values: weights[v.Name]}
		}
	}
	return tensors, f.Model.Arch, nil
}

// loadInitial sets t's variables to the initial weights of InitFrom as far as they fit, and
// returns a table of those that do not.
func (p *setup) loadInitial(t *graph.Trainer) error {
	from := p.Config.InitFrom
	var model []network.Variable
	for _, v := range t.Variables() {
		if t.Loads(v.Name) {
			model = append(model, v)
		}
	}
	w, err := readInitial(from, t.Loads)
	if err != nil {
		return fmt.Errorf("take first weights: %w", err)
	}
	f := w.fit(model, p.Config.Target().Columns())
	if err := f.check(); err != nil {
		return usage.Error{Err: usage.Errorf("take first weights from %s: %w", from, err)}
	}
	if err := t.LoadModel(f.weights); err != nil {
		return fmt.Errorf("take first weights from %s: %w", from, err)
	}
	p.Notice(f.table(from))
	if arch := p.Config.Model.Arch; w.arch != "" && w.arch != arch {
		p.Notice(fmt.Sprintf("%s is a %s, this run a %s, in which only some of its layers fit: all do in a %s", from, w.arch, arch, w.arch))
	}
	return nil
}

// misfit is a variable for which there is no value of its own shape.
type misfit struct {
	variable network.Variable
	came     []int64 // nil for no value
	why      string
	adapted  bool // from the value that came
}

// fitted holds the initial weights that fit a network, and what does not.
type fitted struct {
	variables []network.Variable
	weights   network.Weights
	misfits   []misfit
}

const stemKernel = "stem/conv/kernel"

// fit compares w with the variables of a network whose head predicts columns.
func (w initialWeights) fit(variables []network.Variable, columns []string) fitted {
	f := fitted{variables: variables, weights: network.Weights{}}
	for _, v := range variables {
		t, ok := w.tensors[v.Name]
		m := misfit{variable: v, came: t.Shape}
		switch {
		case !ok:
			m.why = "no such tensor"
		case v.Name == stemKernel && otherChannels(v.Shape, t.Shape):
			f.weights[v.Name], m.why = adaptChannels(t, v.Shape[2])
			m.adapted = true
		case !slices.Equal(t.Shape, v.Shape):
			m.why = "another shape"
		case strings.HasPrefix(v.Name, "head/") && w.columns != nil && !slices.Equal(w.columns, columns):
			m.why = "it predicts other columns"
		default:
			f.weights[v.Name] = t.Values
			continue
		}
		f.misfits = append(f.misfits, m)
	}
	return f
}

// otherChannels reports whether two shapes of a convolution's kernel differ only in the number of
// its input's channels.
func otherChannels(a, b []int64) bool {
	return len(a) == 4 && len(b) == 4 && a[0] == b[0] && a[1] == b[1] && a[2] != b[2] && a[3] == b[3] && b[2] > 0
}

// adaptChannels returns a kernel, [height, width, in, out], for an input of n channels, and how it
// was made. As in timm's adapt_input_conv (timm/models/_manipulate.py), which knows in = 3: one
// channel gets the sum over the old ones; several get the old ones in turn, over and over, times
// in/n. So an image whose channels are all alike gives about what it gave, and no layer above the
// stem sees another scale. That is a better start than a fresh stem, whose output the layers above
// have never seen.
func adaptChannels(t session.Tensor, n int64) (values []float32, how string) {
	in, out := t.Shape[2], t.Shape[3]
	values = make([]float32, t.Shape[0]*t.Shape[1]*n*out)
	for i := range values {
		tap, channel, filter := int64(i)/out/n, int64(i)/out%n, int64(i)%out
		at := func(c int64) float32 { return t.Values[(tap*in+c)*out+filter] }
		if n > 1 {
			values[i] = at(channel%in) * float32(in) / float32(n)
			continue
		}
		var sum float64
		for c := range in {
			sum += float64(at(c))
		}
		values[i] = float32(sum)
	}
	if n == 1 {
		return values, fmt.Sprintf("the sum over the %d channels", in)
	}
	return values, fmt.Sprintf("the kernels of %s in turn, times %d/%d", usage.Count(int(in), "channel"), in, n)
}

// check returns an error if nothing below the head fits, or if a frozen layer would keep random
// weights.
func (f fitted) check() error {
	below := 0
	var frozen *misfit
	for i, m := range f.misfits {
		if m.variable.Fixed && !m.adapted && frozen == nil {
			frozen = &f.misfits[i]
		}
	}
	for name := range f.weights {
		if !strings.HasPrefix(name, "head/") {
			below++
		}
	}
	switch {
	case below == 0:
		first := f.misfits[0]
		return usage.Errorf("nothing below the head fits: %s has the shape %v here and %s there; is it a network of another kind? {arch} chooses it", first.variable.Name, first.variable.Shape, first.shape())
	case frozen != nil:
		return usage.Errorf("%s is frozen and would keep random values (expected the shape %v, came %s): freeze fewer layers ({freeze}), or take weights that fit", frozen.variable.Name, frozen.variable.Shape, frozen.shape())
	}
	return nil
}

func (m misfit) shape() string {
	if m.came == nil {
		return "none"
	}
	return fmt.Sprint(m.came)
}

// mostMisfits is the number of rows of a table; those that are left out are counted.
const mostMisfits = 8

// table describes for a person what was loaded and what was not.
func (f fitted) table(from string) string {
	all, loaded, tensors := 0, 0, 0
	for _, v := range f.variables {
		all += v.Elements()
		if _, ok := f.weights[v.Name]; ok {
			loaded, tensors = loaded+v.Elements(), tensors+1
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "initial weights from %s: loaded %d of %d tensors, %d of %d parameters", from, tensors, len(f.variables), loaded, all)
	if len(f.misfits) == 0 {
		return b.String()
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\n  \ttensor\texpected\tcame\twhy")
	for _, m := range f.misfits[:min(len(f.misfits), mostMisfits)] {
		kind := map[bool]string{true: "adapted", false: "fresh"}[m.adapted]
		fmt.Fprintf(w, "\n  %s\t%s\t%v\t%s\t%s", kind, m.variable.Name, m.variable.Shape, m.shape(), m.why)
	}
	w.Flush() // a Builder takes all
	if more := len(f.misfits) - mostMisfits; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}
