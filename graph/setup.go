package graph

import (
	"errors"
	"fmt"
	"slices"

	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
)

// TrainerConfig holds everything that decides a training graph.
type TrainerConfig struct {
	Model network.Config
	// Freeze names the layers that a step does not change. They have no gradients, no slots
	// and no raw weights beside their average.
	Freeze network.Freeze
	// Augment varies the images of training steps; evaluation does not use it.
	Augment images.Augment
	// Pairs trains without labels: a step sees two views of each image, each with its own
	// Augment, and Loss compares their logits. Batch.Labels are empty then, PredictPairs replaces
	// Predict, and there is no Posterior.
	Pairs     bool
	Loss      Loss
	Posterior Posterior
	Optimizer Optimizer
	// Average is the decay of an exponential moving average of the weights
	// (Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv 1703.01780), in
	// [0, 1); 0 is none. With it, steps train the raw weights, and the model
	// that is evaluated and exported is their average, including batch norm's
	// averages.
	Average float64
	// Resize lets StepInput.Size train a step on smaller images.
	Resize bool
	// Batch is the number of examples in every training step. Workers, replicas
	// and micro-batches have equal parts of it.
	Batch int
	// Devices names the devices, such as "/device:GPU:1". Each has a replica of the training
	// step; nil is AutoDevices. Batch norm uses each replica's examples separately.
	// Gradients, loss and moving averages are means over all replicas, and the weights are
	// the same everywhere.
	Devices []string
	// Accumulate is the number of micro-batches that a replica computes one after the
	// other before an update, to use less memory than one large batch; 0 is 1.
	Accumulate int
	// Held is the number of images that the devices hold for training (Hold). Steps then
	// take rows of them; 0 feeds every step with images.
	Held int
	// HoldFeatures makes the devices hold the images' features instead, computed once, so that
	// a step computes the head alone. It needs Held, FreezeAll, and images that are the same in
	// every step: no Augment and no Resize.
	HoldFeatures bool
	// FilterAlgorithms sets how gradients of kernels are computed; nil uses the op for all
	// of them.
	FilterAlgorithms network.FilterAlgorithms
	// SkipNonFinite skips an update whose gradients are not finite.
	SkipNonFinite bool
	// Session sets how the graph is run.
	Session session.Config
	// Cluster, if set, connects the other workers, which build the same Trainer for
	// as many devices and run the same steps.
	Cluster *session.Cluster
}

// setup is a checked TrainerConfig, with its devices and how the batch is divided.
type setup struct {
	TrainerConfig
	batchPart
	frozen int    // layers, from the images up
	host   string // the device where inputs are fed
	gpu    bool   // whether replicas are on GPUs
}

// batchPart describes one replica's part of a batch.
type batchPart struct {
	examples   int // of a micro-batch
	replicas   int // over all workers
	accumulate int // micro-batches of a replica
}

// whole reports whether the replica sees all of a batch at once.
func (p batchPart) whole() bool { return p.replicas*p.accumulate == 1 }

func (cfg TrainerConfig) batchPart() (p batchPart, err error) {
	p = batchPart{replicas: max(1, len(cfg.Devices)) * cfg.Cluster.Workers(), accumulate: max(1, cfg.Accumulate)}
	p.examples, err = MicroBatch(cfg.Batch, p.replicas, cfg.Accumulate)
	return p, err
}

