package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/internal/usage"
	"galaxy/train"
	"galaxy/train/objective"
)

// setting is a row of the table of the settings of galaxy train and galaxy pretrain: a flag --name, a variable
// GALAXY_TRAIN_NAME or GALAXY_PRETRAIN_NAME and, for those of a Plan, a key of a configuration file.
type setting struct {
	name, category, usage string
	// of is the command that has the setting; "" is both.
	of string
	// was is a former name, which still counts.
	was string
	// field points to what the setting sets; its type says which texts are possible.
	field func(c *request) any
	// variable is an environment variable beside GALAXY_TRAIN_NAME, which goes first.
	variable string
	// unset describes the default where that is no value of field.
	unset string
	// choices are the possible values of one that has a few, for completion.
	choices []string
	// under is a setting that decides on the default of this one and, if with is not nil, whether
	// this one applies: with those of its values, or with any but 0 if with is empty.
	under string
	with  []string
	// instead is a group of settings of which one is given.
	instead string
}

var (
	optimizers = []string{string(graph.AdamW), string(graph.Muon), string(graph.SGD)}
	precisions = []string{string(network.Auto), string(network.Float32), string(network.BFloat16), string(network.Float16)}
)

// settings are the rows, in the order of a printed configuration: those of rows, and one per constant
// of a loss.
var settings = slices.Concat(rows, constants())

