package train

import (
	"slices"

	"galaxy/graph"
	"galaxy/internal/usage"
	"galaxy/train/objective"
)

// Recipe is a named set of defaults. docs/recipe.md has the experiments behind each.
type Recipe struct {
	Name RecipeName
	// Doc is one line about its origin.
	Doc string
	// Set sets the fields of a Plan that the recipe decides.
	Set func(p *Plan)
}

// RecipeName is the name of one of Recipes, "" for none.
type RecipeName string

// Recipes lists all recipes.
var Recipes = []Recipe{
	{"original", "the Keras design that this project started from, as far as its documents say: ResNet34 with dropout, focal loss, a constant rate", func(p *Plan) {
		c := &p.Config
		c.Objective.Head, c.Objective.Loss = objective.Independent, objective.Focal
		c.Model.Align, c.Model.Dropout, c.EMA = false, 0.2, 0
		c.Optimizer.Kind, c.Optimizer.WeightDecay, c.Optimizer.ClipNorm = graph.AdamW, 0, 0
		c.Schedule.Kind, c.Schedule.Rate = Constant, 0.001
		p.Batch, p.Sizes, p.Warmup = 64, nil, Duration{}
	}},
	{"best", "the best RMSE by experiment on Galaxy Zoo's images, in 60 epochs", best},
	{"short", "best for a run of up to about 20 epochs, which fits the galaxies too little rather than too well: Muon, no dropout, milder rotations and zooms", func(p *Plan) {
		best(p)
		c := &p.Config
		c.Optimizer.Kind = graph.Muon
		c.Model.Dropout, c.Augment.Rotate, c.Augment.Zoom = 0, 15, 1.2
	}},
}

func best(p *Plan) {
	c := &p.Config
	c.Objective.Head, c.Objective.Loss = objective.Independent, objective.CrossEntropy
	c.Model.Align, c.Model.Dropout, c.EMA = true, 0.2, 0
	c.Augment.Rotate, c.Augment.Flip, c.Augment.Zoom, c.Augment.Shift = 45, true, 1.3, 0.05
	c.Optimizer.Kind, c.Optimizer.WeightDecay = graph.AdamW, 0.1
	c.Schedule.Kind, c.Schedule.Rate = Cosine, 0.001
	p.Batch, p.Sizes, p.Warmup = 64, nil, Duration{5, Percent}
}

// RecipeNames lists the names of Recipes.
func RecipeNames() []string {
	var names []string
	for _, r := range Recipes {
		names = append(names, string(r.Name))
	}
	return names
}

// UnmarshalText reads the name of a recipe, "" for none.
func (n *RecipeName) UnmarshalText(text []byte) error {
	if s := string(text); s != "" && !slices.Contains(RecipeNames(), s) {
		return expected(usage.OneOf(RecipeNames()))
	}
	*n = RecipeName(text)
	return nil
}

// apply sets r's defaults in p, given the choices in like. r's rate and weight decay apply
// only with r's optimizer, and its loss only with its head. Its head and loss are for vote fractions.
func (r Recipe) apply(p *Plan, like Config) {
	plain := p.Config
	r.Set(p)
	if k := like.Optimizer.Kind; k != "" && k != p.Config.Optimizer.Kind {
		p.Config.Schedule.Rate, p.Config.Optimizer.WeightDecay = plain.Schedule.Rate, plain.Optimizer.WeightDecay
	}
	if objective.DefaultHead(like.Schema()) != objective.Independent { // counts, or plain classes
		p.Config.Objective.Head, p.Config.Objective.Loss = plain.Objective.Head, plain.Objective.Loss
	}
	if h := like.Objective.Head; h != "" && h != p.Config.Objective.Head {
		p.Config.Objective.Loss = plain.Objective.Loss
	}
}
