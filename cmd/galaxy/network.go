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
	served  bool // a SavedModel, which is run as it is
	// identity is all that its answers depend on, as JSON.
	identity any
	close    func() error
}

// openNetwork opens a run folder's best checkpoint, with constants for variables
// and batch norm folded, or a SavedModel as it is. precision is for a run, other
// for a SavedModel that does not tell itself.
func openNetwork(dir string, session graph.SessionConfig, precision graph.Precision, other foreign) (network, error) {
	cfg, err := train.ReadConfig(dir)
	switch {
	case err == nil:
		if err := other.refuseRun(dir, cfg.Objective); err != nil {
			return network{}, err
		}
		return freezeRun(dir, cfg, session, precision)
	case exists(filepath.Join(dir, "saved_model.pb")):
		return openServed(dir, session, other)
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
	gpu, err := graph.HasGPU()
	if err != nil {
		return network{}, err
	}
	cfg.Model.Precision = precision.Resolve(gpu)
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

func openServed(dir string, session graph.SessionConfig, other foreign) (network, error) {
	load := other.load
	load.Session = session
	loaded, err := savedmodel.Load(dir, load)
	if err != nil {
		return network{}, err
	}
	sums, err := checksums(dir)
	if err != nil {
		return network{}, fmt.Errorf("SavedModel %s: %w", dir, err)
	}
	n := network{Predictor: loaded, size: loaded.Size, served: true, close: func() error { return nil }}
	var o *objective.Objective
	if meta := loaded.Metadata(); meta != nil {
		if err := other.tells(dir, meta.Objective); err != nil {
			return network{}, err
		}
		n.crop, n.step = meta.Crop, meta.Step
		if o, err = objective.New(meta.Objective); err != nil {
			return network{}, fmt.Errorf("SavedModel %s: %w; if an older version of galaxy wrote it, export it again", dir, err)
		}
	} else if n.Predictor, o, err = other.answers(dir, loaded); err != nil {
		return network{}, err
	}
	if loaded.Outputs != o.Outputs() {
		return network{}, fmt.Errorf("SavedModel %s gives %d answers: expected the %d of the %s head", dir, loaded.Outputs, o.Outputs(), o.Config().Head)
	}
	n.columns = o.Config().Target().Names()
	n.identity = struct {
		Checksums map[string]string     `json:"files"`
		Load      savedmodel.LoadConfig `json:"load"`
		Objective objective.Config      `json:"objective"`
	}{sums, other.load, o.Config()}
	return n, nil
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
