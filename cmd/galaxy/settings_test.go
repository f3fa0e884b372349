package main

import (
	"bytes"
	"cmp"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/train"
	"galaxy/train/objective"
)

// requested returns what galaxy train is asked for by arguments, in the environment as it is.
func requested(t testing.TB, begun *train.Config, args ...string) (r *request, err error) {
	t.Helper()
	return requestedOf(t, trainCommand(), begun, args...)
}

func requestedOf(t testing.TB, command *cli.Command, begun *train.Config, args ...string) (r *request, err error) {
	t.Helper()
	command.Action = func(c *cli.Context) error {
		a, err := ask(c)
		if err == nil {
			r, err = a.over(begun, nil)
		}
		if err == nil {
			err = r.refuse()
		}
		return err
	}
	app := &cli.App{Commands: []*cli.Command{command}, Writer: io.Discard, ExitErrHandler: func(*cli.Context, error) {}}
	return r, app.Run(append([]string{"galaxy", command.Name}, args...))
}

// commandOf returns a command that has the setting.
func commandOf(s *setting) *cli.Command {
	if s.of == cmdPretrain {
		return pretrainCommand()
	}
	return trainCommand()
}

// file writes a configuration file and returns the flag that reads it.
func file(t testing.TB, lines ...string) string {
	path := filepath.Join(t.TempDir(), "run.toml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return "--config=" + path
}

// samples returns three values of a setting that are not its default.
func (s *setting) samples() []string {
	standard := s.text(newRequest(basePlan(s.of)))
	if s.choices != nil {
		choices := slices.DeleteFunc(slices.Clone(s.choices), func(c string) bool { return c == standard })
		return []string{choices[0], choices[len(choices)-1], choices[0]}
	}
	switch s.field(new(request)).(type) {
	case *bool:
		other := strconv.FormatBool(standard == "false")
		return []string{other, other, other}
	case *int, *int64, *train.Count, *train.Batch:
		return []string{"7", "8", "9"}
	case *float64, constant:
		return []string{"0.125", "0.25", "0.75"}
	case *train.Time:
		return []string{"1h0m0s", "2h0m0s", "1s"}
	case *train.Duration, *train.Every:
		return []string{"3epochs", "17", "2.5%"}
	case *train.Phases:
		return []string{"32:40%", "32:10,48:2epochs", "40:1epoch"}
	case *train.Weights, *[]float64:
		return []string{"0.25,0.5", "0.125", "0.5,0.75"}
	}
	return []string{"a", "b c", "d"}
}

// parents returns the flags under which a setting applies.
func (s *setting) parents() []string {
	if s.with == nil {
		return nil
	}
	value := "3"
	if len(s.with) > 0 {
		value = s.with[0]
	}
	parent := settingOf(s.under)
	return append(parent.parents(), "--"+parent.name, value)
}

// line is a setting in a configuration file.
func (s *setting) line(text string) string {
	if _, ok := s.field(new(request)).(*bool); ok {
		return s.name + " = " + text
	}
	return s.name + " = " + strconv.Quote(text)
}

// Every setting is set by a flag, by each of its variables and by a file, of which the first wins.
func TestSettings(t *testing.T) {
	seen := map[string]bool{}
	for i := range settings {
		s := &settings[i]
		if seen[s.name] || s.usage == "" || s.category == "" {
			t.Errorf("%s is there twice, or says nothing", s.name)
		}
		seen[s.name] = true
		if s.name == "config" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			sample := s.samples()
			check := func(text, source string, args ...string) {
				t.Helper()
				r, err := requestedOf(t, commandOf(s), nil, append(args, s.parents()...)...)
				if err != nil {
					t.Errorf("%s: %v", source, err)
					return
				}
				if got := s.text(r); got != text {
					t.Errorf("%s: %q, expected %q", source, got, text)
				}
				if got := r.source(s); got != source {
					t.Errorf("source %q, expected %q", got, source)
				}
			}
			standard := s.text(newRequest(basePlan(s.of)))
			if s.with == nil {
				check(standard, "default")
			}
			flag := "--" + s.name + "=" + sample[0]
			if !s.inPlan() {
				if _, err := requested(t, nil, file(t, s.line(sample[2]))); err == nil || !strings.Contains(err.Error(), "give --"+s.name) {
					t.Errorf("in a file: %v", err)
				}
				check(sample[0], "flag", flag)
				return
			}
			inFile := file(t, s.line(sample[2]))
			check(sample[2], "run.toml", inFile)
			for _, variable := range slices.Backward(s.variables(cmp.Or(s.of, cmdTrain))) {
				t.Setenv(variable, sample[1])
				check(sample[1], "environment: "+variable, inFile)
			}
			check(sample[0], "flag", inFile, flag)
		})
	}
}

