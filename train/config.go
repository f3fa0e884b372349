package train

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/train/objective"
)

// Config is everything that decides what a run computes; RUN/config.json holds it as JSON. Fields tagged 'resume:"may
// change"' may change when a run is resumed. Fields tagged 'workers:"may differ"' may differ between workers. A Plan is a
// Config in the terms of a person. No flag sets FilterAlgorithms or Machine.
type Config struct {
	// Recipe is the name of the defaults that the run started with, "" for
	// none. It has no effect: the fields below are decisive.
	Recipe string         `json:"recipe,omitempty"`
	Cache  CacheRef       `json:"cache"`
	Model  network.Config `json:"model"`
	// Normalise names the statistics of the channels, Model.Mean and Model.Std; "" is the cache's.
	Normalise network.Normalise `json:"normalise,omitempty"`
	// Augment sets how training images are varied; it is zero in runs of
	// versions without augmentation.
	Augment images.Augment `json:"augment"`
	// Objective is the head and the loss; empty with Pretrain.
	Objective objective.Config `json:"objective"`
	// Pretrain is the loss of a run that learns without labels, from views that Augment makes. Its
	// network has a Model.Projector for a head, and no label is read.
	Pretrain objective.Pairs `json:"pretrain,omitzero"`

	// EMA is the decay of the moving average of the weights that is evaluated
	// and exported; 0 is none. See graph.TrainerConfig.Average.
	EMA float64 `json:"ema"`
	// Sizes is the schedule of image sizes; nil trains at full size.
	Sizes Sizes `json:"sizes,omitempty"`

	Optimizer graph.Optimizer `json:"optimizer"`
	Schedule  Schedule        `json:"schedule"`
	// Batch is the number of examples per step, at least 1: the total across all devices
	// and workers.
	Batch int `json:"batch"`
	// Seed is the key of the initial weights, the order of the examples,
	// augmentation and dropout. The split is the cache's and does not depend on
	// it.
	Seed int64 `json:"seed"`
	// InitFrom is the run folder, SavedModel or bundle prefix to read the initial weights
	// from, as far as they fit the network by name and shape; "" draws all of them.
	InitFrom string `json:"init_from" workers:"may differ"`
	// Freeze names the layers that keep InitFrom's weights.
	Freeze network.Freeze `json:"freeze,omitempty"`

	// OnNonFinite decides what happens if gradients are not finite. RollBack also
	// applies to an evaluation that is not finite.
	OnNonFinite OnNonFinite `json:"on_nonfinite,omitempty"`
	// Plateau is the number of evaluations without a better validation RMSE after
	// which the learning rate is multiplied by PlateauFactor, in (0, 1), as often
	// as this happens; 0 leaves the rate to Schedule.
	Plateau       int64   `json:"plateau,omitempty"`
	PlateauFactor float64 `json:"plateau_factor,omitempty"`
	// Patience is the number of evaluations without a better validation RMSE after
	// which the run ends; 0 is none.
	Patience int64 `json:"patience,omitempty" resume:"may change"`

	// EvalEvery is the number of steps between evaluations of the validation
	// split; there is always one after the last step, and with 0 only that one.
	EvalEvery int64 `json:"eval_every" resume:"may change"`
	// CheckpointEvery is the number of steps between checkpoints; there is
	// always one after the last step, at a stop signal, and after every
	// evaluation that is the best so far. 0 is only those.
	CheckpointEvery int64 `json:"checkpoint_every" resume:"may change" workers:"may differ"`
	// CheckpointSeconds is the longest time without a checkpoint: the next step is
	// followed by one; 0 is no limit.
	CheckpointSeconds float64 `json:"checkpoint_seconds,omitempty" resume:"may change" workers:"may differ"`
	// LogEvery is the number of steps between lines of the metrics files; at least 1.
	LogEvery int64 `json:"log_every" resume:"may change" workers:"may differ"`
	// Keep is the number of checkpoints kept in addition to the latest and the best.
	Keep int `json:"keep" resume:"may change" workers:"may differ"`
	// Devices selects the devices of the replicas. With another number of devices,
	// batch norm sees other groups of examples.
	Devices session.Devices `json:"devices,omitempty" resume:"may change" workers:"may differ"`
	// HoldOnDevice keeps the images of the train split in the memory of every device,
	// so that no step waits for them to be copied there.
	HoldOnDevice bool `json:"hold_on_device,omitempty" resume:"may change" workers:"may differ"`
	// HoldFeatures keeps the features of the train split's images there instead: they are computed
	// once, and a step computes the head alone. It needs Freeze all, no augmentation and one size.
	HoldFeatures bool `json:"hold_features,omitempty"`
	// Accumulate is the number of micro-batches of a replica in a step; 0 is 1.
	Accumulate int `json:"accumulate,omitempty" resume:"may change"`
	// Threads is the number of CPU threads; 0 is one per core. Another number
	// may change the last bits of every sum.
	Threads int `json:"threads" resume:"may change" workers:"may differ"`
	// XLA compiles the step for GPUs (session.Config), which may change the last
	// bits of every sum.
	XLA bool `json:"xla,omitempty" resume:"may change"`
	// FilterAlgorithms sets how the gradients of kernels are computed. Run measures the
	// algorithms for missing layers.
	FilterAlgorithms network.FilterAlgorithms `json:"filter_kernels,omitempty" resume:"goes on" workers:"has the chief's"`
	// Machine describes where the run started: TensorFlow's version, the CPU, its kernels
	// and the threads. The last bits of every sum depend on all of these. Run sets it.
	Machine string `json:"machine,omitempty" resume:"goes on" workers:"may differ"`
	// Budget is the time that Schedule.Total was chosen for.
	Budget Budget `json:"budget,omitzero"`
}