var rows = []setting{
	{name: "config", category: catRun, usage: "take settings from `FILE`: a .toml file (docs/configuration.md) or a run's config.json",
		field: func(c *request) any { return &c.config }},
	{name: "print-config", category: catRun, usage: "print the settings as a file for --config, with where each comes from, and end",
		field: func(c *request) any { return &c.printConfig }},
	{name: "data", category: catRun, variable: "GALAXY_DATA", usage: "`CACHE` made by galaxy prepare",
		field: func(c *request) any { return &c.plan.Data }},
	{name: "synthetic", of: cmdTrain, category: catRun, usage: "instead of --data: draw `N` galaxies as galaxy synth does, with the Galaxy Zoo challenge's labels, and keep them in a cache beside --out (docs/pretrain.md)", unset: "none",
		field: func(c *request) any { return &c.synthetic }},
	{name: "synthetic-size", of: cmdTrain, category: catRun, usage: "side of their images in `PX`",
		field: func(c *request) any { return &c.syntheticSize }},
	{name: "out", category: catRun, variable: "GALAXY_RUN", usage: "`RUN` folder; must not exist, except with --resume",
		field: func(c *request) any { return &c.out }},
	{name: "resume", category: catRun, usage: "continue from the run's last checkpoint, on its own cache without --data; start from scratch if there is none",
		field: func(c *request) any { return &c.resume }},
	{name: "init-from", category: catRun, usage: "take the initial weights that fit from another `RUN` (its best checkpoint), a SavedModel, torchvision's or timm's weights (.safetensors) or a TensorFlow bundle's prefix (docs/transfer.md)",
		field: func(c *request) any { return &c.plan.Config.InitFrom }},
	{name: "freeze", of: cmdTrain, category: catRun, usage: "`LAYERS` that keep the weights of --init-from: none, stem, N (the stem and the first N blocks) or all (only the head is trained)",
		field: func(c *request) any { return &c.plan.Config.Freeze }, choices: []string{"none", string(network.FreezeStem), string(network.FreezeAll)}},
	{name: "devices", category: catRun, variable: "GALAXY_DEVICES", usage: "`DEVICES` with a replica each: auto (all GPUs, else the CPU), cpu, cpu:N (N replicas that share the CPU), gpu (all) or gpu:0,2",
		field: func(c *request) any { return &c.plan.Config.Devices }},
	{name: "images-on", was: "cache", category: catRun, usage: "`WHERE` the training images are: host, which sends each batch, device, in the memory of every device, or features, which galaxy train computes once, for --freeze all without augmentation",
		field: func(c *request) any { return &c.plan.Images }, choices: []string{string(train.OnHost), string(train.OnDevice), string(train.AsFeatures)}},
	{name: "time", category: catRun, usage: "stop after this time (90m, 2h), as after a stop signal; --resume continues", unset: "none",
		field: func(c *request) any { return &c.limit }},
	{name: "accumulate", category: catRun, usage: "gradient accumulation: split each replica's part of the batch into `N` micro-batches to save memory",
		field: func(c *request) any { return &c.plan.Config.Accumulate }},
	{name: "threads", category: catRun, variable: "GALAXY_THREADS", usage: threadsUsage,
		field: func(c *request) any { return &c.plan.Config.Threads }},
	{name: "gpu-memory", category: catRun, variable: "GALAXY_GPU_MEMORY", usage: gpuMemoryUsage,
		field: func(c *request) any { return &c.gpuMemory }},
	{name: "xla", category: catRun, usage: "compile the step for the GPUs: the first steps take half a minute longer, the others about half the time (docs/devices.md)",
		field: func(c *request) any { return &c.plan.Config.XLA }},

	{name: "steps", category: catRecipe, usage: "length of the run in steps, instead of --epochs", unset: "none", instead: "the length of the run",
		field: func(c *request) any { return &c.plan.Steps }},
	{name: "epochs", category: catRecipe, usage: "length of the run in epochs, passes over the train split", unset: "none", instead: "the length of the run",
		field: func(c *request) any { return &c.plan.Epochs }},
	{name: "budget", category: catRecipe, usage: "length of the run as a time (10m), instead of --epochs: the speed is measured first, then the number of steps is fixed for good", unset: "none", instead: "the length of the run",
		field: func(c *request) any { return &c.plan.Budget }},
	{name: "recipe", of: cmdTrain, category: catRecipe, usage: "`NAME` of a set of defaults: " + usage.OneOf(train.RecipeNames()) + " (docs/recipe.md)",
		field: func(c *request) any { return &c.plan.Recipe }, choices: train.RecipeNames()},
	{name: "batch", category: catRecipe, usage: "`B` examples per step, the total across all devices; auto is about as many as fit into the memory of the GPUs",
		field: func(c *request) any { return &c.plan.Batch }},
	{name: "arch", category: catRecipe, variable: "GALAXY_ARCH", usage: "`NETWORK`: " + usage.OneOf(network.Names()),
		field: func(c *request) any { return &c.plan.Config.Model.Arch }, choices: network.Names()},
	{name: "precision", category: catRecipe, usage: "precision of the convolutions: " + usage.OneOf(precisions),
		field: func(c *request) any { return &c.plan.Config.Model.Precision }, choices: precisions},
	{name: "sizes", category: catRecipe, usage: "`SIZE:DURATION,…` of early steps on smaller images: 32:40%,48:30% is 32 px (the least) for 40 % of the run, 48 px for 30 %, then all pixels",
		field: func(c *request) any { return &c.plan.Sizes }},
	{name: "ema", category: catRecipe, usage: "`DECAY` of the moving average of the weights that is evaluated and exported, such as 0.999; 0 takes the raw weights",
		field: func(c *request) any { return &c.plan.Config.EMA }},
	{name: "align", category: catRecipe, usage: "rotate every galaxy so that its major axis is horizontal, and bring it closer to one size, in the exported model too",
		field: func(c *request) any { return &c.plan.Config.Model.Align }},
	{name: "padding", category: catRecipe, usage: "`WHERE` strided layers pad images: same, as Keras does, or symmetric, as PyTorch does (docs/weights.md)", unset: "that of --init-from, else same",
		field: func(c *request) any { return &c.plan.Config.Model.Padding }, choices: names(network.Paddings())},
	{name: "normalise", category: catRecipe, usage: "`STATISTICS` of the channels: cache (of the train split), imagenet, or MEAN,…:STD,… on the scale 0 to 1", unset: "those that --init-from records, else cache",
		field: func(c *request) any { return &c.plan.Config.Normalise }},
	{name: "dropout", of: cmdTrain, category: catRecipe, usage: "fraction of the features that training drops before the head",
		field: func(c *request) any { return &c.plan.Config.Model.Dropout }},
	{name: "patience", of: cmdTrain, category: catRecipe, usage: "end the run after `N` evaluations without a better validation RMSE; 0 never ends it early",
		field: func(c *request) any { return &c.plan.Config.Patience }},
	{name: "seed", category: catRecipe, variable: "GALAXY_SEED", usage: "seed of initial weights, order, augmentation and dropout",
		field: func(c *request) any { return &c.plan.Config.Seed }},

	{name: "rotate", category: catAugment, usage: "rotate by up to `DEGREES` either way; 180 is the full circle",
		field: func(c *request) any { return &c.plan.Config.Augment.Rotate }},
	{name: "flip", category: catAugment, usage: "mirror half of the images left to right, and half top to bottom",
		field: func(c *request) any { return &c.plan.Config.Augment.Flip }},
	{name: "shift", category: catAugment, usage: "move by up to a `FRACTION` of the side, in each direction",
		field: func(c *request) any { return &c.plan.Config.Augment.Shift }},
	{name: "zoom", category: catAugment, usage: "downscale and enlarge by up to a `FACTOR`; 0 or 1 is none",
		field: func(c *request) any { return &c.plan.Config.Augment.Zoom }},
	{name: "brightness", category: catAugment, usage: "multiply the light by 1 ± up to a `FRACTION`",
		field: func(c *request) any { return &c.plan.Config.Augment.Brightness }},
	{name: "contrast", category: catAugment, usage: "multiply the distance from the mean colour by 1 ± up to a `FRACTION`",
		field: func(c *request) any { return &c.plan.Config.Augment.Contrast }},
	{name: "color", category: catAugment, usage: "multiply each colour channel by 1 ± up to a `FRACTION`",
		field: func(c *request) any { return &c.plan.Config.Augment.Color }},

	{name: "head", of: cmdTrain, category: catObjective, usage: aboutHeads(),
		field: func(c *request) any { return &c.plan.Config.Objective.Head }, choices: names(objective.Heads())},
	{name: "loss", of: cmdTrain, category: catObjective, usage: "loss to train with: " + usage.OneOf(names(objective.Losses())),
		field: func(c *request) any { return &c.plan.Config.Objective.Loss }, choices: names(objective.Losses()), under: "head"},
	{name: "class-weights", of: cmdTrain, category: catObjective, usage: "`W1,W2,…` of the columns (answers), questions (tree) or classes (classes), or balanced for classes: n/(K·n of the class)",
		field: func(c *request) any { return &c.plan.Weights }, under: "head"},
	{name: "label-smoothing", of: cmdTrain, category: catObjective, usage: "`FRACTION` of the labels to spread evenly",
		field: func(c *request) any { return &c.plan.Config.Objective.Smoothing }},

	{name: "projector", of: cmdPretrain, category: catObjective, usage: "outputs of each layer of the projector, the part of the network that only the loss without labels reads",
		field: func(c *request) any { return &c.plan.Config.Model.Projector.Width }},
	{name: "projector-layers", of: cmdPretrain, category: catObjective, usage: "layers of the projector",
		field: func(c *request) any { return &c.plan.Config.Model.Projector.Layers }},
	{name: "invariance", of: cmdPretrain, category: catObjective, usage: "weight of the loss's term that makes two views of a galaxy alike",
		field: func(c *request) any { return &c.plan.Config.Pretrain.Invariance }},
	{name: "variance", of: cmdPretrain, category: catObjective, usage: "weight of the loss's term that keeps galaxies apart",
		field: func(c *request) any { return &c.plan.Config.Pretrain.Variance }},
	{name: "covariance", of: cmdPretrain, category: catObjective, usage: "weight of the loss's term that keeps the outputs from repeating each other",
		field: func(c *request) any { return &c.plan.Config.Pretrain.Covariance }},

	{name: "optimizer", category: catOptimizer, usage: "optimizer: adamw, muon (adamw with orthogonalised momentum for the convolutions), or sgd with Nesterov momentum",
		field: func(c *request) any { return &c.plan.Config.Optimizer.Kind }, choices: optimizers},
	{name: "lr", category: catOptimizer, usage: "peak learning `R`ate",
		field: func(c *request) any { return &c.plan.Config.Schedule.Rate }, under: "optimizer"},
	{name: "schedule", category: catOptimizer, usage: "schedule of the learning rate: " + usage.OneOf(train.Schedules()),
		field: func(c *request) any { return &c.plan.Config.Schedule.Kind }, choices: train.Schedules()},
	{name: "warmup", category: catOptimizer, usage: "`DURATION` of the linear rise to the peak rate",
		field: func(c *request) any { return &c.plan.Warmup }},
	{name: "final-lr", category: catOptimizer, usage: "learning rate at the end of the schedule",
		field: func(c *request) any { return &c.plan.Config.Schedule.Final }, under: "schedule", with: train.SchedulesWith("final_rate")},
	{name: "boundaries", category: catOptimizer, usage: "`FRACTIONS` of the run after which the learning rate falls",
		field: func(c *request) any { return &c.plan.Config.Schedule.Boundaries }, under: "schedule", with: train.SchedulesWith("boundaries")},
	{name: "factor", category: catOptimizer, usage: "factor on the learning rate at each boundary",
		field: func(c *request) any { return &c.plan.Config.Schedule.Factor }, under: "schedule", with: train.SchedulesWith("factor")},
	{name: "on-nonfinite", category: catOptimizer, usage: "what to do about gradients that are not finite: stop the run, skip the update, or rollback to the last checkpoint",
		field: func(c *request) any { return &c.plan.Config.OnNonFinite }, choices: train.OnNonFinites()},
	{name: "plateau", of: cmdTrain, category: catOptimizer, usage: "multiply the learning rate by --plateau-factor after every `N` evaluations without a better validation RMSE; 0 never does",
		field: func(c *request) any { return &c.plan.Config.Plateau }},
	{name: "plateau-factor", of: cmdTrain, category: catOptimizer, usage: "factor on the learning rate at a plateau",
		field: func(c *request) any { return &c.plan.Config.PlateauFactor }, under: "plateau", with: []string{}},
	{name: "weight-decay", category: catOptimizer, usage: "decoupled weight decay, of kernels only",
		field: func(c *request) any { return &c.plan.Config.Optimizer.WeightDecay }, under: "optimizer"},
	{name: "layer-decay", category: catOptimizer, usage: "`FACTOR` on the learning rate from each layer to the one below it, such as 0.75 to finetune; the head has the full rate; 0 is none",
		field: func(c *request) any { return &c.plan.Config.Optimizer.LayerDecay }},
	{name: "clip-norm", category: catOptimizer, usage: "largest global norm of the gradients; 0 does not clip",
		field: func(c *request) any { return &c.plan.Config.Optimizer.ClipNorm }},
	{name: "momentum", category: catOptimizer, usage: "Nesterov momentum",
		field: func(c *request) any { return &c.plan.Config.Optimizer.Momentum }, under: "optimizer", with: []string{string(graph.Muon), string(graph.SGD)}},
	{name: "beta1", category: catOptimizer, usage: "decay of the first moment",
		field: func(c *request) any { return &c.plan.Config.Optimizer.Beta1 }, under: "optimizer", with: []string{string(graph.AdamW), string(graph.Muon)}},
	{name: "beta2", category: catOptimizer, usage: "decay of the second moment",
		field: func(c *request) any { return &c.plan.Config.Optimizer.Beta2 }, under: "optimizer", with: []string{string(graph.AdamW), string(graph.Muon)}},
	{name: "epsilon", category: catOptimizer, usage: "number added to the root of the second moment",
		field: func(c *request) any { return &c.plan.Config.Optimizer.Epsilon }, under: "optimizer", with: []string{string(graph.AdamW), string(graph.Muon)}},

	{name: "eval-every", category: catOutput, usage: "`DURATION` between evaluations of the validation split; 0 is only after the last step",
		field: func(c *request) any { return &c.plan.EvalEvery }},
	{name: "checkpoint-every", category: catOutput, usage: "`DURATION` between checkpoints, which may be a time (10m), or a number of steps and a time (1epoch,10m); 0 is only the best and the last",
		field: func(c *request) any { return &c.plan.CheckpointEvery }},
	{name: "log-every", category: catOutput, usage: "steps between lines of metrics",
		field: func(c *request) any { return &c.plan.Config.LogEvery }},
	{name: "report", of: cmdTrain, category: catOutput, usage: "write what the run has learned into its folder at the end, as report.html (galaxy report); --report=false leaves it out",
		field: func(c *request) any { return &c.report }},
	{name: "live", category: catOutput, usage: "serve a page that follows the run at `ADDRESS`, such as 127.0.0.1:8600 (galaxy watch shows a run that was started without it)",
		field: func(c *request) any { return &c.live }},
	{name: "heartbeat", category: catOutput, variable: "GALAXY_HEARTBEAT", usage: "`FILE` to write a heartbeat to, for galaxy health",
		field: func(c *request) any { return &c.heartbeat }},
	{name: "keep", category: catOutput, usage: "checkpoints to keep besides the latest and the best",
		field: func(c *request) any { return &c.plan.Config.Keep }},

	{name: "cluster", category: catCluster, usage: "`HOST:PORT,…` of all workers, the same list on each; the first is the chief, which has the run folder; without it, TF_CONFIG sets the same",
		field: func(c *request) any { return &c.clusterHosts }},
	{name: "worker", category: catCluster, usage: "index of this worker in --cluster; 0 is the chief", unset: "none",
		field: func(c *request) any { return &c.workerIndex }},
	{name: "listen", category: catCluster, usage: "`IP` address of this machine to listen on; 0.0.0.0 is all of them", unset: "this worker's host in --cluster",
		field: func(c *request) any { return &c.listen }},
	{name: "worker-timeout", category: catCluster, usage: "how long workers wait for each other, at the start and in a step",
		field: func(c *request) any { return &c.workerTimeout }},
}

