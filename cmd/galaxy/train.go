package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/focal"
	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/kernels"
	"galaxy/train"
	"galaxy/train/objective"
)

func trainCommand() *cli.Command {
	return &cli.Command{
		Name:  "train",
		Usage: "train ResNet34 from random weights",
		Description: "Durations are steps (500), epochs (2epochs) or shares of the run (5%).\n" +
			"With --resume, flags that are left out are as the run began.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "data", Category: catRun, EnvVars: []string{"GALAXY_DATA"}, Usage: "`CACHE` made by galaxy prepare"},
			&cli.StringFlag{Name: "out", Category: catRun, EnvVars: []string{"GALAXY_RUN"}, Usage: "`RUN` folder; must not exist, except with --resume"},
			&cli.BoolFlag{Name: "resume", Category: catRun, Usage: "go on from the run's last checkpoint, on its own cache without --data; start afresh where there is none"},
			&cli.StringFlag{Name: "init-from", Category: catRun, Usage: "take the first weights from another `RUN` (its best checkpoint) or a TensorFlow bundle's prefix"},
			&cli.StringFlag{Name: "devices", Category: catRun, Value: string(session.AutoDevices), EnvVars: []string{"GALAXY_DEVICES"}, Usage: "`DEVICES` with a replica each: auto (all GPUs, else the CPU), cpu, cpu:N (N replicas that share the CPU), gpu (all) or gpu:0,2"},
			&cli.StringFlag{Name: "cache", Category: catRun, Value: cacheHost, Usage: "`WHERE` the training images are: host, which sends each batch, or device, in the memory of every device"},
			&cli.DurationFlag{Name: "time", Category: catRun, Usage: "stop after so long (90m, 2h), as a stop signal does; --resume goes on"},
			&cli.IntFlag{Name: "accumulate", Category: catRun, Value: 1, Usage: "see a replica's part of a batch in `N` micro-batches, which takes less memory"},
			threadsFlag(catRun), gpuMemoryFlag(catRun),
			&cli.BoolFlag{Name: "xla", Category: catRun, Usage: "compile the step for the GPUs: the first takes half a minute longer, the others about half the time (docs/devices.md)"},

			&cli.IntFlag{Name: "epochs", Category: catRecipe, Usage: "length of the run in passes over the train split"},
			&cli.Int64Flag{Name: "steps", Category: catRecipe, Usage: "length of the run in updates, instead of --epochs"},
			&cli.DurationFlag{Name: "budget", Category: catRecipe, Usage: "length of the run as a time (10m), instead of --epochs: the speed is measured first, then the number of steps is fixed for good"},
			&cli.StringFlag{Name: "recipe", Category: catRecipe, Usage: "`NAME` of a set of defaults for the flags left out: original or best (docs/recipe.md)"},
			&cli.StringFlag{Name: "batch", Category: catRecipe, Value: "32", Usage: "`B` examples a step, on all devices together; auto is about as many as fit into the memory of the GPUs"},
			&cli.StringFlag{Name: "precision", Category: catRecipe, Value: string(network.Auto), Usage: "of the convolutions: auto, float32, bfloat16 or float16"},
			&cli.StringFlag{Name: "sizes", Category: catRecipe, Usage: "`SIZE:DURATION,…` of early steps on smaller images: 32:40%,48:30% is 32 px (the least) for 40 % of the run, 48 px for 30 %, then all pixels"},
			&cli.Float64Flag{Name: "ema", Category: catRecipe, Usage: "`DECAY` of the moving average of the weights that is evaluated and exported, such as 0.999; 0 takes the weights themselves"},
			&cli.BoolFlag{Name: "align", Category: catRecipe, Usage: "level the major axis of every galaxy and bring it closer to one size, in the exported model too"},
			&cli.Float64Flag{Name: "dropout", Category: catRecipe, Value: 0.2, Usage: "share of the features left out before the head"},
			&cli.Int64Flag{Name: "seed", Category: catRecipe, Value: 1, EnvVars: []string{"GALAXY_SEED"}, Usage: "of weights, order, augmentation and dropout"},

			&cli.Float64Flag{Name: "rotate", Category: catAugment, Usage: "turn by up to `DEGREES` either way; 180 is the full circle"},
			&cli.BoolFlag{Name: "flip", Category: catAugment, Usage: "mirror half of them left to right, and half top to bottom"},
			&cli.Float64Flag{Name: "shift", Category: catAugment, Usage: "move by up to a `SHARE` of the side, in each direction"},
			&cli.Float64Flag{Name: "zoom", Category: catAugment, Usage: "shrink and enlarge by up to a `FACTOR` of 1 or more"},
			&cli.Float64Flag{Name: "brightness", Category: catAugment, Usage: "multiply the light by 1 ± up to a `SHARE`"},
			&cli.Float64Flag{Name: "contrast", Category: catAugment, Usage: "multiply the distance from the mean colour by 1 ± up to a `SHARE`"},
			&cli.Float64Flag{Name: "color", Category: catAugment, Usage: "multiply each colour channel by 1 ± up to a `SHARE`"},

			&cli.StringFlag{Name: "head", Category: catObjective, Value: string(objective.Independent), Usage: "answers (independent columns), tree (obeys the sum rules by construction) or five (the clean classes)"},
			&cli.StringFlag{Name: "loss", Category: catObjective, Value: string(objective.Focal), Usage: "focal, crossentropy or mse", DefaultText: "focal; crossentropy with the heads tree and five"},
			&cli.Float64Flag{Name: "alpha", Category: catObjective, Value: focal.Default().Alpha, Usage: "focal loss: weight of a vote for, in (0, 1)"},
			&cli.Float64Flag{Name: "gamma", Category: catObjective, Value: focal.Default().Gamma, Usage: "focal loss: focus on what is hard, 0 or more"},
			&cli.StringFlag{Name: "class-weights", Category: catObjective, Usage: "`W1,W2,…` of the columns (answers), questions (tree) or classes (five); five: or balanced"},
			&cli.Float64Flag{Name: "label-smoothing", Category: catObjective, Usage: "`SHARE` of the labels to spread evenly"},

			&cli.StringFlag{Name: "optimizer", Category: catOptimizer, Value: string(graph.AdamW), Usage: "adamw or sgd (with Nesterov momentum)"},
			&cli.Float64Flag{Name: "lr", Category: catOptimizer, Usage: "peak learning `R`ate", DefaultText: "0.001 adamw, 0.05 sgd"},
			&cli.StringFlag{Name: "schedule", Category: catOptimizer, Value: string(train.Cosine), Usage: "constant, step or cosine"},
			&cli.StringFlag{Name: "warmup", Category: catOptimizer, Value: "5%", Usage: "`DURATION` of the linear rise to the peak rate"},
			&cli.Float64Flag{Name: "final-lr", Category: catOptimizer, Usage: "rate that cosine ends at"},
			&cli.Float64SliceFlag{Name: "boundaries", Category: catOptimizer, Value: cli.NewFloat64Slice(0.5, 0.75), Usage: "step: `SHARES` of the run after which the rate falls"},
			&cli.Float64Flag{Name: "factor", Category: catOptimizer, Value: 0.1, Usage: "step: what the rate is multiplied by at a boundary"},
			&cli.StringFlag{Name: "on-nonfinite", Category: catOptimizer, Value: string(train.StopRun), Usage: "what to do about gradients that are not finite: stop the run, skip the update, or rollback to the last checkpoint"},
			&cli.Int64Flag{Name: "plateau", Category: catOptimizer, Usage: "multiply the rate by --plateau-factor after every `N` evaluations without a better validation RMSE; 0 never does"},
			&cli.Float64Flag{Name: "plateau-factor", Category: catOptimizer, Value: 0.3, Usage: "what the rate is multiplied by"},
			&cli.Float64Flag{Name: "weight-decay", Category: catOptimizer, Usage: "decoupled, of kernels only", DefaultText: "0.05 adamw, 0.0005 sgd"},
			&cli.Float64Flag{Name: "clip-norm", Category: catOptimizer, Value: 1, Usage: "largest global norm of the gradients; 0 does not clip"},
			&cli.Float64Flag{Name: "momentum", Category: catOptimizer, Value: 0.9, Usage: "sgd"},
			&cli.Float64Flag{Name: "beta1", Category: catOptimizer, Value: 0.9, Usage: "adamw"},
			&cli.Float64Flag{Name: "beta2", Category: catOptimizer, Value: 0.999, Usage: "adamw"},
			&cli.Float64Flag{Name: "epsilon", Category: catOptimizer, Value: 1e-8, Usage: "adamw"},

			&cli.StringFlag{Name: "eval-every", Category: catOutput, Value: "1epoch", Usage: "`DURATION` between evaluations of the validation split; 0 is only after the last step"},
			&cli.StringFlag{Name: "checkpoint-every", Category: catOutput, Value: "1epoch", Usage: "`DURATION` between checkpoints, which may be a time (10m), or a number of steps and a time (1epoch,10m); 0 is only the best and the last"},
			&cli.Int64Flag{Name: "patience", Category: catRecipe, Usage: "end the run after `N` evaluations without a better validation RMSE; 0 never does"},
			&cli.Int64Flag{Name: "log-every", Category: catOutput, Value: 1, Usage: "steps between lines of metrics"},
			heartbeatFlag(catOutput, "`FILE` to write signs of life to, for galaxy health"),
			&cli.IntFlag{Name: "keep", Category: catOutput, Usage: "checkpoints to keep beside the latest and the best"},
		}, clusterFlags()...),
		Action: trainAction,
	}
}