// OnNonFinite names the action after a step whose gradients are not finite.
type OnNonFinite string

const (
	// StopRun ends the run, with an error that names the step; so does "".
	StopRun OnNonFinite = "stop"
	// SkipUpdate skips the update and continues, for at most maxSkips steps in a
	// row.
	SkipUpdate OnNonFinite = "skip"
	// RollBack rolls back to the last checkpoint or, if the run has rolled back to that
	// one before, to the best one. From there it continues with the batches that follow
	// the failed step's (as Chowdhery et al. 2022, arXiv 2204.02311, §5.1, did by hand),
	// at most maxRollbacks times in a run.
	RollBack OnNonFinite = "rollback"
)

// OnNonFinites lists the values.
func OnNonFinites() []string { return []string{string(StopRun), string(SkipUpdate), string(RollBack)} }

// maxSkips is the number of steps in a row that are skipped before a run gives up:
// by then the weights are at fault, not a batch.
const maxSkips = 20

// maxRollbacks is the number of rollbacks before a run gives up.
const maxRollbacks = 5

// CacheRef names the cache a run was trained on.
type CacheRef struct {
	Path string `json:"path" resume:"may change" workers:"may differ"`
	// Checksum is the checksum of the cache's manifest, which covers all of the
	// cache's bytes.
	Checksum string `json:"checksum"`
	// SplitSeed is the seed of the cache's split: under another one, galaxies
	// of the train split would be in the test split.
	SplitSeed int64 `json:"split_seed"`
	// Split is the rule of the cache's split (data.Manifest.SplitText), "" for the default.
	Split string `json:"split,omitempty"`
	// Crop is the centre of an original image that the cache keeps: an exported model uses
	// the same crop.
	Crop imagefile.Crop `json:"crop"`
	// Bands names the channels of the images.
	Bands imagefile.Bands `json:"bands,omitzero"`
	// Files is the pattern of the images' names (data.Layout), if one was set.
	Files string `json:"files,omitzero"`
	// Stretch is that of images whose pixels may have any range.
	Stretch stretch.Stretch `json:"stretch,omitzero"`
	// Schema describes the columns of the cache's labels; nil is labels.GalaxyZoo.
	Schema *labels.Schema `json:"schema,omitzero" resume:"is in the checksum" workers:"is in the checksum"`
}

// Schema returns the schema of the labels that the run learns.
func (c Config) Schema() *labels.Schema { return cmp.Or(c.Cache.Schema, labels.GalaxyZoo()) }