// prepare checks cfg and finds its devices.
func (cfg TrainerConfig) prepare() (c setup, err error) {
	if err := errors.Join(cfg.Model.Validate(), cfg.Augment.Validate(), cfg.Optimizer.Validate(), ValidateAverage(cfg.Average), cfg.Session.Validate()); err != nil {
		return c, err
	}
	frozen, err := cfg.frozen()
	if err != nil {
		return c, err
	}
	if cfg.HoldFeatures && (cfg.Held == 0 || cfg.Freeze != network.FreezeAll || cfg.Augment != images.Augment{} || cfg.Resize) {
		return c, errors.New("held features need held images, everything below the head frozen, no augmentation and one size")
	}
	if cfg.HoldFeatures && cfg.Pairs {
		return c, errors.New("held features have no views")
	}
	part, err := cfg.batchPart()
	if err != nil {
		return c, err
	}
	if err := CheckMicroBatch(cfg.Model, part.examples, cfg.Resize); err != nil {
		return c, err
	}
	if len(cfg.Devices) == 0 {
		if cfg.Devices, err = session.AutoDevices.Resolve(cfg.Session); err != nil {
			return c, err
		}
	}
	host := session.HostDevice
	if cfg.Cluster != nil {
		job := cfg.Cluster.Job()
		host = job + session.HostDevice
		cfg.Devices = slices.Clone(cfg.Devices)
		for i := range cfg.Devices {
			cfg.Devices[i] = job + cfg.Devices[i]
		}
	}
	return setup{cfg, part, frozen, host, session.IsGPU(cfg.Devices[0])}, nil
}

// views returns how many views of an image a step sees.
func (cfg TrainerConfig) views() int {
	if cfg.Pairs {
		return 2
	}
	return 1
}

// labels returns the number of labels of an example.
func (cfg TrainerConfig) labels() int {
	if cfg.Pairs {
		return 0
	}
	return cfg.Model.Outputs
}

// frozen returns the number of layers that Freeze names.
func (cfg TrainerConfig) frozen() (int, error) {
	n, err := network.Named(cfg.Model.Arch)
	if err != nil {
		return 0, err
	}
	return cfg.Freeze.Layers(n)
}

// MicroBatch returns the micro-batch size per device: the batch divided by devices and
// accumulate; accumulate 0 is 1. A batch that cannot be divided evenly is an error.
func MicroBatch(batch, devices, accumulate int) (int, error) {
	parts := devices * max(1, accumulate)
	switch {
	case accumulate < 0:
		return 0, &usage.Field{Name: "accumulate", Got: accumulate, Expected: "0 or more"}
	case batch < 1 || batch%parts != 0:
		in := ""
		if accumulate > 1 {
			in = fmt.Sprintf(" in %d micro-batches each", accumulate)
		}
		return 0, &usage.Field{Name: "batch", Got: batch, Expected: fmt.Sprintf("a multiple of %d on %s%s", parts, usage.Count(devices, "device"), in)}
	}
	return batch / parts, nil
}

// CheckMicroBatch checks that micro-batches of this many examples are large enough for batch
// norm, which needs two values of each channel to have a variance. resize is whether steps may
// see smaller images than the model's.
func CheckMicroBatch(model network.Config, examples int, resize bool) error {
	n, err := network.Named(model.Arch)
	if err != nil {
		return err
	}
	final := n.FinalSize(model.Size)
	if resize {
		final = 1
	}
	if examples*final*final < 2 {
		return usage.Errorf("a device sees %d example of the batch at a time, at %d px: batch norm needs at least 2 examples; take a larger {batch}, or fewer parts of it ({devices}, {accumulate})", examples, model.Size)
	}
	return nil
}

// FilterLayers lists the layers of the training step whose gradients several algorithms compute.
// Devices must be set. On GPUs there are none, as cuDNN makes its own choice.
func (cfg TrainerConfig) FilterLayers() ([]network.FilterLayer, error) {
	part, err := cfg.batchPart()
	if err != nil || session.IsGPU(cfg.Devices[0]) {
		return nil, err
	}
	frozen, err := cfg.frozen()
	if err != nil {
		return nil, err
	}
	n, err := network.Named(cfg.Model.Arch)
	if err != nil {
		return nil, err
	}
	layers, err := network.FilterLayers(cfg.Model, part.examples*cfg.views())
	return slices.DeleteFunc(layers, func(l network.FilterLayer) bool { return n.Depth(l.Kernel) < frozen }), err
}
