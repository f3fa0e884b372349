package train_test

import (
	"context"
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/graph/images"
	"galaxy/labels"
	"galaxy/labels/labelstest"
	"galaxy/predict"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/objective"
)

// A schema other than the built-in one works in every command: prepare, train, resume,
// evaluate, export, load and predict, with each head.
func TestSmallSchema(t *testing.T) {
	small := labelstest.Small()
	cache := testCacheOf(t, small, 60, func(y float64) map[string]float64 {
		// The bright ones are smooth and alone, the dark ones blades.
		return map[string]float64{"smooth": y, "featured": 1 - y, "edge-on": 1 - y, "alone": y}
	})
	for _, c := range []struct {
		head    objective.Head
		columns []string
	}{
		{objective.Independent, small.Columns()}, {objective.Tree, small.Columns()}, {objective.Classes, []string{"loner", "blade"}},
	} {
		t.Run(string(c.head), func(t *testing.T) {
			cfg := testConfig(cache, 4)
			cfg.Objective = objective.Config{Head: c.head, Loss: objective.CrossEntropy}
			cfg.Model.Outputs = len(c.columns)
			run := filepath.Join(t.TempDir(), "run")
			options := train.Options{Dir: run, Cache: cache, Config: cfg}
			ctx, stop := context.WithCancel(t.Context())
			first := options
			first.Observers = []train.Observer{hook{step: func(train.StepResult) error { stop(); return nil }}}
			if _, err := train.Run(ctx, first); !errors.Is(err, train.ErrStopped) {
				t.Fatalf("got %v, expected ErrStopped", err)
			}
			options.Resume = true
			if _, err := train.Run(t.Context(), options); err != nil {
				t.Fatal(err)
			}
			read, err := train.ReadConfig(run)
			if err != nil {
				t.Fatal(err)
			}
			if !read.Schema().Equal(small) {
				t.Fatalf("the run has labels of %v", read.Schema())
			}
			model := exported(t, run, read)
			if !model.Metadata().Schema.Equal(small) || !slices.Equal(model.Metadata().Answers, c.columns) {
				t.Errorf("the SavedModel has labels of %v and answers %q", model.Metadata().Schema, model.Metadata().Answers)
			}
			o, err := objective.New(model.Metadata().Objective, model.Metadata().Schema)
			if err != nil {
				t.Fatal(err)
			}
			scores, err := train.Evaluate(t.Context(), model, train.Evaluation{Cache: cache, Split: data.Train, Target: o.Target(), Loss: o, Full: true})
			if err != nil {
				t.Fatal(err)
			}
			if !(scores.RMSE > 0 && scores.RMSE < 1) || len(scores.CleanClasses.Classes) != 2 || c.head != objective.Classes && len(scores.Questions) != 3 {
				t.Errorf("scores %+v", scores.Scores)
			}
			predicts(t, model, o.Target(), c.columns)
		})
	}

	t.Run("another schema", func(t *testing.T) {
		cfg := testConfig(cache, 2)
		cfg.Cache.Schema, cfg.Model.Outputs = labels.GalaxyZoo(), labels.GalaxyZoo().Width()
		_, err := train.Run(t.Context(), train.Options{Dir: filepath.Join(t.TempDir(), "run"), Cache: cache, Config: cfg})
		if err == nil || !strings.Contains(err.Error(), "has labels of the schema small; expected those of Galaxy Zoo challenge") {
			t.Errorf("a run of another schema than its cache's: %v", err)
		}
	})
}