// Target returns what the run's network predicts: the columns of Schema, or its classes, or nothing with
// Pretrain.
func (c Config) Target() *labels.Schema {
	if c.Pretrain.IsSet() {
		return labels.None()
	}
	return c.Objective.Head.Target(c.Schema())
}

// Validate checks every field that no constructor checks later. Its errors are usage.Fields,
// named by their paths in config.json.
func (c Config) Validate() error {
	net, _ := network.Named(c.Model.Arch) // Model.Validate returns the error
	errs := []error{
		usage.In("model", c.Model.Validate()), usage.In("augment", c.Augment.Validate()), c.validateLearning(),
		usage.In("optimizer", c.Optimizer.Validate()), usage.In("schedule", c.Schedule.Validate()),
		c.Devices.Validate(), graph.ValidateAverage(c.EMA), c.Sizes.Validate(net.Stride, c.Model.Size, c.Schedule.Total),
	}
	check := func(is bool, name string, got any, expected string) {
		if !is {
			errs = append(errs, &usage.Field{Name: name, Got: got, Expected: expected})
		}
	}
	atLeast := func(name string, value, least int64) {
		check(value >= least, name, value, fmt.Sprintf("%d or more", least))
	}
	check(c.Cache.Bands.Channels() == c.Model.Shape().Channels, "cache.bands", c.Cache.Bands, fmt.Sprintf("%d bands, as {model.channel_mean} has", c.Model.Shape().Channels))
	frozen, err := c.Freeze.Layers(net)
	errs = append(errs, err)
	check(frozen == 0 || c.InitFrom != "", "freeze", c.Freeze, "none without {init_from}, because frozen layers would keep random weights")
	check(frozen < net.Head() || c.Optimizer.LayerDecay == 0 || c.Optimizer.LayerDecay == 1, "optimizer.layer_decay", c.Optimizer.LayerDecay, "none beside {freeze:all}, because only the head is trained")
	if against := c.variesFeatures(); c.HoldFeatures && against != "" {
		errs = append(errs, &usage.Field{Name: "hold_features", Got: AsFeatures, Expected: "host or device: features are the same in every step only " + against})
	}
	atLeast("batch", int64(c.Batch), 1)
	atLeast("schedule.total_steps", c.Schedule.Total, 1)
	check(c.Budget.Seconds >= 0, "budget.seconds", c.Budget.Seconds, "0 or more")
	check(slices.Contains([]OnNonFinite{"", StopRun, SkipUpdate, RollBack}, c.OnNonFinite), "on_nonfinite", c.OnNonFinite, usage.OneOf(OnNonFinites()))
	atLeast("plateau", c.Plateau, 0)
	atLeast("patience", c.Patience, 0)
	check(c.EvalEvery != 0 || c.Plateau <= 0 && c.Patience <= 0, "eval_every", c.EvalEvery, "more than 0, because {plateau} and {patience} count evaluations")
	check(c.Plateau <= 0 || c.PlateauFactor > 0 && c.PlateauFactor < 1, "plateau_factor", c.PlateauFactor, "0 < factor < 1")
	atLeast("eval_every", c.EvalEvery, 0)
	atLeast("checkpoint_every", c.CheckpointEvery, 0)
	check(c.CheckpointSeconds >= 0, "checkpoint_seconds", c.CheckpointSeconds, "0 or more")
	atLeast("log_every", c.LogEvery, 1)
	atLeast("keep", int64(c.Keep), 0)
	atLeast("accumulate", int64(c.Accumulate), 0)
	errs = append(errs, session.Config{Threads: c.Threads}.Validate())
	return errors.Join(errs...)
}

