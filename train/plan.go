package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/train/objective"
)

// Plan holds the settings of a run as a person gives them: a Config in which lengths are still
// steps, epochs, percentages or times, and the batch and the class weights may still be open,
// because they depend on the cache and the devices. DefaultPlan or PlanOf starts one; Resolve
// makes the Config.
//
// The tag config names the fields of Config, by their paths in config.json, that a field
// decides.
type Plan struct {
	// Config holds the settings that need no conversion. Resolve overwrites the fields that
	// other fields of Plan decide.
	Config Config
	Recipe RecipeName `config:"recipe"`
	// Data is the cache's folder.
	Data string `config:"cache.path cache.checksum cache.split_seed cache.crop cache.bands cache.stretch model.size model.channel_mean model.channel_std"`
	// The length of the run is Epochs, or Steps, or as many steps as fit into Budget, the time
	// from the start of the command to its end. 0 is unset; Epochs take precedence over Steps.
	Epochs Count `config:"schedule.total_steps"`
	Steps  Count `config:"schedule.total_steps"`
	Budget Time  `config:"budget.seconds"`
	Batch  Batch `config:"batch"`
	// Images is where the images of the train split are kept.
	Images Place `config:"hold_on_device hold_features"`
	// Weights sets Config.Objective.Weights.
	Weights Weights  `config:"objective.weights"`
	Warmup  Duration `config:"schedule.warmup_steps"`
	// Sizes are image sizes and how long to train on each.
	Sizes           Phases   `config:"sizes"`
	EvalEvery       Duration `config:"eval_every"`
	CheckpointEvery Every    `config:"checkpoint_every checkpoint_seconds"`
}

// PlanOf returns the plan that Resolve turns into cfg, on the same cache.
func PlanOf(cfg Config) Plan {
	steps := func(n int64) Duration { return Duration{float64(n), Steps} }
	p := Plan{
		Config: cfg, Recipe: RecipeName(cfg.Recipe), Data: cfg.Cache.Path, Steps: Count(cfg.Schedule.Total), Batch: Batch(cfg.Batch), Images: OnHost,
		Weights: Weights{Values: cfg.Objective.Weights},
		Warmup:  steps(cfg.Schedule.Warmup), EvalEvery: steps(cfg.EvalEvery),
		CheckpointEvery: Every{steps(cfg.CheckpointEvery), time.Duration(math.Round(cfg.CheckpointSeconds * float64(time.Second)))},
	}
	if cfg.HoldOnDevice {
		p.Images = OnDevice
	}
	if cfg.HoldFeatures {
		p.Images = AsFeatures
	}
	begin := int64(0)
	for _, phase := range cfg.Sizes {
		p.Sizes = append(p.Sizes, Phase{phase.Size, steps(phase.Until - begin)})
		begin = phase.Until
	}
	return p
}

// Resolve returns the Config of a run of p on cache; devices are each worker's. Settings that
// cannot be resolved are an error; Config.Validate checks the other fields. With a Budget the
// length is MaxSteps for now, unless Steps is set: see FitBudget.
func (p Plan) Resolve(cache *data.Cache, devices []string, workers int) (Config, error) {
	cfg, err := p.place(cache, devices)
	if err != nil {
		return cfg, err
	}
	cfg.Batch = int(p.Batch)
	examples := len(cache.Labelled(data.Train, cfg.Target()))
	if cfg.Batch < 1 || cfg.Batch > examples {
		return cfg, &usage.Field{Name: "batch", Got: p.Batch, Expected: fmt.Sprintf("1 to %d, the size of the train split", examples)}
	}
	epoch := int64(examples / cfg.Batch)
	if err := p.setLength(&cfg, epoch, workers); err != nil {
		return cfg, err
	}
	parts, err := graph.MicroBatch(cfg.Batch, workers*len(devices), cfg.Accumulate)
	if err == nil && cfg.Pretrain.IsSet() && parts < leastPairs {
		err = &usage.Field{Name: "batch", Got: p.Batch, Expected: fmt.Sprintf("at least %d examples for each device and micro-batch: the loss compares the galaxies that a device sees at a time", leastPairs)}
	}
	if err == nil {
		err = graph.CheckMicroBatch(cfg.Model, parts, len(cfg.Sizes) > 0)
	}
	return cfg, err
}

// place returns the Config except the fields that depend on the batch.
func (p Plan) place(cache *data.Cache, devices []string) (Config, error) {
	cfg := p.Config
	path, err := filepath.Abs(p.Data)
	if err != nil {
		return cfg, err
	}
	m := cache.Manifest()
	cfg.Recipe = string(p.Recipe)
	cfg.Cache = CacheRef{Path: path, Checksum: m.Checksum, SplitSeed: m.SplitSeed, Split: m.SplitText(), Crop: m.Crop, Bands: m.Bands, Files: m.Files, Stretch: m.Stretch, Schema: m.Schema}
	cfg.Model.Size, cfg.Model.Mean, cfg.Model.Std = m.Size, m.ChannelMean, m.ChannelStd
	mean, std, err := cfg.Normalise.Statistics()
	if err != nil {
		return cfg, err
	}
	if mean != nil {
		if n := m.Bands.Channels(); len(mean) != n {
			return cfg, &usage.Field{Name: "normalise", Got: cfg.Normalise, Expected: fmt.Sprintf("statistics of the cache's %d channels", n)}
		}
		cfg.Model.Mean, cfg.Model.Std = mean, std
	}
	if err := cfg.Model.Precision.Validate(); err != nil {
		return cfg, usage.In("model", err)
	}
	gpu := session.IsGPU(devices[0])
	cfg.Model.Precision = cfg.Model.Precision.Resolve(gpu)
	if cfg.XLA && !gpu {
		return cfg, usage.Errorf("{xla} compiles for GPUs, and this run is on the CPU: leave it out ({xla=false} if the run began with it)")
	}
	cfg.HoldOnDevice, cfg.HoldFeatures = p.Images == OnDevice, p.Images == AsFeatures
	if cfg.Pretrain.IsSet() {
		cfg.Model.Outputs = cfg.Model.Projector.Width
		return cfg, nil
	}
	if cfg.Schema().IsNone() {
		return cfg, cfg.validateLearning()
	}
	cfg.Model.Outputs = cfg.Target().Width()
	cfg.Objective.Weights, err = p.Weights.of(cfg.Objective.Head, cache)
	return cfg, err
}