// Every field of the configuration has a setting, but for what the cache and the machine decide.
func TestEveryField(t *testing.T) {
	set := []string{
		"model.outputs", "model.-", "objective.alpha", "objective.gamma", "objective.constants", "filter_kernels", "machine", "cache.schema", "cache.split", "cache.files", // by the head, the machine and the cache
		"budget.costs", "pretrain.loss",
	}
	for i := range settings {
		set = append(set, settings[i].paths()...)
	}
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			name = strings.TrimPrefix(path+"."+name, ".")
			if slices.Contains(set, name) {
				continue
			}
			if f.Type.Kind() == reflect.Struct {
				walk(name, f.Type)
			} else {
				t.Errorf("no setting is for %s", name)
			}
		}
	}
	walk("", reflect.TypeFor[train.Config]())
}

// A value that does not apply is refused, whoever gives it. One that a weaker source has beside
// another choice goes with that choice.
func TestRefusals(t *testing.T) {
	for i := range settings {
		s := &settings[i]
		if s.with == nil {
			continue
		}
		parent, sample := settingOf(s.under), s.samples()[0]
		other := "0"
		if len(s.with) > 0 {
			other = parent.choices[slices.IndexFunc(parent.choices, func(c string) bool { return !slices.Contains(s.with, c) })]
		}
		choose := "--" + parent.name + "=" + other
		refused := func(name string, args ...string) {
			t.Helper()
			want := name + " belongs to --" + parent.name
			if _, err := requested(t, nil, append(args, choose)...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, expected %q", s.name, err, want)
			}
		}
		refused("--"+s.name, "--"+s.name, sample)
		refused(s.name+" in run.toml", file(t, s.line(sample)))
		t.Run(s.name, func(t *testing.T) {
			t.Setenv(s.variables(cmdTrain)[0], sample)
			refused(s.variables(cmdTrain)[0])
		})

		with := "3"
		if len(s.with) > 0 {
			with = s.with[0]
		}
		r, err := requested(t, nil, file(t, s.line(sample), parent.line(with)), choose)
		if err != nil {
			t.Errorf("%s of a file beside another %s: %v", s.name, parent.name, err)
		} else if got := s.text(r); got == sample {
			t.Errorf("%s of a file counts beside another %s", s.name, parent.name)
		}
	}
}

// A rate is that of the optimizer that its source has beside it.
func TestRateOfAnotherOptimizer(t *testing.T) {
	lines := []string{`optimizer = "sgd"`, "lr = 0.5", "momentum = 0.8"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "0.5 run.toml"}, {[]string{"--optimizer", "sgd"}, "0.5 run.toml"},
		{[]string{"--optimizer", "adamw"}, "0.001 default"}, {[]string{"--optimizer", "adamw", "--lr", "0.1"}, "0.1 flag"},
		{[]string{"--recipe", "original"}, "0.5 run.toml"},
	} {
		r, err := requested(t, nil, append(c.args, file(t, lines...))...)
		if err != nil {
			t.Errorf("%v: %v", c.args, err)
			continue
		}
		if s := settingOf("lr"); s.text(r)+" "+r.source(s) != c.want {
			t.Errorf("%v: %s %s, expected %s", c.args, s.text(r), r.source(s), c.want)
		}
	}
}

// What a recipe chooses is the recipe's, constants of that choice are defaults, and a flag is the user's.
func TestSourceOfChoices(t *testing.T) {
	for _, c := range []struct{ recipe, setting, more, want string }{
		{"short", "optimizer", "", "muon recipe short"}, {"short", "momentum", "", "0.9 default"}, {"short", "schedule", "", "cosine default"},
		{"original", "schedule", "", "constant recipe original"}, {"best", "optimizer", "", "adamw default"},
		{"short", "optimizer", "--optimizer=adamw", "adamw flag"}, {"short", "lr", "--optimizer=sgd", "0.05 default"},
	} {
		args := []string{"--recipe", c.recipe}
		if c.more != "" {
			args = append(args, c.more)
		}
		r, err := requested(t, nil, args...)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		if s := settingOf(c.setting); strings.Trim(s.text(r), `"`)+" "+r.source(s) != c.want {
			t.Errorf("%v: %s is %s %s, expected %s", args, c.setting, s.text(r), r.source(s), c.want)
		}
	}
}

