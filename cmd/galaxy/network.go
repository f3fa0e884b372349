package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zeebo/xxh3"

	"galaxy/data"
	"galaxy/graph"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/objective"
)

// network is a model to predict with where there is no cache.
type network struct {
	train.Predictor
	size    int      // height and width of its images, pixels
	crop    int      // side of the centre that they show, pixels; 0 of a model that does not tell
	columns []string // names of its answers
	step    int64
	// identity is all that its answers depend on, as JSON.
	identity any
	close    func() error
}

// openNetwork opens a run folder's best checkpoint, with constants for variables
// and batch norm folded, or a SavedModel as it is. precision is for a run; "" is
// that of the run.
func openNetwork(dir string, session graph.SessionConfig, precision graph.Precision) (network, error) {
	cfg, err := train.ReadConfig(dir)
	switch {
	case err == nil:
		return freezeRun(dir, cfg, session, precision)
	case exists(filepath.Join(dir, "saved_model.pb")):
		return openServed(dir, session)
	case errors.Is(err, fs.ErrNotExist):
		return network{}, fmt.Errorf("%s is neither a run folder (it has no config.json) nor a SavedModel (it has no saved_model.pb)", dir)
	}
	return network{}, err
}

func freezeRun(dir string, cfg train.Config, session graph.SessionConfig, precision graph.Precision) (network, error) {
	o, err := objective.New(cfg.Objective)
	if err != nil {
		return network{}, fmt.Errorf("run %s: %w", dir, err)
	}
	best, err := train.BestCheckpoint(dir, cfg)
	if err != nil {
		return network{}, err
	}
	weights, err := readWeights(cfg.Model, o.Posterior, best.Prefix())
	if err != nil {
		return network{}, err
	}
	if precision != "" {
		gpu, err := graph.HasGPU()
		if err != nil {
			return network{}, err
		}
		cfg.Model.Precision = precision.Resolve(gpu)
	}
	g, err := graph.NewInferenceGraph(cfg.Model, o.Posterior, weights)
	if err != nil {
		return network{}, err
	}
	inference, err := g.Open(session)
	if err != nil {
		return network{}, err
	}
	return network{
		Predictor: inference, size: cfg.Model.Size, crop: cfg.Cache.Crop, columns: cfg.Objective.Target().Names(), step: best.State.Step,
		identity: struct {
			Checksums map[string]string `json:"checkpoint"`
			Model     graph.Config      `json:"model"`
			Objective objective.Config  `json:"objective"`
		}{best.State.Checksums, cfg.Model, cfg.Objective},
		close: inference.Close,
	}, nil
}

// readWeights reads the values of a network's variables from a bundle.
func readWeights(cfg graph.Config, posterior graph.Posterior, prefix string) (_ graph.Weights, err error) {
	g, err := graph.NewInferenceGraph(cfg, posterior, nil)
	if err != nil {
		return nil, err
	}
	inference, err := g.Open(graph.SessionConfig{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, inference.Close()) }()
	if err := inference.Restore(prefix); err != nil {
		return nil, err
	}
	return inference.Weights()
}

func openServed(dir string, session graph.SessionConfig) (network, error) {
	loaded, err := savedmodel.Load(dir, savedmodel.LoadConfig{Session: session})
	if err != nil {
		return network{}, err
	}
	sums, err := checksums(dir)
	if err != nil {
		return network{}, fmt.Errorf("SavedModel %s: %w", dir, err)
	}
	n := network{Predictor: loaded, size: loaded.Size, identity: sums, close: func() error { return nil }}
	if meta := loaded.Metadata(); meta != nil {
		n.crop, n.step, n.columns = meta.Crop, meta.Step, meta.Answers
	}
	if len(n.columns) != loaded.Outputs {
		if n.columns, err = columnNames(loaded.Outputs); err != nil {
			return network{}, fmt.Errorf("SavedModel %s: %w", dir, err)
		}
	}
	return n, nil
}

// columnNames names the answers of a network that does not, by their number.
func columnNames(outputs int) ([]string, error) {
	for _, target := range []data.Target{data.Fractions, data.Classes} {
		if target.Width() == outputs {
			return target.Names(), nil
		}
	}
	return nil, fmt.Errorf("it gives %d answers: expected the %d %v or the %d %v", outputs, data.Answers, data.Fractions, data.CleanClasses, data.Classes)
}

// checksums is the xxh3, in hexadecimal, of every file of a folder by its path.
func checksums(dir string) (map[string]string, error) {
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := xxh3.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		sums[filepath.ToSlash(name)] = hex.EncodeToString(h.Sum(nil))
		return err
	})
	return sums, err
}
