package main

import (
	"fmt"
	"io"
	"testing"

	"github.com/urfave/cli/v2"
)

// Every recipe sets flags that there are, to values that they take, and none that
// the command line gives.
func TestRecipes(t *testing.T) {
	for name, recipe := range recipes {
		command := trainCommand()
		command.Action = func(c *cli.Context) error {
			if err := applyRecipe(c); err != nil {
				return err
			}
			for flag, want := range recipe {
				if flag == "lr" {
					want = "0.25"
				}
				if got := fmt.Sprint(c.Value(flag)); !c.IsSet(flag) || got != want {
					t.Errorf("%s: --%s is %s, want %s", name, flag, got, want)
				}
			}
			return nil
		}
		app := &cli.App{Commands: []*cli.Command{command}, Writer: io.Discard}
		// Rate and decay are those of an optimizer.
		sgd := trainCommand()
		sgd.Action = func(c *cli.Context) error {
			if err := applyRecipe(c); err != nil {
				return err
			}
			if c.IsSet("lr") || c.IsSet("weight-decay") || c.String("optimizer") != "sgd" {
				t.Errorf("%s with --optimizer sgd: rate %v, decay %v of another", name, c.Value("lr"), c.Value("weight-decay"))
			}
			return nil
		}
		if err := (&cli.App{Commands: []*cli.Command{sgd}, Writer: io.Discard}).Run([]string{"galaxy", "train", "--recipe", name, "--optimizer", "sgd"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := app.Run([]string{"galaxy", "train", "--recipe", name, "--lr", "0.25"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