// Of a group one setting counts: two of one source are refused, and a stronger source chooses.
func TestLengths(t *testing.T) {
	if _, err := requested(t, nil, "--epochs", "2", "--steps", "3"); err == nil || !strings.Contains(err.Error(), "--steps and --epochs: each sets the length of the run") {
		t.Errorf("two lengths: %v", err)
	}
	r, err := requested(t, nil, file(t, "epochs = 5"), "--steps", "3")
	if err != nil || r.plan.Epochs != 0 || r.plan.Steps != 3 {
		t.Errorf("%d epochs, %d steps, %v", r.plan.Epochs, r.plan.Steps, err)
	}
}

// Beside a run to resume, what was given counts, but of the environment only what may change.
func TestOverARun(t *testing.T) {
	begun := train.Config{
		Model: network.Config{Precision: network.Float32}, Objective: objective.Config{Head: objective.Tree, Loss: objective.MSE},
		Optimizer: graph.Optimizer{Kind: graph.SGD, Momentum: 0.7}, Schedule: train.Schedule{Kind: train.Constant, Rate: 0.3, Total: 50, Warmup: 3},
		Batch: 8, Seed: 4, LogEvery: 1, EvalEvery: 10, Devices: "cpu", OnNonFinite: train.StopRun,
	}
	t.Setenv("GALAXY_SEED", "9")
	t.Setenv("GALAXY_TRAIN_EVAL_EVERY", "25")
	t.Setenv("GALAXY_TRAIN_EPOCHS", "2")
	r, err := requested(t, &begun, "--keep", "2", file(t, "momentum = 0.8"))
	if err != nil {
		t.Fatal(err)
	}
	want := train.PlanOf(begun)
	want.EvalEvery, want.Config.Keep, want.Config.Optimizer.Momentum = train.Duration{N: 25, Unit: train.Steps}, 2, 0.8
	if !reflect.DeepEqual(r.plan, want) {
		t.Errorf("%+v\nexpected %+v", r.plan, want)
	}
	for name, source := range map[string]string{"seed": "the run to resume", "eval-every": "environment: GALAXY_TRAIN_EVAL_EVERY", "keep": "flag", "momentum": "run.toml"} {
		if got := r.source(settingOf(name)); got != source {
			t.Errorf("%s: source %q, expected %q", name, got, source)
		}
	}
	if _, err := requested(t, &begun, "--beta1", "0.5"); err == nil {
		t.Error("a constant of AdamW is taken by a run of SGD")
	}
}

// What is printed is read as it was.
func TestPrintedSettings(t *testing.T) {
	recipes := append([]string{""}, train.RecipeNames()...)
	for i := range settings {
		s := &settings[i]
		if !s.inPlan() {
			continue
		}
		for _, recipe := range recipes {
			args := append(s.parents(), "--"+s.name+"="+s.samples()[0])
			if s.of == cmdPretrain && recipe != "" {
				continue // it has none
			}
			if s.name != "recipe" && recipe != "" {
				args = append(args, "--recipe="+recipe)
			}
			want, err := requestedOf(t, commandOf(s), nil, args...)
			if err != nil {
				t.Errorf("%v: %v", args, err)
				continue
			}
			var printed bytes.Buffer
			want.printSettings(&printed)
			got, err := requestedOf(t, commandOf(s), nil, file(t, printed.String()))
			if err != nil || !reflect.DeepEqual(got.plan, want.plan) {
				t.Errorf("%v: %v\n%+v\nexpected %+v", args, err, got.plan, want.plan)
			}
		}
	}
}

// The command of a report trains a run of the same settings.
func TestCommandOfRun(t *testing.T) {
	for i := range settings {
		s := &settings[i]
		if !s.inPlan() || s.instead != "" {
			continue
		}
		args := append(s.parents(), "--"+s.name+"="+s.samples()[0], "--steps=50", "--recipe="+train.RecipeNames()[i%len(train.RecipeNames())])
		if s.name == "recipe" || s.of == cmdPretrain {
			args = args[:len(args)-1]
		}
		want, err := requestedOf(t, commandOf(s), nil, args...)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		want.plan.Data = "a cache"
		words := commandWords(want, "a run", want.plan.Data)
		got, err := requestedOf(t, commandOf(s), nil, words[2:]...)
		if err != nil || words[1] != commandOf(s).Name || !reflect.DeepEqual(got.plan, want.plan) || got.out != "a run" {
			t.Errorf("%q: %v\n%+v\nexpected %+v", words, err, got.plan, want.plan)
		}
	}
	for word, want := range map[string]string{"run": "run", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$(x)": "'$(x)'"} {
		if got := shellWord(word); got != want {
			t.Errorf("%q is quoted as %s, expected %s", word, got, want)
		}
	}
}