// Counts of votes go the whole way with each of their losses.
func TestVoteCounts(t *testing.T) {
	schema := labelstest.SmallCounts()
	galaxy := 0.0
	cache := testCacheOf(t, schema, 60, func(y float64) map[string]float64 {
		galaxy++
		n := 1 + math.Mod(7*galaxy, 20) // volunteers
		smooth := math.Round(n * y)
		return map[string]float64{"smooth": smooth, "featured": n - smooth, "edge-on": math.Floor((n - smooth) / 2), "alone": math.Floor(smooth / 2)}
	})
	for _, loss := range []objective.Loss{objective.Dirichlet, objective.CrossEntropy} {
		t.Run(string(loss), func(t *testing.T) {
			cfg := testConfig(cache, 4)
			cfg.Objective = objective.Default(objective.Tree, loss)
			cfg.Model.Outputs = schema.Width()
			run := filepath.Join(t.TempDir(), "run")
			if _, err := train.Run(t.Context(), train.Options{Dir: run, Cache: cache, Config: cfg}); err != nil {
				t.Fatal(err)
			}
			read, err := train.ReadConfig(run)
			if err != nil {
				t.Fatal(err)
			}
			model := exported(t, run, read)
			o, err := objective.New(model.Metadata().Objective, model.Metadata().Schema)
			if err != nil {
				t.Fatal(err)
			}
			scores, err := train.Evaluate(t.Context(), model, train.Evaluation{Cache: cache, Split: data.Train, Target: o.Target(), Loss: o, Full: true})
			if err != nil {
				t.Fatal(err)
			}
			v, loss := scores.Votes, float64(scores.Loss)
			if v == nil || scores.Baseline.Votes == nil || !(v.Coverage90 > v.Coverage50) || !(scores.RMSE > float64(v.NoiseRMSE)) {
				t.Fatalf("scores %+v", scores.Scores)
			}
			// Both are of the same probabilities, but for float32.
			if !(math.Abs(loss+float64(v.LogLikelihood)) <= 1e-4*loss) {
				t.Errorf("the loss is %v, the log-likelihood %v", loss, v.LogLikelihood)
			}
			predicts(t, model, schema.Predicted(), schema.Columns())
		})
	}
}

// A run of a schema of counts that names no head and no loss has theirs, beside each recipe too.
func TestDefaultsOfCounts(t *testing.T) {
	for _, recipe := range append(train.RecipeNames(), "") {
		var like train.Plan
		like.Recipe, like.Config.Cache.Schema = train.RecipeName(recipe), labelstest.SmallCounts()
		if got := train.DefaultPlan(like).Config.Objective; got.Head != objective.Tree || got.Loss != objective.Dirichlet {
			t.Errorf("recipe %q: %v", recipe, got)
		}
		like.Config.Objective.Head = objective.Classes
		if got := train.DefaultPlan(like).Config.Objective; got.Loss != objective.CrossEntropy {
			t.Errorf("recipe %q: %v", recipe, got)
		}
	}
}

// exported returns a run's SavedModel.
func exported(t *testing.T, run string, cfg train.Config) *savedmodel.Model {
	t.Helper()
	o, err := objective.New(cfg.Objective, cfg.Schema())
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "model")
	err = train.WithBest(run, cfg, func(best *checkpoint.Checkpoint) error {
		return savedmodel.Export(t.Context(), savedmodel.Config{
			Out: out, Checkpoint: best.Prefix(), Model: cfg.Model, Posterior: o.Posterior, Crop: cfg.Cache.Crop,
			Metadata: savedmodel.Metadata{Answers: o.Target().Columns(), Schema: cfg.Schema(), Objective: cfg.Objective},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	model, err := savedmodel.Load(out, savedmodel.LoadConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// predicts writes a table of predictions and checks its header and the sum rules of its
// rows.
func predicts(t *testing.T, model *savedmodel.Model, target *labels.Schema, columns []string) {
	t.Helper()
	folder := t.TempDir()
	for i := range 3 {
		writeGrey(t, folder, 1+i, float64(i)/2)
	}
	files, err := data.OpenImages(folder, data.TestImages)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	decoder, err := images.NewDecoder(data.DefaultCrop, testSize)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	out := filepath.Join(t.TempDir(), "table.csv")
	if _, err := predict.Run(t.Context(), predict.Config{
		Out: out, Source: predict.Files{Images: files, Order: []int{0, 1, 2}, Decoder: decoder}, Columns: target.Columns(), Shape: imagefile.Shape{Size: testSize, Channels: 3}, Project: target,
	}, model); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := append([]string{data.IDColumn}, columns...); len(table) != 4 || !slices.Equal(table[0], want) {
		t.Fatalf("%d rows with the header %q, want %q", len(table), table[0], want)
	}
	for _, line := range table[1:] {
		var row []float32
		for _, field := range line[1:] {
			v, err := strconv.ParseFloat(field, 32)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, float32(v))
		}
		if err := target.CheckSums(row, 1e-4); err != nil {
			t.Error(err)
		}
	}
}