// validateLearning checks the objective, or what a run without labels has instead.
func (c Config) validateLearning() error {
	if !c.Pretrain.IsSet() {
		switch {
		case c.Model.Projector.IsSet():
			return usage.Errorf("a projector is the head of a run without labels: expected {pretrain} beside it")
		case c.Schema().IsNone():
			return usage.Errorf("the cache has no labels: galaxy pretrain learns from images alone, and galaxy train from labels")
		}
		return usage.In("objective", c.Objective.Validate(c.Schema()))
	}
	errs := []error{usage.In("pretrain", c.Pretrain.Validate())}
	check := func(is bool, name string, got any, expected string) {
		if !is {
			errs = append(errs, &usage.Field{Name: name, Got: got, Expected: expected})
		}
	}
	check(c.Model.Projector.IsSet(), "model.projector.width", c.Model.Projector.Width, "2 or more: the loss without labels reads the outputs of a projector")
	check(reflect.DeepEqual(c.Objective, objective.Config{}), "objective.head", c.Objective.Head, "none: a run without labels has no head")
	check(c.Freeze != network.FreezeAll, "freeze", c.Freeze, "less: with everything below the head frozen there is nothing to learn")
	check(c.Augment.Moves(), "augment.rotate", c.Augment.Rotate, "more than 0, or {augment.flip}, {augment.shift} or {augment.zoom}: without them both views of a galaxy are the same")
	return errors.Join(errs...)
}

// variesFeatures names the settings by which a galaxy has other features in another step; "" if there are none.
func (c Config) variesFeatures() string {
	var all []string
	if c.Freeze != network.FreezeAll {
		all = append(all, "with {freeze=all}")
	}
	for _, a := range differences("", "augment", reflect.ValueOf(images.Augment{}), reflect.ValueOf(c.Augment)) {
		all = append(all, fmt.Sprintf("without {%s:%s}", a.Field, a.Now))
	}
	if len(c.Sizes) > 0 {
		all = append(all, "without {sizes}")
	}
	return strings.Join(all, " and ")
}

// holds reports whether the devices hold the train split.
func (c Config) holds() bool { return c.HoldOnDevice || c.HoldFeatures }

const configName = "config.json"

// ReadConfig reads the configuration of the run in dir. The error wraps
// fs.ErrNotExist if there is none.
func ReadConfig(dir string) (Config, error) {
	var c Config
	path := filepath.Join(dir, configName)
	raw, err := durable.ReadFile(path, durable.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s is no run folder: it has no %s (%w)", dir, configName, err)
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return c, fmt.Errorf("%s is a file: expected the folder of a run (%w)", dir, err)
	}
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if c, err = ParseConfig(raw); err != nil {
		return c, fmt.Errorf("read configuration %s: %w; it was edited, or written by another version of galaxy: put back the file as that run began with it", path, err)
	}
	return c, nil
}

// ParseConfig reads and checks the content of a run's config.json.
func ParseConfig(raw []byte) (c Config, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // otherwise a field of another version would be ignored silently
	if err = d.Decode(&c); err == nil {
		c.Cache.Schema = c.Schema()
		err = c.Validate()
	}
	return c, err
}

// refuseChanges compares the requested configuration with the run's original
// one, and returns an error that names every changed field that must not change
// on resume.
func refuseChanges(run, asked Config) error {
	changed := Changes(run, asked)
	if len(changed) == 0 {
		return nil
	}
	if run.Cache.Checksum != asked.Cache.Checksum {
		where := "give the one of " + run.Cache.Path + ", wherever it is now"
		if run.Cache.Path == asked.Cache.Path {
			where = "it was prepared anew since; prepare it again as it was, or begin a new run"
		}
		return fmt.Errorf("%s is another cache than the run was trained on: %s", asked.Cache.Path, where)
	}
	var free []string
	ofFeatures := slices.ContainsFunc(changed, func(c Change) bool { return c.Field == "hold_features" })
	for _, path := range mayChange(reflect.TypeFor[Config](), "") {
		switch {
		case path == "checkpoint_seconds": // the same setting as checkpoint_every
		case path == "hold_on_device" && ofFeatures: // the same setting as hold_features, which must not
		default:
			free = append(free, "{"+path+"}")
		}
	}
	return usage.Errorf("a resumed run goes on as it began, but asked for is\n  %w\n"+
		"leave these out to resume, or begin a new run (its initial weights can come from this one: {init_from}); "+
		"what may change: "+strings.Join(free, ", "), list(changed, "the run", true))
}

// Change is a field in which one Config differs from another.
type Change struct {
	Field    string // its path in config.json; "" if no setting decides it
	Was, Now string
}

