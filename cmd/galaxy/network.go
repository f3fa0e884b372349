package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	"github.com/urfave/cli/v2"
	"github.com/zeebo/xxh3"

	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// input says how the images of a model are made.
type input struct {
	shape   imagefile.Shape
	bands   imagefile.Bands // the channels
	crop    imagefile.Crop  // the centre that they show; 0 if the model does not record it
	stretch stretch.Stretch // none for images that have 8 bits already
	files   string          // the pattern of their names; "" if the model records none
}

// opened is a model to predict with: a run's checkpoint or a SavedModel.
type opened struct {
	train.Predictor
	input
	splitSeed  int64  // split seed of its training cache
	split      string // rule of that split
	step       int64
	warning    string // message for the user about how it runs here
	served     bool   // a SavedModel
	noMetadata bool   // a SavedModel that does not record how it was trained
	// trained is its training objective, a guess if noMetadata; nil of a run that learned without labels.
	trained *objective.Objective
	// loss is trained's loss; nil if it is unknown, or the model has no logits.
	loss metric.Loss
	// identity returns everything that its predictions depend on, as JSON.
	identity func() (any, error)
	close    func() error
}

func (n opened) target() *labels.Schema { return n.trained.Target() }

// useNewest makes --model name the newest version, if it names a folder of versions. Whatever
// reports the model then names the version.
func useNewest(c *cli.Context) error {
	dir := c.String("model")
	model, sentence, err := savedmodel.Newest(dir)
	if err != nil {
		return err
	}
	if sentence != "" {
		fmt.Fprintf(c.App.ErrWriter, "%s: %s\n", dir, sentence)
	}
	return c.Set("model", model)
}

// errNoHead is the error for a run that learned without labels, where predictions are needed.
func errNoHead(dir, try string) error {
	return usage.Error{Err: fmt.Errorf("%s learned without labels and predicts nothing: %s; galaxy train --init-from %s learns to predict from its weights", dir, try, dir)}
}

// opener is openNetwork or openAny.
type opener func(dir string, sessionConfig session.Config, precision network.Precision, other external) (opened, error)

// openNetwork opens a network that predicts, as openAny does.
func openNetwork(dir string, sessionConfig session.Config, precision network.Precision, other external) (opened, error) {
	n, err := openAny(dir, sessionConfig, precision, other)
	if err == nil && n.trained == nil {
		return opened{}, errors.Join(errNoHead(dir, "galaxy embed and galaxy neighbours use its features"), n.close())
	}
	return n, err
}

// openAny opens a run folder's best checkpoint or a SavedModel. A run uses its
// training precision; with a precision given, its weights become constants and
// batch norm is folded. other describes a SavedModel without metadata.
func openAny(dir string, sessionConfig session.Config, precision network.Precision, other external) (opened, error) {
	cfg, err := train.ReadConfig(dir)
	switch {
	case err == nil:
		if err := other.refuseRun(dir, cfg.Objective); err != nil {
			return opened{}, err
		}
		return openRun(dir, cfg, sessionConfig, precision)
	case exists(filepath.Join(dir, "saved_model.pb")):
		return openSavedModel(dir, sessionConfig, other)
	case errors.Is(err, syscall.ENOTDIR):
		return opened{}, fmt.Errorf("%s is a file: expected the folder of a run or of a SavedModel", dir)
	case errors.Is(err, fs.ErrNotExist):
		return opened{}, fmt.Errorf("%s is neither a run folder (it has no config.json) nor a SavedModel (it has no saved_model.pb)", dir)
	}
	return opened{}, err
}