func TestReadSettings(t *testing.T) {
	for text, want := range map[string]string{
		"learning-rate = 1":          `no setting "learning-rate"`,
		"weight_decay = 1":           `no setting "weight_decay": did you mean weight-decay?`,
		"bacth = 1":                  "did you mean batch?",
		"warm-up = 1":                "did you mean warmup?",
		"out = 'x'":                  "give --out",
		"[schedule]\nkind = 'step'":  "expected a text, a number, true, false or a list",
		"lr = 1979-05-27":            "expected a text, a number",
		"sizes = [[32]]":             "expected a text, a number",
		"lr = ":                      "toml: line 1",
		"lr = 1\nlr = 2":             "lr",
		"lr = 'fast'":                "lr = fast in run.toml: expected a number",
		"align = 'very'":             "align = very in run.toml: expected true or false",
		"steps = 0":                  "steps = 0 in run.toml: expected a whole number of 1 or more",
		"{\"batch\": 32}":            "expected the config.json of a run",
		"epochs = 1\nsteps = 1":      "steps in run.toml and epochs in run.toml: each sets the length",
		"batch = 8.5":                "expected a whole number of 1 or more, or auto",
		"class-weights = [1, 'two']": "expected numbers with commas",
	} {
		if _, err := requested(t, nil, file(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q", text, err, want)
		}
	}
	r, err := requested(t, nil, file(t, "boundaries = [0.25, 0.5]", "schedule = 'step'", "class-weights = [1, 2.5]", "batch = 8.0", "warmup = 7"))
	if err != nil {
		t.Fatal(err)
	}
	if p := r.plan; !slices.Equal(p.Config.Schedule.Boundaries, []float64{.25, .5}) || !slices.Equal(p.Weights.Values, []float64{1, 2.5}) || p.Batch != 8 || p.Warmup.N != 7 {
		t.Errorf("%+v", p)
	}
	if _, err := requested(t, nil, "--config", filepath.Join(t.TempDir(), "none.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is missing: %v", err)
	}
}

// Whatever a configuration file holds, there is an error or settings that are printed and read.
func FuzzReadSettings(f *testing.F) {
	var all bytes.Buffer
	r, err := requested(f, nil, "--recipe", "best", "--schedule", "step", "--optimizer", "sgd", "--plateau", "3", "--steps", "9")
	if err != nil {
		f.Fatal(err)
	}
	r.printSettings(&all)
	f.Add(all.String())
	f.Add("lr = nan\nema = inf\nbatch = 9223372036854775807")
	f.Add(`sizes = "32:1e300%,48:0"` + "\n" + `checkpoint-every = "1epoch,10m"`)
	f.Add(`class-weights = [1, 2.5]` + "\nhead = \"tree\"\nloss = 'mse'\n[a]")
	f.Add(`{"batch": 1, "schedule": {}}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := requested(t, nil, file(t, text))
		if err != nil {
			return
		}
		var printed, again bytes.Buffer
		r.printSettings(&printed)
		if r, err = requested(t, nil, file(t, printed.String())); err != nil {
			t.Fatalf("%q is printed\n%s\nand refused: %v", text, &printed, err)
		}
		r.printSettings(&again)
		value := func(text string) string {
			var values []string
			for line := range strings.Lines(text) {
				value, _, _ := strings.Cut(line, " # ")
				values = append(values, strings.TrimSpace(value))
			}
			return strings.Join(values, "\n")
		}
		if a, b := value(printed.String()), value(again.String()); a != b {
			t.Errorf("%q is printed\n%s\nand then\n%s", text, a, b)
		}
	})
}

// No package below knows a flag: whoever calls it may have taken the value from elsewhere.
func TestOnlyTheCommandNamesFlags(t *testing.T) {
	flag := regexp.MustCompile(`--[a-z]`)
	files := 0
	for _, dir := range []string{"train", "graph", "focal", "labels", "data", "predict", "savedmodel", "serve", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING && flag.MatchString(text.Value) {
					t.Errorf("%v: %s: expected {setting}, see package usage", set.Position(text.Pos()), text.Value)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if files < 50 {
		t.Errorf("%d files were read", files)
	}
}