// Values of --cache.
const (
	cacheHost   = "host"
	cacheDevice = "device"
)

func trainAction(c *cli.Context) (err error) {
	began := time.Now()
	out := c.String("out")
	worker, err := workerOf(c)
	if err != nil {
		return usageError{err}
	}
	chief := worker == nil || worker.Index == 0
	var begun *train.Config
	if c.Bool("resume") && out != "" && chief {
		switch cfg, err := train.ReadConfig(out); {
		case err == nil:
			begun = &cfg
		case !errors.Is(err, fs.ErrNotExist) || exists(out):
			return err
		}
	}
	var needed []string
	if begun == nil && (chief || !c.Bool("resume")) {
		needed = append(needed, "data")
	}
	if chief {
		needed = append(needed, "out")
	}
	if err := checkArguments(c, needed...); err != nil {
		if chief && c.Bool("resume") && out != "" && !exists(out) {
			err = usageError{fmt.Errorf("there is no run %s to go on with; to begin it: %w", out, err)}
		}
		return err
	}
	for _, name := range []string{"time", "budget"} {
		if limit := c.Duration(name); c.IsSet(name) && limit <= 0 {
			return usageError{fmt.Errorf("--%s %v: expected more than none, such as 2h", name, limit)}
		}
	}
	workers := 1
	if worker != nil {
		workers = len(worker.Cluster)
		if !c.Bool("resume") { // before anybody waits for it
			if err := rehearse(c, workers); err != nil {
				return err
			}
		}
	}
	if path := c.String("heartbeat"); worker != nil && path != "" { // else it is Run's
		defer train.EndHeartbeat(path)
	}
	cluster, begun, err := joinCluster(c, worker, begun)
	if err != nil {
		return err
	}
	cfg, resumed := train.Config{}, begun != nil
	if resumed {
		cfg = *begun
	}
	own := resumed && c.String("data") == "" // the cache that the run tells
	if own {
		if err := c.Set("data", cfg.Cache.Path); err != nil {
			return err
		}
	}
	if err := checkArguments(c, "data"); err != nil { // where the chief was to tell and has none
		return err
	}
	cache, err := data.Open(c.String("data"))
	if errors.Is(err, fs.ErrNotExist) && own {
		err = fmt.Errorf("%w; if the run's cache has moved, give its folder with --data", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	if !resumed {
		if err := applyRecipe(c); err != nil {
			return usageError{err}
		}
	}
	devices, err := configure(c, cache, &cfg, workers, resumed)
	if err != nil {
		return usageError{err}
	}
	ctx := c.Context
	if limit := c.Duration("time"); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	progress := &trainProgress{bar: newBar(c, "train", "step")}
	if p := cfg.Model.Precision; p.Emulated(session.IsGPU(devices[0])) {
		progress.print("%s is emulated on this CPU (%s): every value is rounded and computed with in float32, which is no faster than --precision float32 and less exact (docs/machines.md)", p, kernels.InUse())
	}
	options := train.Options{
		Dir: out, Config: cfg, Cache: cache, Cluster: cluster, GPUMemory: session.GPUMemory(c.String("gpu-memory")), Version: galaxyVersion, Resume: c.Bool("resume"), Heartbeat: c.String("heartbeat"),
		Observers: []train.Observer{progress}, Started: func(step int64) { progress.started(step, cfg.Schedule.Total) },
		Notice: func(text string) { progress.print("%s", text) },
	}
	if cfg.Budget.Seconds > 0 && !resumed {
		progress.print("--budget %v: measuring how long a step takes", c.Duration("budget"))
		cfg, err = train.FitBudget(ctx, options, began, func(total int64) (train.Config, error) {
			longer := cfg
			longer.Schedule.Total = total
			err := setDurations(c, cache, &longer, func(_ string, apply func()) { apply() })
			return longer, errors.Join(err, longer.Validate())
		})
		if err != nil {
			return progress.close(err)
		}
		options.Config = cfg
		progress.print("%d steps, which end after about %v (%v)", cfg.Schedule.Total, time.Duration(cfg.Budget.Costs.Of(cfg))*time.Second, cfg.Budget.Costs)
	}
	progress.print("%s", describe(cfg, cluster, devices, cache))
	summary, err := train.Run(ctx, options)
	progress.breakdown()
	if err := progress.close(err); err != nil {
		return err
	}
	result := struct {
		Run string `json:"run"`
		train.Summary
		Budget train.Budget `json:"budget,omitzero"`
	}{out, summary, cfg.Budget}
	return report(c, result, func(w io.Writer) {
		if !chief {
			fmt.Fprintf(w, "trained %d steps as worker %d; the chief, worker 0, has the run\n", summary.Step, worker.Index)
			return
		}
		if summary.Early {
			fmt.Fprintf(w, "stopped early: %d evaluations without a better validation RMSE (--patience)\n", cfg.Patience)
		}
		fmt.Fprintf(w, "trained %d steps; best validation RMSE %.4f after step %d\nnext: galaxy eval --model %s --data %s --split test\n",
			summary.Step, summary.Best.RMSE, summary.Best.Step, out, c.String("data"))
	})
}

// rehearse finds mistakes in the flags of a new run.
func rehearse(c *cli.Context, workers int) (err error) {
	cache, err := data.Open(c.String("data"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	if err := applyRecipe(c); err != nil {
		return usageError{err}
	}
	if _, err := configure(c, cache, new(train.Config), workers, false); err != nil {
		return usageError{err}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// configure sets what the flags say in cfg: every flag, by its default where it
// is not given, or only those that are given when cfg is a resumed run's. It
// returns the names of the devices.
func configure(c *cli.Context, cache *data.Cache, cfg *train.Config, workers int, resumed bool) (devices []string, err error) {
	set := func(name string, apply func()) {
		if !resumed || c.IsSet(name) {
			apply()
		}
	}
	set("recipe", func() { cfg.Recipe = c.String("recipe") })
	path, err := filepath.Abs(c.String("data"))
	if err != nil {
		return nil, err
	}
	m := cache.Manifest()
	cfg.Cache = train.CacheRef{Path: path, Checksum: m.Checksum, SplitSeed: m.SplitSeed, Crop: m.Crop, Schema: m.Schema}
	cfg.Model.Size = m.Size
	cfg.Model.Mean, cfg.Model.Std = m.ChannelMean, m.ChannelStd
	set("precision", func() { cfg.Model.Precision = network.Precision(c.String("precision")) })
	if err := cfg.Model.Precision.Validate(); err != nil {
		return nil, err
	}
	set("devices", func() { cfg.Devices = session.Devices(c.String("devices")) })
	set("threads", func() { cfg.Threads = c.Int("threads") })
	if workers > 1 { // the cluster was joined with these, before a run was known
		cfg.Devices, cfg.Threads = session.Devices(c.String("devices")), c.Int("threads")
	}
	if where := c.String("cache"); where != cacheHost && where != cacheDevice {
		return nil, fmt.Errorf("--cache %s: expected %s or %s; the folder made by galaxy prepare is --data", where, cacheHost, cacheDevice)
	}
	set("cache", func() { cfg.HoldOnDevice = c.String("cache") == cacheDevice })
	set("accumulate", func() { cfg.Accumulate = c.Int("accumulate") })
	sessionConfig, err := sessionOf(c)
	if err != nil {
		return nil, err
	}
	sessionConfig.Threads = cfg.Threads
	devices, err = cfg.Devices.Resolve(sessionConfig)
	if err != nil {
		return nil, fmt.Errorf("--devices: %w", err)
	}
	cfg.Model.Precision = cfg.Model.Precision.Resolve(session.IsGPU(devices[0]))
	set("xla", func() { cfg.XLA = c.Bool("xla") })
	if cfg.XLA && !session.IsGPU(devices[0]) {
		return nil, errors.New("--xla compiles for GPUs, and this run is on the CPU: leave it out (--xla=false where the run began with it)")
	}
	set("ema", func() { cfg.EMA = c.Float64("ema") })
	set("align", func() { cfg.Model.Align = c.Bool("align") })
	set("dropout", func() { cfg.Model.Dropout = c.Float64("dropout") })
	configureAugment(c, &cfg.Augment, set)
	if err := configureObjective(c, cache, &cfg.Objective, set); err != nil {
		return nil, err
	}
	cfg.Model.Outputs = cfg.Target().Width()
	set("seed", func() { cfg.Seed = c.Int64("seed") })
	set("init-from", func() { cfg.InitFrom = c.String("init-from") })
	set("on-nonfinite", func() { cfg.OnNonFinite = train.OnNonFinite(c.String("on-nonfinite")) })
	set("patience", func() { cfg.Patience = c.Int64("patience") })
	set("plateau", func() { cfg.Plateau = c.Int64("plateau") })
	if cfg.Plateau > 0 {
		set("plateau-factor", func() { cfg.PlateauFactor = c.Float64("plateau-factor") })
	}
	set("log-every", func() { cfg.LogEvery = c.Int64("log-every") })
	set("keep", func() { cfg.Keep = c.Int("keep") })
	configureOptimizer(c, cfg, set)
	if err := checkKinds(c, *cfg); err != nil {
		return nil, err
	}
	set("batch", func() { cfg.Batch, err = parseBatch(c, cache, *cfg, workers, devices) })
	if err != nil {
		return nil, fmt.Errorf("--batch %s: %w", c.String("batch"), err)
	}
	if err := configureDurations(c, cache, cfg, workers, resumed, set); err != nil {
		return nil, err
	}
	examples, err := graph.MicroBatch(cfg.Batch, workers*len(devices), cfg.Accumulate)
	if err == nil {
		err = graph.CheckMicroBatch(examples, cfg.Model.Size, len(cfg.Sizes) > 0)
	}
	return devices, err
}

// parseBatch reads a number, or finds that of "auto".
func parseBatch(c *cli.Context, cache *data.Cache, cfg train.Config, workers int, devices []string) (int, error) {
	text := c.String("batch")
	if text != "auto" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, errors.New("expected a number, or auto")
		}
		return n, nil
	}
	switch {
	case workers > 1:
		return 0, errors.New("several workers have to be told the same number: find it with one of them alone")
	case !session.IsGPU(devices[0]):
		return 0, errors.New("it is for GPUs, which have so much memory and no more; give a number for the CPU")
	}
	return train.LargestBatch(c.Context, train.Options{Config: cfg, Cache: cache, GPUMemory: session.GPUMemory(c.String("gpu-memory"))}, func(batch int, fits bool) {
		fmt.Fprintf(c.App.ErrWriter, "--batch auto: %d %s\n", batch, map[bool]string{true: "fits", false: "does not fit"}[fits])
	})
}

func configureObjective(c *cli.Context, cache *data.Cache, o *objective.Config, set func(string, func())) error {
	set("head", func() { o.Head = objective.Head(c.String("head")) })
	set("loss", func() {
		o.Loss = objective.Loss(c.String("loss"))
		if !c.IsSet("loss") && o.Head != objective.Independent {
			o.Loss = objective.CrossEntropy // focal loss is one of independent answers
		}
	})
	if o.Loss == objective.Focal {
		set("alpha", func() { o.Alpha = c.Float64("alpha") })
		set("gamma", func() { o.Gamma = c.Float64("gamma") })
	}
	set("label-smoothing", func() { o.Smoothing = c.Float64("label-smoothing") })
	var err error
	set("class-weights", func() { o.Weights, err = parseWeights(c.String("class-weights"), o.Head, cache) })
	if err != nil {
		return fmt.Errorf("--class-weights: %w", err)
	}
	return nil
}

// parseWeights reads "1,2,0.5", or works out the weights of "balanced" from the
// train split of cache.
func parseWeights(text string, head objective.Head, cache *data.Cache) ([]float64, error) {
	switch {
	case text == "":
		return nil, nil
	case text == "balanced" && head != objective.Five:
		return nil, fmt.Errorf("balanced with --head %s: expected one number a column (answers) or question (tree); only --head five has classes to balance", head)
	case text == "balanced":
		classes := cache.Schema().Classes()
		counts := make([]int, classes.Width())
		for _, i := range cache.Labelled(data.Train, classes) {
			counts[classes.ClassOf(cache.Labels(i))]++
		}
		return objective.BalancedWeights(classes, counts)
	}
	var weights []float64
	for _, field := range strings.Split(text, ",") {
		w, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil {
			return nil, fmt.Errorf("%q: expected numbers with commas between them, or balanced", field)
		}
		weights = append(weights, w)
	}
	return weights, nil
}

func configureAugment(c *cli.Context, a *images.Augment, set func(string, func())) {
	set("rotate", func() { a.Rotate = c.Float64("rotate") })
	set("flip", func() { a.Flip = c.Bool("flip") })
	set("shift", func() { a.Shift = c.Float64("shift") })
	set("zoom", func() { a.Zoom = c.Float64("zoom") })
	set("brightness", func() { a.Brightness = c.Float64("brightness") })
	set("contrast", func() { a.Contrast = c.Float64("contrast") })
	set("color", func() { a.Color = c.Float64("color") })
}

func configureOptimizer(c *cli.Context, cfg *train.Config, set func(string, func())) {
	o := &cfg.Optimizer
	set("optimizer", func() { o.Kind = graph.OptimizerKind(c.String("optimizer")) })
	rate, decay := 1e-3, 0.05
	if o.Kind == graph.SGD {
		rate, decay = 0.05, 5e-4
		set("momentum", func() { o.Momentum = c.Float64("momentum") })
	} else {
		set("beta1", func() { o.Beta1 = c.Float64("beta1") })
		set("beta2", func() { o.Beta2 = c.Float64("beta2") })
		set("epsilon", func() { o.Epsilon = c.Float64("epsilon") })
	}
	given := func(name string, otherwise float64) float64 {
		if c.IsSet(name) {
			return c.Float64(name)
		}
		return otherwise
	}
	set("weight-decay", func() { o.WeightDecay = given("weight-decay", decay) })
	set("clip-norm", func() { o.ClipNorm = c.Float64("clip-norm") })
	s := &cfg.Schedule
	set("schedule", func() { s.Kind = train.ScheduleKind(c.String("schedule")) })
	set("lr", func() { s.Rate = given("lr", rate) })
	set("final-lr", func() { s.Final = c.Float64("final-lr") })
	if s.Kind == train.StepDecay {
		set("boundaries", func() { s.Boundaries = c.Float64Slice("boundaries") })
		set("factor", func() { s.Factor = c.Float64("factor") })
	}
}

// checkKinds refuses flags of an optimizer or a schedule that is not used: they
// would be ignored.
func checkKinds(c *cli.Context, cfg train.Config) error {
	var errs []error
	only := func(is bool, kind string, names ...string) {
		for _, name := range names {
			if !is && c.IsSet(name) {
				errs = append(errs, fmt.Errorf("--%s belongs to %s: leave it out, or choose that", name, kind))
			}
		}
	}
	only(cfg.Objective.Loss == objective.Focal, "--loss focal", "alpha", "gamma")
	only(cfg.Optimizer.Kind == graph.SGD, "--optimizer sgd", "momentum")
	only(cfg.Optimizer.Kind == graph.AdamW, "--optimizer adamw", "beta1", "beta2", "epsilon")
	only(cfg.Schedule.Kind == train.Cosine, "--schedule cosine", "final-lr")
	only(cfg.Plateau > 0, "--plateau", "plateau-factor")
	only(cfg.Schedule.Kind == train.StepDecay, "--schedule step", "boundaries", "factor")
	return errors.Join(errs...)
}

// epochOf is the number of steps of an epoch.
func epochOf(cache *data.Cache, cfg *train.Config) int64 {
	return int64(len(cache.Labelled(data.Train, cfg.Target())) / cfg.Batch)
}

// configureDurations finds the length of the run, which for --budget is train.MaxSteps for
// now, and turns every duration into steps.
func configureDurations(c *cli.Context, cache *data.Cache, cfg *train.Config, workers int, resumed bool, set func(string, func())) error {
	if examples := len(cache.Labelled(data.Train, cfg.Target())); cfg.Batch < 1 || cfg.Batch > examples {
		return fmt.Errorf("--batch %d: expected 1 to %d, the size of the train split", cfg.Batch, examples)
	}
	epoch := epochOf(cache, cfg)
	var given []string
	for _, name := range []string{"epochs", "steps", "budget"} {
		if c.IsSet(name) {
			given = append(given, "--"+name)
		}
	}
	switch epochs, steps, budget := c.IsSet("epochs"), c.IsSet("steps"), c.IsSet("budget"); {
	case len(given) > 1:
		return fmt.Errorf("%s: each says how long to train: give one of them", strings.Join(given, " and "))
	case epochs && int64(c.Int("epochs")) > train.MaxSteps/epoch:
		return fmt.Errorf("--epochs %d: expected at most %d", c.Int("epochs"), train.MaxSteps/epoch)
	case epochs:
		cfg.Schedule.Total = int64(c.Int("epochs")) * epoch
	case steps && c.Int64("steps") > train.MaxSteps:
		return fmt.Errorf("--steps %d: expected at most %d", c.Int64("steps"), int64(train.MaxSteps))
	case steps:
		cfg.Schedule.Total = c.Int64("steps")
	case budget:
		cfg.Budget.Seconds = c.Duration("budget").Seconds()
		if resumed {
			break // the steps were chosen when the run began
		}
		if workers > 1 {
			return errors.New("--budget: several workers have to be told the same number of steps: give --epochs or --steps")
		}
		cfg.Schedule.Total = train.MaxSteps
	case !resumed:
		return errors.New("how long to train? give --epochs, --steps or --budget")
	}
	if cfg.Schedule.Total < 1 {
		return fmt.Errorf("a run of %d steps: expected --epochs or --steps of at least 1", cfg.Schedule.Total)
	}
	err := setDurations(c, cache, cfg, set)
	if !resumed { // else a change is told as such, by Run
		err = errors.Join(err, cfg.Validate())
	}
	return err
}

// setDurations turns every duration into steps of a run of cfg.Schedule.Total.
func setDurations(c *cli.Context, cache *data.Cache, cfg *train.Config, set func(string, func())) error {
	epoch := epochOf(cache, cfg)
	var errs []error
	duration := func(name string, to *int64) {
		set(name, func() {
			n, err := parseDuration(c.String(name), epoch, cfg.Schedule.Total)
			if err != nil {
				errs = append(errs, fmt.Errorf("--%s %w", name, err))
			}
			*to = n
		})
	}
	duration("warmup", &cfg.Schedule.Warmup)
	set("sizes", func() {
		sizes, err := parseSizes(c.String("sizes"), epoch, cfg.Schedule.Total)
		if err != nil {
			errs = append(errs, fmt.Errorf("--sizes %w", err))
		}
		cfg.Sizes = sizes
	})
	duration("eval-every", &cfg.EvalEvery)
	set("checkpoint-every", func() {
		var err error
		if cfg.CheckpointEvery, cfg.CheckpointSeconds, err = parseCheckpointEvery(c.String("checkpoint-every"), epoch, cfg.Schedule.Total); err != nil {
			errs = append(errs, fmt.Errorf("--checkpoint-every %w", err))
		}
	})
	return errors.Join(errs...)
}

// parseDuration turns "500", "2epochs" or "5%" into steps, rounded to the
// nearest; what is above 0 is at least one step, since 0 means never.
func parseDuration(text string, epoch, total int64) (int64, error) {
	number, unit := text, 1.0
	if rest, ok := strings.CutSuffix(text, "%"); ok {
		number, unit = rest, float64(total)/100
	} else if rest, ok := strings.CutSuffix(strings.TrimSuffix(text, "s"), "epoch"); ok {
		number, unit = rest, float64(epoch)
	}
	x, err := strconv.ParseFloat(number, 64)
	if err != nil || !(x >= 0) || x*unit > train.MaxSteps {
		return 0, fmt.Errorf("%q: expected steps (500), epochs (2epochs) or a share of the run (5%%)", text)
	}
	if x == 0 {
		return 0, nil
	}
	return max(1, int64(math.Round(x*unit))), nil
}

// parseCheckpointEvery turns "1epoch,10m", or one of the two, into steps and seconds.
func parseCheckpointEvery(text string, epoch, total int64) (steps int64, seconds float64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		n, err := parseDuration(part, epoch, total)
		if err == nil && steps == 0 {
			steps = n
			continue
		}
		t, err2 := time.ParseDuration(part)
		if err == nil || err2 == nil && seconds > 0 {
			return 0, 0, fmt.Errorf("%q: expected at most one number of steps and one time", text)
		}
		if err2 != nil || t <= 0 {
			return 0, 0, fmt.Errorf("%w, or a time (10m)", err)
		}
		seconds = t.Seconds()
	}
	return steps, seconds, nil
}

// parseSizes turns "32:40%,48:2epochs" into a schedule of sizes.
func parseSizes(text string, epoch, total int64) (sizes train.Sizes, err error) {
	if text == "" {
		return nil, nil
	}
	until := int64(0)
	for _, phase := range strings.Split(text, ",") {
		pixels, duration, found := strings.Cut(phase, ":")
		size, err := strconv.Atoi(pixels)
		if err != nil || !found {
			return nil, fmt.Errorf("%q: expected SIZE:DURATION, such as 32:40%%", phase)
		}
		steps, err := parseDuration(duration, epoch, total)
		if err != nil {
			return nil, err
		}
		until += steps
		sizes = append(sizes, train.SizePhase{Size: size, Until: until})
	}
	return sizes, nil
}

// describe says in a few lines what is about to be trained.
func describe(cfg train.Config, cluster *session.Cluster, devices []string, cache *data.Cache) string {
	more := ""
	if cfg.Model.Align {
		more += ", aligned"
	}
	if len(cfg.Sizes) > 0 {
		more += fmt.Sprintf(", %v", cfg.Sizes)
	}
	if cfg.EMA > 0 {
		more += fmt.Sprintf(", averaged by %v", cfg.EMA)
	}
	shared := ""
	if w, n, m := cluster.Workers(), len(devices), max(1, cfg.Accumulate); w*n*m > 1 {
		if w > 1 {
			shared = fmt.Sprintf("%d workers × ", w)
		}
		shared += fmt.Sprintf("%d devices × ", n)
		if m > 1 {
			shared += fmt.Sprintf("%d micro-batches × ", m)
		}
		shared = fmt.Sprintf(" (%s%d)", shared, cfg.Batch/(w*n*m))
	}
	where := strings.ReplaceAll(strings.Join(devices, ", "), "/device:", "")
	if auto := cfg.Devices == session.AutoDevices || cfg.Devices == ""; auto && !session.IsGPU(devices[0]) {
		where += " (there is no GPU)"
	}
	examples := func(s data.Split) int { return len(cache.Labelled(s, cfg.Target())) }
	return fmt.Sprintf("ResNet34, %d px, %s; %v; %d train and %d validation galaxies; %d steps of %d%s%s; %s, %s rate %.3g; augmentation: %v; on %s",
		cfg.Model.Size, cfg.Model.Precision, cfg.Objective, examples(data.Train), examples(data.Validation), cfg.Schedule.Total, cfg.Batch, shared, more,
		cfg.Optimizer.Kind, cfg.Schedule.Kind, cfg.Schedule.Rate, cfg.Augment, where)
}