// aboutHeads lists the heads for the help.
func aboutHeads() string {
	var about []string
	for _, h := range objective.Heads() {
		about = append(about, fmt.Sprintf("%s (%s)", h, h.About()))
	}
	return "output layer: " + usage.OneOf(about)
}

// constants are the settings of the losses' constants.
func constants() []setting {
	var all []setting
	for _, k := range objective.Constants() {
		all = append(all, setting{
			name: constantName(k), of: cmdTrain, category: catObjective, usage: fmt.Sprintf("%s, %v to %v", k.Usage, k.Low, k.High),
			field: func(c *request) any { return constant{&c.plan.Config.Objective, k.Name} }, under: "loss", with: []string{string(k.Loss)},
		})
	}
	return all
}

func constantName(k objective.Constant) string { return strings.ReplaceAll(k.Name, "_", "-") }

// constant is the field of a setting of constants.
type constant struct {
	objective *objective.Config
	name      string
}

// String returns the constant as a person types it.
func (c constant) String() string { return strconv.FormatFloat(c.value(), 'g', -1, 64) }

func (c constant) value() float64 { return c.objective.Constant(c.name) }

// UnmarshalText sets the constant.
func (c constant) UnmarshalText(text []byte) error {
	x, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return errNumber
	}
	c.objective.SetConstant(c.name, x)
	return nil
}

func (c constant) paths() []string {
	return []string{"objective." + c.name, "objective.constants." + c.name}
}

func names[T ~string](values []T) []string {
	var all []string
	for _, v := range values {
		all = append(all, string(v))
	}
	return all
}