// setLength sets the length of the run and every duration.
func (p Plan) setLength(cfg *Config, epoch int64, workers int) error {
	tooLong := func(got Count, most int64) error {
		return &usage.Field{Name: "schedule.total_steps", Got: got, Expected: fmt.Sprintf("at most %d", most)}
	}
	if p.Budget > 0 {
		cfg.Budget.Seconds = time.Duration(p.Budget).Seconds()
	}
	switch {
	case int64(p.Epochs) > MaxSteps/epoch:
		return tooLong(p.Epochs, MaxSteps/epoch)
	case p.Epochs > 0:
		cfg.Schedule.Total = int64(p.Epochs) * epoch
	case p.Steps > MaxSteps:
		return tooLong(p.Steps, MaxSteps)
	case p.Steps > 0:
		cfg.Schedule.Total = int64(p.Steps)
	case p.Budget > 0 && workers > 1:
		return usage.Errorf("{budget}: several workers have to be told the same number of steps: give {epochs} or {steps}")
	case p.Budget > 0:
		cfg.Schedule.Total = MaxSteps
	default:
		return usage.Errorf("how long to train? give {epochs}, {steps} or {budget}")
	}
	total := cfg.Schedule.Total
	var errs []error
	steps := func(d Duration, name string) int64 {
		n, err := d.In(epoch, total)
		if err != nil {
			errs = append(errs, &usage.Field{Name: name, Got: d, Expected: err.Error()})
		}
		return n
	}
	cfg.Schedule.Warmup = steps(p.Warmup, "schedule.warmup_steps")
	cfg.EvalEvery = steps(p.EvalEvery, "eval_every")
	cfg.CheckpointEvery, cfg.CheckpointSeconds = steps(p.CheckpointEvery.Steps, "checkpoint_every"), p.CheckpointEvery.Time.Seconds()
	cfg.Sizes = nil
	until := int64(0)
	for _, phase := range p.Sizes {
		until += steps(phase.For, "sizes")
		cfg.Sizes = append(cfg.Sizes, SizePhase{Size: phase.Size, Until: until})
	}
	return errors.Join(errs...)
}

// OfSteps returns the Config of a run of p that has total steps, whatever length p has.
func (p Plan) OfSteps(cache *data.Cache, devices []string, total int64) (Config, error) {
	p.Epochs, p.Steps = 0, Count(total)
	cfg, err := p.Resolve(cache, devices, 1)
	return cfg, errors.Join(err, cfg.Validate())
}

// FindBatch returns p with AutoBatch replaced by the largest batch that fits: see
// LargestBatch. Of o it needs Cache and GPUMemory. Other batches do not change.
func (p Plan) FindBatch(ctx context.Context, o Options, devices []string, workers int, told func(batch int, fits bool)) (Plan, error) {
	if p.Batch != AutoBatch {
		return p, nil
	}
	no := func(expected string) (Plan, error) {
		return p, &usage.Field{Name: "batch", Got: p.Batch, Expected: expected}
	}
	switch {
	case workers > 1:
		return no("a number that all workers are given: find it with one of them alone")
	case !session.IsGPU(devices[0]):
		return no("a number on the CPU, because only GPUs have a fixed memory to fill")
	}
	var err error
	if o.Config, err = p.place(o.Cache, devices); err != nil {
		return p, err
	}
	n, err := LargestBatch(ctx, o, told)
	p.Batch = Batch(n)
	return p, err
}

// FieldPaths returns the path in config.json of the field of p that field points to, or the
// paths of the fields that it decides; none if it points elsewhere.
func (p *Plan) FieldPaths(field any) []string {
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		if paths := v.Type().Field(i).Tag.Get("config"); paths != "" && v.Field(i).Addr().Interface() == field {
			return strings.Fields(paths)
		}
	}
	if path := pathOf("", reflect.ValueOf(&p.Config).Elem(), field); path != "" {
		return []string{path}
	}
	return nil
}

func pathOf(path string, v reflect.Value, field any) string {
	for i := range v.NumField() {
		f, name := v.Field(i), fieldName(path, v.Type().Field(i))
		if f.Addr().Interface() == field {
			return name
		}
		if f.Kind() == reflect.Struct {
			if found := pathOf(name, f, field); found != "" {
				return found
			}
		}
	}
	return ""
}

// of returns the weights for a head; balanced weights are computed from the train split.
func (w Weights) of(head objective.Head, cache *data.Cache) ([]float64, error) {
	if !w.Balanced {
		return w.Values, nil
	}
	if head != objective.Classes {
		return nil, &usage.Field{Name: "objective.weights", Got: w, Expected: fmt.Sprintf("with {objective.head:%s} one number per column (answers) or question (tree)", head),
			Try: "only {objective.head=classes} has classes to balance"}
	}
	classes := cache.Schema().Classes()
	counts := make([]int, classes.Width())
	for _, i := range cache.Labelled(data.Train, classes) {
		counts[classes.ClassOf(cache.Labels(i))]++
	}
	return objective.BalancedWeights(classes, counts)
}
