package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// recipes are named defaults of galaxy train's flags. docs/recipe.md tells where
// they come from and what each part is worth.
var recipes = map[string]map[string]string{
	// The Keras design that this project began from, as far as its documents
	// tell: ResNet34 with dropout, focal loss, a constant rate.
	"original": {
		"head": "answers", "loss": "focal", "batch": "64", "align": "false", "dropout": "0.2", "ema": "0", "sizes": "",
		"optimizer": "adamw", "weight-decay": "0", "clip-norm": "0", "schedule": "constant", "lr": "0.001", "warmup": "0",
	},
	// What did best by experiment on Galaxy Zoo's images.
	"best": {
		"head": "answers", "loss": "crossentropy", "batch": "64", "align": "true", "dropout": "0.2", "ema": "0", "sizes": "",
		"rotate": "45", "flip": "true", "zoom": "1.3", "shift": "0.05",
		"optimizer": "adamw", "weight-decay": "0.1", "schedule": "cosine", "lr": "0.001", "warmup": "5%",
	},
}

// applyRecipe gives the flags that the command line leaves out the values of the
// recipe that it names.
func applyRecipe(c *cli.Context) error {
	name := c.String("recipe")
	if name == "" {
		return nil
	}
	recipe, ok := recipes[name]
	if !ok {
		return fmt.Errorf("--recipe %s: expected one of %s", name, strings.Join(slices.Sorted(maps.Keys(recipes)), ", "))
	}
	other := c.IsSet("optimizer") && c.String("optimizer") != recipe["optimizer"]
	for flag, value := range recipe {
		if c.IsSet(flag) || other && (flag == "lr" || flag == "weight-decay") { // which are the recipe's optimizer's
			continue
		}
		if err := c.Set(flag, value); err != nil {
			return fmt.Errorf("--recipe %s: --%s: %w", name, flag, err)
		}
	}
	return nil
}