// list returns an error with one line per change. whose names the owner of the old values; own
// is whether the new values are this process's own settings.
func list(changed []Change, whose string, own bool) error {
	sign := map[bool]string{false: "=", true: ":"}[own]
	escape := func(text string) string { return strings.ReplaceAll(text, "%", "%%") } // escaped for a format string
	var lines []string
	for _, c := range changed {
		now := escape(c.Now)
		if c.Field != "" {
			now = "{" + c.Field + sign + now + "}"
		}
		lines = append(lines, fmt.Sprintf("%s, where %s has %s", now, whose, escape(c.Was)))
	}
	return usage.Errorf(strings.Join(lines, "\n  "))
}

// Changes lists the fields in which the requested Config differs from the run's original one,
// except fields that may change.
func Changes(run, asked Config) []Change {
	changed := differences("resume", "", reflect.ValueOf(run), reflect.ValueOf(asked))
	for i := range changed {
		if c := &changed[i]; c.Field == "hold_features" { // a person chooses a place
			c.Was, c.Now = string(PlanOf(run).Images), string(PlanOf(asked).Images)
		}
	}
	return changed
}

func fieldName(path string, f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return strings.TrimPrefix(path+"."+name, ".")
}

// follows maps a field to the fields it is computed from: if one of these differs, the error names
// it instead.
var follows = map[string][]string{
	"model.outputs":         {"objective.head", "model.projector.width"},
	"model.size":            {"cache.checksum"},
	"model.channel_mean":    {"normalise", "cache.checksum"},
	"model.channel_std":     {"normalise", "cache.checksum"},
	"cache.split_seed":      {"cache.checksum"},
	"cache.crop":            {"cache.checksum"},
	"cache.bands":           {"cache.checksum"},
	"cache.stretch":         {"cache.checksum"},
	"schedule.total_steps":  {"batch"},
	"schedule.warmup_steps": {"batch", "schedule.total_steps"},
	"sizes":                 {"batch", "schedule.total_steps"},
	"eval_every":            {"batch", "schedule.total_steps"},
}

// differences lists the fields without the tag whose value differs between was and now.
func differences(tag, path string, was, now reflect.Value) []Change {
	var all []Change
	var compare func(path string, was, now reflect.Value)
	compare = func(path string, was, now reflect.Value) {
		for i := range was.NumField() {
			f := was.Type().Field(i)
			name := fieldName(path, f)
			switch a, b := was.Field(i), now.Field(i); {
			case f.Tag.Get(tag) != "":
			case a.Kind() == reflect.Struct:
				compare(name, a, b)
			case a.Type() == reflect.TypeFor[map[string]float64]():
				x, y := a.Interface().(map[string]float64), b.Interface().(map[string]float64)
				both := map[string]float64{}
				maps.Copy(both, x)
				maps.Copy(both, y)
				for _, key := range slices.Sorted(maps.Keys(both)) {
					if x[key] != y[key] {
						all = append(all, Change{name + "." + key, fmt.Sprint(x[key]), fmt.Sprint(y[key])})
					}
				}
			case !reflect.DeepEqual(a.Interface(), b.Interface()):
				all = append(all, Change{name, shown(a), shown(b)})
			}
		}
	}
	compare(path, was, now)
	return slices.DeleteFunc(all, func(c Change) bool {
		return slices.ContainsFunc(all, func(d Change) bool { return slices.Contains(follows[c.Field], d.Field) })
	})
}

// shown formats a value for people; an empty value is none.
func shown(v reflect.Value) string {
	if text := fmt.Sprint(v.Interface()); text != "" && text != "[]" {
		return text
	}
	return "none"
}

// mayChange lists the paths of the fields that may change when a run is resumed.
func mayChange(t reflect.Type, path string) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("resume") == "may change" {
			names = append(names, fieldName(path, f))
		} else if f.Type.Kind() == reflect.Struct {
			names = append(names, mayChange(f.Type, fieldName(path, f))...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// MayChange reports whether a resumed run may change a field of Config, given by its path in
// config.json.
func MayChange(path string) bool {
	return slices.Contains(mayChange(reflect.TypeFor[Config](), ""), path)
}
