package network

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/data/imagefile"
	"galaxy/internal/usage"
)

// Config describes a network to build; it is the same for training and for
// inference, except that only training reads Dropout.
type Config struct {
	// Arch is the name of the Network, one of Names; "" is Default.
	Arch string `json:"arch,omitempty"`
	// Padding is that of convolutions and of the stem's pooling; "" is Same.
	Padding Padding `json:"padding,omitempty"`
	// Size is the height and width of the images, pixels; at least Network.Stride.
	Size int `json:"size"`
	// Outputs is the number of logits.
	Outputs int `json:"outputs"`
	// Projector, if set, is the head of a network that learns without labels: the logits are then
	// embeddings.
	Projector Projector `json:"projector,omitzero"`
	// Precision must not be Auto: resolve it first.
	Precision Precision `json:"precision"`
	// Dropout is the fraction of the pooled features set to zero in training,
	// in [0, 1); 0 is none.
	Dropout float64 `json:"dropout"`
	// Align rotates every image so that the central galaxy's major axis is horizontal,
	// and brings the galaxy closer to a common size, in training (before Augment) and in
	// inference. A galaxy's orientation and distance say little about its class, and the
	// network needs no steps to learn to ignore them. Half turns and mirror images stay
	// different.
	Align bool `json:"align,omitempty"`
	// Emulated is set if Precision has to be emulated (Precision.Emulated). NewTrainer
	// sets it from its devices.
	Emulated bool `json:"-"`
	// Mean and Std are the statistics of each channel, 1 to imagefile.MaxBands of them, on the
	// scale 0…1: the network sees (pixel/255 − Mean) / Std. Every Std must be above 0.
	Mean []float64 `json:"channel_mean"`
	Std  []float64 `json:"channel_std"`
}

// Shape returns the shape of an image.
func (c Config) Shape() imagefile.Shape {
	return imagefile.Shape{Size: c.Size, Channels: len(c.Mean)}
}

// UnmarshalJSON sets a Config without a network name to Default, which was the only network of
// older versions. Unknown fields are an error.
func (c *Config) UnmarshalJSON(raw []byte) error {
	type fields Config // without this method
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode((*fields)(c))
	c.Arch = cmp.Or(c.Arch, Default)
	return err
}

// Validate checks every field; its error names what was expected and what came.
func (c Config) Validate() error {
	var errs []error
	n, err := Named(c.Arch)
	if err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.Padding.validate())
	if least := max(1, n.Stride); c.Size < least || c.Size > 1024 {
		errs = append(errs, &usage.Field{Name: "size", Got: c.Size, Expected: fmt.Sprintf("images of %d to 1024 pixels", least)})
	}
	if c.Outputs < 1 && !c.Projector.IsSet() {
		errs = append(errs, &usage.Field{Name: "outputs", Got: c.Outputs, Expected: "1 or more"})
	}
	errs = append(errs, usage.In("projector", c.Projector.validate()))
	if c.Projector.IsSet() && (c.Outputs != c.Projector.Width || c.Dropout != 0) {
		errs = append(errs, fmt.Errorf("a projector of width %d beside %d outputs and a dropout of %v: expected outputs as its width, and no dropout", c.Projector.Width, c.Outputs, c.Dropout))
	}
	if !slices.Contains([]Precision{Float32, BFloat16, Float16}, c.Precision) {
		errs = append(errs, &usage.Field{Name: "precision", Got: c.Precision, Expected: fmt.Sprintf("%s, %s or %s", Float32, BFloat16, Float16)})
	}
	if !(c.Dropout >= 0 && c.Dropout < 1) {
		errs = append(errs, &usage.Field{Name: "dropout", Got: c.Dropout, Expected: "0 ≤ rate < 1"})
	}
	if n := len(c.Mean); n < 1 || n > imagefile.MaxBands || len(c.Std) != n {
		return errors.Join(append(errs, fmt.Errorf("%d means and %d standard deviations of channels: expected one of each for each of 1 to %d channels", n, len(c.Std), imagefile.MaxBands))...)
	}
	for i := range c.Mean {
		if math.IsNaN(c.Mean[i]) || math.IsInf(c.Mean[i], 0) || !(c.Std[i] > 0) || math.IsInf(c.Std[i], 0) {
			errs = append(errs, fmt.Errorf("channel %d: mean %v, standard deviation %v: expected finite numbers and a deviation above 0", i, c.Mean[i], c.Std[i]))
		}
	}
	return errors.Join(errs...)
}

// dtype is the dtype of the images between the layers.
func (c Config) dtype() tf.DataType {
	if c.Emulated {
		return tf.Float
	}
	return c.Precision.dtype()
}

// cast returns x, float32, in the dtype of the network's convolutions.
func (c Config) cast(s *op.Scope, x tf.Output) tf.Output {
	return c.round(s, tg.Cast(s, x, c.dtype()))
}

// round returns x, of dtype, rounded to the precision if the precision is emulated. Its
// gradient is rounded in the same place.
func (c Config) round(s *op.Scope, x tf.Output) tf.Output {
	if !c.Emulated {
		return x
	}
	rs := s.SubScope("round")
	return tg.Cast(rs, tg.Cast(rs, x, c.Precision.dtype()), tf.Float)
}
