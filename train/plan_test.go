package train_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/labels/labelstest"
	"galaxy/train"
	"galaxy/train/objective"
)

var cpu = []string{"/device:CPU:0"}

// PlanOf(cfg) resolves to cfg.
func TestPlanOf(t *testing.T) {
	cache := testCache(t, 60)
	cfg := testConfig(cache, 40)
	cfg.CheckpointSeconds, cfg.HoldOnDevice, cfg.EMA = 90, true, .9
	cfg.Sizes = nil
	cfg.Objective.Weights = nil
	for name, change := range map[string]func(c *train.Config){
		"as it is": func(*train.Config) {},
		"budget":   func(c *train.Config) { c.Budget.Seconds, c.Budget.Costs.Spent = 600, 3 },
		"classes": func(c *train.Config) {
			c.Objective = objective.Config{Head: objective.Classes, Loss: objective.CrossEntropy, Weights: []float64{1, 2, 3, 4, 5}}
			c.Model.Outputs = 5
		},
		"step": func(c *train.Config) {
			c.Schedule = train.Schedule{Kind: train.StepDecay, Rate: .1, Warmup: 3, Total: 40, Boundaries: []float64{.5}, Factor: .1}
		},
	} {
		want := cfg
		change(&want)
		got, err := train.PlanOf(want).Resolve(cache, cpu, 1)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want.Cache.Path = got.Cache.Path // one of them is absolute
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\nexpected %+v", name, got, want)
		}
	}
}

// Every recipe, with every optimizer and head, is sound; a rate, a decay and a loss are used
// only with the optimizer and the head that they were tuned for.
func TestRecipes(t *testing.T) {
	cache := testCache(t, 60)
	for _, recipe := range append(train.RecipeNames(), "") {
		for _, kind := range []graph.OptimizerKind{graph.AdamW, graph.Muon, graph.SGD} {
			for _, head := range objective.Heads() {
				var like train.Plan
				like.Recipe = train.RecipeName(recipe)
				like.Config.Optimizer.Kind, like.Config.Objective.Head = kind, head
				p := train.DefaultPlan(like)
				p.Config.Optimizer.Kind, p.Config.Objective.Head = kind, head // as if the user chose them
				p = train.DefaultPlan(p)
				p.Config.Optimizer.Kind, p.Config.Objective.Head = kind, head
				p.Steps, p.Batch = 40, 8
				cfg, err := p.Resolve(cache, cpu, 1)
				if err := errors.Join(err, cfg.Validate()); err != nil {
					t.Errorf("recipe %q, %s, %s: %v", recipe, kind, head, err)
				}
				rate, decay := .001, .05
				switch tuned := (map[string]graph.OptimizerKind{"best": graph.AdamW, "short": graph.Muon, "original": graph.AdamW}[recipe]); kind {
				case tuned:
					decay = map[string]float64{"best": .1, "short": .1, "original": 0}[recipe]
				case graph.SGD:
					rate, decay = .05, 5e-4
				}
				if cfg.Schedule.Rate != rate || cfg.Optimizer.WeightDecay != decay {
					t.Errorf("recipe %q, %s: rate %v, decay %v", recipe, kind, cfg.Schedule.Rate, cfg.Optimizer.WeightDecay)
				}
				if (cfg.Optimizer.Momentum > 0) != (kind != graph.AdamW) || (cfg.Optimizer.Beta1 > 0) != (kind != graph.SGD) {
					t.Errorf("recipe %q: %s has the constants %+v", recipe, kind, cfg.Optimizer)
				}
			}
		}
	}
}

// No recipe brings the head or the loss of vote fractions to labels of another kind.
func TestRecipesOfOtherLabels(t *testing.T) {
	plain, err := labels.FromClasses([]string{"FRI", "FRII", "Bent"})
	if err != nil {
		t.Fatal(err)
	}
	for _, recipe := range append(train.RecipeNames(), "") {
		for schema, want := range map[*labels.Schema]objective.Config{
			plain:                    objective.Default(objective.Classes, objective.CrossEntropy),
			labelstest.SmallCounts(): objective.Default(objective.Tree, objective.Dirichlet),
		} {
			var like train.Plan
			like.Recipe, like.Config.Cache.Schema = train.RecipeName(recipe), schema
			if got := train.DefaultPlan(like).Config.Objective; !reflect.DeepEqual(got, want) {
				t.Errorf("recipe %q, labels of %v: %v", recipe, schema, got)
			}
			like.Config.Objective.Head = objective.Classes
			if got := train.DefaultPlan(like).Config.Objective; got.Head != objective.Classes || got.Loss != objective.CrossEntropy {
				t.Errorf("recipe %q, the classes of %v: %v", recipe, schema, got)
			}
		}
	}
}

