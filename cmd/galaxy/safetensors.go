package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"galaxy/data/imagefile"
	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/graph/torch"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/savedmodel"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/objective"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name:  "import",
		Usage: "write the weights of a ResNet of torchvision or timm as a SavedModel",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "safetensors", Category: catInput, Usage: "`FILE` with the weights (docs/weights.md)"},
			&cli.StringFlag{Name: "out", Category: catOutput, Usage: "`DIR` to make; must not exist"},
			&cli.IntFlag{Name: "size", Category: catInput, Value: 224, Usage: "height and width of the images, `PIXELS`"},
			&cli.StringFlag{Name: "crop", Category: catInput, Value: "100%", Usage: "central `SQUARE` of a JPEG that is downscaled to the size: pixels, or a percentage of the shorter side"},
			&cli.StringFlag{Name: "bands", Category: catInput, Usage: "`NAMES` of the channels, such as g,r,z", DefaultText: "rgb or grey, by their number"},
			&cli.StringFlag{Name: "normalise", Category: catInput, Usage: "statistics of the channels that the weights expect: imagenet, or `MEAN,…:STD,…` on the scale 0 to 1", DefaultText: "as the file or a config.json next to it records, else imagenet"},
		},
		Action: importAction,
	}
}

func importAction(c *cli.Context) (err error) {
	if err := checkArguments(c, "safetensors", "out"); err != nil {
		return err
	}
	f, err := torch.Open(c.String("safetensors"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	cfg, err := importConfig(c, f)
	if err != nil {
		return err
	}
	weights, err := f.Weights()
	if err != nil {
		return fmt.Errorf("weights of %s: %w", c.String("safetensors"), err)
	}
	temporary, err := os.MkdirTemp("", "galaxy-import-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	shapes := map[string][]int64{}
	for _, v := range f.Variables {
		shapes[v.Name] = v.Shape
	}
	cfg.Checkpoint = filepath.Join(temporary, "weights")
	if err := session.WriteBundle(cfg.Checkpoint, shapes, weights); err != nil {
		return err
	}
	if err := savedmodel.Export(c.Context, cfg); err != nil {
		return err
	}
	result := struct {
		Out       string            `json:"out"`
		Arch      string            `json:"arch"`
		Outputs   int               `json:"outputs"`
		Padding   network.Padding   `json:"padding"`
		Normalise network.Normalise `json:"normalise"`
	}{cfg.Out, cfg.Model.Arch, cfg.Model.Outputs, cmp.Or(cfg.Model.Padding, network.Same), cfg.Metadata.Normalise}
	return report(c, result, func(w io.Writer) {
		fmt.Fprintf(w, "SavedModel %s: %s, images of %v, %s, %s padding, normalised by %s (%s)\n", cfg.Out, result.Arch, cfg.Model.Shape(), usage.Count(result.Outputs, "output"), result.Padding, result.Normalise, cmp.Or(f.Source, "--normalise"))
	})
}

// importConfig describes the SavedModel of a file's network. Its outputs are classes: that is what the
// weights of both libraries predict.
func importConfig(c *cli.Context, f *torch.File) (cfg savedmodel.Config, err error) {
	model := f.Model
	model.Size = c.Int("size")
	if text := c.String("normalise"); text != "" {
		if model.Mean, model.Std, err = network.Normalise(text).Numbers(); err != nil {
			return cfg, usage.Error{Err: err}
		}
		f.Source = "--normalise"
	}
	bands := map[int]imagefile.Bands{1: imagefile.Grey, 3: imagefile.RGB}[f.Channels]
	if text := c.String("bands"); text != "" {
		if bands, err = imagefile.ParseBands(text); err != nil {
			return cfg, usage.Error{Err: err}
		}
	}
	crop, err := imagefile.ParseCrop(c.String("crop"))
	switch {
	case err != nil:
		return cfg, usage.Error{Err: fmt.Errorf("--crop: %w", err)}
	case model.Outputs < 2:
		return cfg, fmt.Errorf("%s has %s (fc.weight): a SavedModel needs at least two; galaxy train --init-from takes the file as it is", c.String("safetensors"), usage.Count(model.Outputs, "output"))
	case model.Mean == nil:
		return cfg, usage.Error{Err: fmt.Errorf("nothing records the statistics that weights for %d channels expect: give them with --normalise", f.Channels)}
	case bands.Channels() != f.Channels || len(model.Mean) != f.Channels:
		return cfg, usage.Error{Err: fmt.Errorf("the weights are for images of %d channels, --bands names %d and --normalise %d: expected one for each", f.Channels, bands.Channels(), len(model.Mean))}
	}
	if err := model.Validate(); err != nil {
		return cfg, usage.Error{Err: err}
	}
	var names []string
	for i := range model.Outputs {
		names = append(names, fmt.Sprintf("class%d", i))
	}
	schema, err := labels.FromClasses(names)
	if err != nil {
		return cfg, err
	}
	o, err := objective.New(objective.Default(objective.Classes, objective.Classes.DefaultLoss(schema)), schema)
	if err != nil {
		return cfg, err
	}
	return savedmodel.Config{
		Out: c.String("out"), Model: model, Posterior: o.Posterior, Crop: crop,
		Metadata: savedmodel.Metadata{
			Galaxy: galaxyVersion, Run: filepath.Base(c.String("safetensors")), Answers: names, Schema: schema, Bands: bands, Objective: o.Config(),
			Normalise: network.NormaliseBy(model.Mean, model.Std),
		},
	}, nil
}

// exportSafetensors writes the weights of a run's best checkpoint.
func exportSafetensors(c *cli.Context) error {
	if err := checkArguments(c, "run"); err != nil {
		return err
	}
	for _, name := range []string{"out", "frozen", "precision", "evaluation", "license", "data"} {
		if c.IsSet(name) {
			return usage.Error{Err: fmt.Errorf("--%s is for a SavedModel: leave it out with --safetensors, which writes the weights alone, in float32", name)}
		}
	}
	run, out := c.String("run"), c.String("safetensors")
	if !strings.HasSuffix(out, torch.Extension) { // by which --init-from knows it again
		return usage.Error{Err: fmt.Errorf("--safetensors %s: expected a name that ends in %s", out, torch.Extension)}
	}
	if err := checkNew(c, "safetensors"); err != nil {
		return err
	}
	cfg, err := train.ReadConfig(run)
	if err != nil {
		return err
	}
	n, err := network.Named(cfg.Model.Arch)
	if err != nil {
		return err
	}
	step := int64(0)
	var file bytes.Buffer
	err = train.WithBest(run, cfg, func(best *checkpoint.Checkpoint) error {
		step = best.State.Step
		weights, err := graph.ReadWeights(cfg.Model, best.Prefix())
		if err != nil {
			return err
		}
		file.Reset()
		return torch.Write(&file, cfg.Model, weights)
	})
	if err == nil {
		err = durable.WriteFile(out, file.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	if cfg.Pretrain.IsSet() {
		cfg.Model.Outputs = 0 // there is no head
	}
	var differs []string
	if cfg.Model.Padding != network.Symmetric && n.PaddingMatters(cfg.Model.Size) {
		differs = append(differs, fmt.Sprintf("its strided layers pad images as Keras does, and PyTorch's pad all sides alike: at %d px that is another margin (--padding symmetric trains with PyTorch's; at %d px both are the same)", cfg.Model.Size, (cfg.Model.Size+n.Stride/2)/n.Stride*n.Stride+1))
	}
	if cfg.Model.Align {
		differs = append(differs, "it was trained on galaxies that --align rotates and brings to one size, which PyTorch has to do before")
	}
	result := struct {
		Safetensors string    `json:"safetensors"`
		Step        int64     `json:"step"`
		Arch        string    `json:"arch"`
		Outputs     int       `json:"outputs"`
		Channels    int       `json:"channels"`
		Mean        []float64 `json:"channel_mean"`
		Std         []float64 `json:"channel_std"`
		Differs     []string  `json:"logits_differ"`
	}{out, step, n.Name, cfg.Model.Outputs, cfg.Model.Shape().Channels, cfg.Model.Mean, cfg.Model.Std, differs}
	return report(c, result, func(w io.Writer) {
		fmt.Fprintf(w, "%s: weights after step %d of a %s; its images are (pixel/255 - mean)/std with mean %v and std %v\n", out, step, n.Name, result.Mean, result.Std)
		if torch.Published(n.Name) {
			fmt.Fprintf(w, "in Python: timm.create_model(%q, num_classes=%d, in_chans=%d).load_state_dict(safetensors.torch.load_file(%q))\n", n.Name, result.Outputs, result.Channels, filepath.Base(out))
		}
		if len(differs) > 0 {
			fmt.Fprintf(w, "PyTorch's logits will differ from the run's: %s\n", strings.Join(differs, "; "))
		}
	})
}
