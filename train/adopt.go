package train

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"galaxy/graph/network"
	"galaxy/graph/torch"
	"galaxy/savedmodel"
)

// Adopt sets what weights expect of the network around them, the padding and the statistics of the
// channels, to those of the weights that Config.InitFrom names, if they record any and these are
// not set. The statistics of another number of channels are not taken. Call it for a new run,
// before Resolve.
func (p *Plan) Adopt(channels int) error {
	c := &p.Config
	if c.InitFrom == "" {
		return nil
	}
	padding, normalise, err := expectations(c.InitFrom)
	if err != nil {
		return fmt.Errorf("take first weights: %w", err)
	}
	c.Model.Padding = cmp.Or(c.Model.Padding, padding)
	if mean, _, err := normalise.Statistics(); err != nil || len(mean) == channels {
		c.Normalise = cmp.Or(c.Normalise, normalise)
	}
	return nil
}

// expectations returns what a safetensors file, a SavedModel or a run records. Whatever is none of
// them records nothing.
func expectations(from string) (padding network.Padding, normalise network.Normalise, err error) {
	if strings.HasSuffix(from, torch.Extension) {
		f, err := torch.Open(from)
		if err != nil {
			return "", "", listForms(from, err)
		}
		defer f.Close()
		if f.Model.Mean != nil {
			normalise = network.NormaliseBy(f.Model.Mean, f.Model.Std)
		}
		return f.Model.Padding, normalise, nil
	}
	if m, err := savedmodel.ReadMetadata(from); err == nil && m != nil {
		return m.Padding, m.Normalise, nil
	}
	cfg, err := ReadConfig(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", nil // reading the weights says what is wrong
	}
	return cfg.Model.Padding, cfg.Normalise, nil
}