// The error names the setting that cannot be resolved.
func TestResolveErrors(t *testing.T) {
	cache := testCache(t, 60)
	for field, change := range map[string]func(p *train.Plan){
		"batch":                 func(p *train.Plan) { p.Batch = 1e6 },
		"schedule.total_steps":  func(p *train.Plan) { p.Steps = 1 << 40 },
		"schedule.warmup_steps": func(p *train.Plan) { p.Warmup = train.Duration{N: 1e12, Unit: train.Epochs} },
		"eval_every":            func(p *train.Plan) { p.EvalEvery = train.Duration{N: 1e12, Unit: train.Epochs} },
		"objective.weights":     func(p *train.Plan) { p.Weights.Balanced = true },
	} {
		p := train.PlanOf(testConfig(cache, 40))
		change(&p)
		_, err := p.Resolve(cache, cpu, 1)
		var wrong *usage.Field
		if !errors.As(err, &wrong) || wrong.Name != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	p := train.PlanOf(testConfig(cache, 40))
	p.Steps, p.Budget = 0, train.Time(time.Minute)
	if _, err := p.Resolve(cache, cpu, 2); err == nil {
		t.Error("a budget for two workers is resolved")
	}
	if cfg, err := p.Resolve(cache, cpu, 1); err != nil || cfg.Schedule.Total != train.MaxSteps || cfg.Budget.Seconds != 60 {
		t.Errorf("budget: %d steps for %v s, %v", cfg.Schedule.Total, cfg.Budget.Seconds, err)
	}
	if p.Budget = 0; p.Steps == 0 {
		if _, err := p.Resolve(cache, cpu, 1); err == nil {
			t.Error("a plan without a length is resolved")
		}
	}
}

// Changes names the field that decides, not the fields computed from it.
func TestChanges(t *testing.T) {
	cfg := train.Config{Batch: 8, Schedule: train.Schedule{Total: 10, Warmup: 2, Rate: .1}, EvalEvery: 5, Keep: 1}
	other := cfg
	other.Batch, other.Schedule.Total, other.Schedule.Warmup, other.Schedule.Rate, other.EvalEvery, other.Keep = 16, 5, 1, .2, 2, 3
	other.Objective.Constants = map[string]float64{"x": 1}
	want := []train.Change{{Field: "objective.constants.x", Was: "0", Now: "1"}, {Field: "schedule.rate", Was: "0.1", Now: "0.2"}, {Field: "batch", Was: "8", Now: "16"}}
	if got := train.Changes(cfg, other); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nexpected %+v", got, want)
	}
}

// A person's settings become numbers for the cache: 60 examples, some of them in the train
// split, in batches of 8.
func TestResolve(t *testing.T) {
	cache := testCache(t, 60)
	epoch := int64(len(cache.Labelled(data.Train, cache.Schema())) / 8)
	half := train.Duration{N: 50, Unit: train.Percent}
	p := train.DefaultPlan(train.Plan{Recipe: "best"})
	p.Data, p.Epochs, p.Batch, p.Images, p.Warmup = cache.Dir(), 4, 8, train.OnDevice, half
	p.EvalEvery, p.CheckpointEvery = train.Duration{N: 2, Unit: train.Epochs}, train.Every{Steps: train.Duration{N: 3}, Time: 90 * time.Second}
	p.Sizes = train.Phases{{Size: 32, For: half}, {Size: 40, For: train.Duration{N: 1}}}
	cfg, err := p.Resolve(cache, cpu, 1)
	if err != nil {
		t.Fatal(err)
	}
	m := cache.Manifest()
	for what, values := range map[string][2]any{
		"recipe":     {cfg.Recipe, "best"},
		"cache":      {cfg.Cache.Checksum, m.Checksum},
		"size":       {cfg.Model.Size, m.Size},
		"outputs":    {cfg.Model.Outputs, m.Schema.Width()},
		"batch":      {cfg.Batch, 8},
		"held":       {cfg.HoldOnDevice, true},
		"total":      {cfg.Schedule.Total, 4 * epoch},
		"warm-up":    {cfg.Schedule.Warmup, 2 * epoch},
		"eval":       {cfg.EvalEvery, 2 * epoch},
		"checkpoint": {cfg.CheckpointEvery, int64(3)},
		"seconds":    {cfg.CheckpointSeconds, 90.0},
		"sizes":      {fmt.Sprint(cfg.Sizes), fmt.Sprintf("32 px to step %d, 40 px to step %d", 2*epoch, 2*epoch+1)},
		"rotate":     {cfg.Augment.Rotate, 45.0},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: %v, expected %v", what, values[0], values[1])
		}
	}
}