func openRun(dir string, cfg train.Config, sessionConfig session.Config, precision network.Precision) (opened, error) {
	var o *objective.Objective
	posterior := func(_ *op.Scope, embeddings tf.Output) tf.Output { return embeddings } // nobody reads them
	if !cfg.Pretrain.IsSet() {
		var err error
		if o, err = objective.New(cfg.Objective, cfg.Schema()); err != nil {
			return opened{}, fmt.Errorf("run %s: %w", dir, err)
		}
		posterior = o.Posterior
	}
	var best *checkpoint.Checkpoint
	restore := func(i *graph.Inference) error {
		return train.WithBest(dir, cfg, func(c *checkpoint.Checkpoint) error {
			best = c
			return i.Restore(c.Prefix())
		})
	}
	gpu, err := session.HasGPU(sessionConfig)
	if err != nil {
		return opened{}, err
	}
	open, model := restored, cfg.Model
	if precision != "" {
		open, model.Precision = frozen, precision.Resolve(gpu)
	}
	model.Emulated = model.Precision.Emulated(gpu)
	inference, err := open(model, posterior, restore, sessionConfig)
	if err != nil {
		return opened{}, err
	}
	n := opened{
		Predictor: inference, input: input{cfg.Model.Shape(), cfg.Cache.Bands, cfg.Cache.Crop, cfg.Cache.Stretch, cfg.Cache.Files}, splitSeed: cfg.Cache.SplitSeed, split: cfg.Cache.Split, step: best.State.Step,
		trained: o,
		identity: func() (any, error) {
			return struct {
				Checksums map[string]string `json:"checkpoint"`
				Model     network.Config    `json:"model"`
				Objective objective.Config  `json:"objective"`
			}{best.State.Checksums, model, cfg.Objective}, nil
		},
		close: inference.Close,
	}
	if o != nil {
		n.loss = o
	}
	return n, nil
}

// restored opens a network with variables, set by restore.
func restored(cfg network.Config, posterior graph.Posterior, restore func(*graph.Inference) error, sessionConfig session.Config) (*graph.Inference, error) {
	g, err := graph.NewInferenceGraph(cfg, posterior, nil)
	if err != nil {
		return nil, err
	}
	inference, err := g.Open(sessionConfig)
	if err != nil {
		return nil, err
	}
	if err := restore(inference); err != nil {
		return nil, errors.Join(err, inference.Close())
	}
	return inference, nil
}

// frozen opens a network with the weights read by restore as constants.
func frozen(cfg network.Config, posterior graph.Posterior, restore func(*graph.Inference) error, sessionConfig session.Config) (*graph.Inference, error) {
	variables, err := restored(cfg, posterior, restore, session.Config{})
	if err != nil {
		return nil, err
	}
	weights, err := variables.Weights()
	if err := errors.Join(err, variables.Close()); err != nil {
		return nil, err
	}
	g, err := graph.NewInferenceGraph(cfg, posterior, weights)
	if err != nil {
		return nil, err
	}
	return g.Open(sessionConfig)
}

func openSavedModel(dir string, sessionConfig session.Config, other external) (opened, error) {
	load := other.load
	load.Session = sessionConfig
	loaded, err := savedmodel.Load(dir, load)
	if err != nil {
		return opened{}, err
	}
	n := opened{Predictor: loaded, input: input{shape: loaded.Shape}, served: true, warning: loaded.Warning(), close: loaded.Close}
	if meta := loaded.Metadata(); meta != nil {
		if err := other.tells(dir, meta.Objective); err != nil {
			return opened{}, err
		}
		n.bands, n.crop, n.stretch, n.files = meta.Bands, meta.Crop, meta.Stretch, meta.Files
		n.splitSeed, n.split, n.step = meta.SplitSeed, meta.Split, meta.Step
		if n.trained, err = objective.New(meta.Objective, meta.Schema); err != nil {
			return opened{}, fmt.Errorf("SavedModel %s: %w; if an older version of galaxy wrote it, export it again", dir, err)
		}
		n.loss = n.trained
	} else {
		n.noMetadata = true
		if n.shape.Channels == 1 {
			n.bands = imagefile.Grey
		}
		if n.Predictor, n.trained, err = other.answers(dir, loaded); err != nil {
			return opened{}, err
		}
		if other.loss != nil && loaded.Logits.Op != nil {
			n.loss = n.trained
		}
	}
	if loaded.Outputs != n.trained.Outputs() {
		return opened{}, fmt.Errorf("SavedModel %s gives %d answers: expected the %d of the %s head", dir, loaded.Outputs, n.trained.Outputs(), n.trained.Config().Head)
	}
	n.identity = func() (any, error) {
		sums, err := checksums(dir)
		if err != nil {
			return nil, fmt.Errorf("SavedModel %s: %w", dir, err)
		}
		return struct {
			Checksums map[string]string     `json:"files"`
			Load      savedmodel.LoadConfig `json:"load"`
			Objective objective.Config      `json:"objective"`
		}{sums, other.load, n.trained.Config()}, nil
	}
	return n, nil
}

// checksums returns the xxh3, in hexadecimal, of every file of a SavedModel except its card, by
// path.
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
		if name == savedmodel.CardFile {
			return err // no prediction depends on it
		}
		sums[filepath.ToSlash(name)] = hex.EncodeToString(h.Sum(nil))
		return err
	})
	return sums, err
}
