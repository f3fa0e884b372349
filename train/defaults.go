package train

import (
	"cmp"

	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/train/objective"
)

// DefaultPlan returns the default settings of a run, without Data and a length. Some defaults
// depend on other choices, which like holds: its recipe, optimizer, schedule, head and loss,
// whether it has a plateau, whether it learns without labels (Config.Pretrain), and the schema of its cache (counts have another head and loss). The
// zero Plan leaves these to the recipe or to their own defaults. Constants that do not apply, such
// as AdamW's momentum, are 0.
func DefaultPlan(like Plan) Plan {
	chosen, c := defaults(like).Config, &like.Config
	if !c.Pretrain.IsSet() {
		c.Objective.Head = cmp.Or(c.Objective.Head, chosen.Objective.Head)
		c.Objective.Loss = cmp.Or(c.Objective.Loss, chosen.Objective.Loss)
	}
	c.Optimizer.Kind = cmp.Or(c.Optimizer.Kind, chosen.Optimizer.Kind)
	c.Schedule.Kind = cmp.Or(c.Schedule.Kind, chosen.Schedule.Kind)
	return defaults(like)
}

// defaults is DefaultPlan for a like that makes the recipe's choices.
func defaults(like Plan) Plan {
	c := like.Config
	head := cmp.Or(c.Objective.Head, objective.DefaultHead(c.Schema()))
	loss := head.DefaultLoss(c.Schema())
	p := Plan{
		Recipe: like.Recipe,
		Config: Config{
			Model:     network.Config{Arch: network.Default, Precision: network.Auto, Dropout: 0.2},
			Objective: objective.Default(head, cmp.Or(c.Objective.Loss, loss)),
			Cache:     CacheRef{Schema: c.Cache.Schema},
			Seed:      1, OnNonFinite: StopRun, LogEvery: 1, Devices: session.AutoDevices, Accumulate: 1,
		},
		Batch: 32, Images: OnHost, Warmup: Duration{5, Percent},
		EvalEvery: Duration{1, Epochs}, CheckpointEvery: Every{Steps: Duration{1, Epochs}},
	}
	p.Config.Objective.Loss = loss // with the constants of the one that will be used
	p.Config.Optimizer, p.Config.Schedule.Rate = DefaultOptimizer(cmp.Or(c.Optimizer.Kind, graph.AdamW))
	s := &p.Config.Schedule
	s.Kind = Cosine
	if c.Schedule.Kind == StepDecay {
		s.Boundaries, s.Factor = []float64{0.5, 0.75}, 0.1
	}
	if c.Plateau > 0 {
		p.Config.PlateauFactor = 0.3
	}
	if c.Pretrain.IsSet() {
		setPretraining(&p)
	}
	for _, r := range Recipes {
		if r.Name == like.Recipe {
			r.apply(&p, c)
		}
	}
	return p
}

// setPretraining sets the defaults of a run without labels (docs/pretrain.md has the sources and measurements).
func setPretraining(p *Plan) {
	c := &p.Config
	c.Objective, c.Pretrain = objective.Config{}, objective.DefaultPairs()
	c.Model.Dropout, c.Model.Projector = 0, network.Projector{Width: 1024, Layers: 3}
	c.Augment = images.Augment{Rotate: 180, Flip: true, Shift: 0.05, Zoom: 1.5, Brightness: 0.2, Contrast: 0.2, Color: 0.1}
	p.Batch = 128
}

// DefaultOptimizer returns the constants of a kind of optimizer, and its peak learning rate.
func DefaultOptimizer(kind graph.OptimizerKind) (graph.Optimizer, float64) {
	if kind == graph.SGD {
		return graph.Optimizer{Kind: kind, Momentum: 0.9, WeightDecay: 5e-4, ClipNorm: 1}, 0.05
	}
	o := graph.Optimizer{Kind: kind, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.05, ClipNorm: 1}
	if kind == graph.Muon {
		o.Momentum = 0.9
	}
	return o, 1e-3
}
