package savedmodel

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/internal/kernels"
	"galaxy/labels"
	"galaxy/train/objective"
)

// metadataFile is the file of a model's Metadata. Loaders ignore assets.extra: it is
// the place for files that do not belong to the graph.
const metadataFile = "assets.extra/galaxy.json"

// Metadata holds information that the graph does not contain.
type Metadata struct {
	// Galaxy is the version of the program that exported the model, and
	// TensorFlow the version of its library.
	Galaxy     string `json:"galaxy"`
	TensorFlow string `json:"tensorflow"`
	// Run and Step identify the checkpoint: the name of its run, and its step.
	Run  string `json:"run"`
	Step int64  `json:"step"`
	// Answers are the names of the outputs, in order.
	Answers []string `json:"answers"`
	// Schema describes the training labels: the outputs are its columns, or the
	// classes derived from them (Objective.Head). It is never nil in a loaded model;
	// metadata without one means labels.GalaxyZoo.
	Schema *labels.Schema `json:"schema,omitzero"`
	// Arch is the name of the network; models of older versions, without it, are resnet34.
	Arch string `json:"arch,omitempty"`
	// Padding is the network's; "" is network.Same.
	Padding network.Padding `json:"padding,omitempty"`
	// Normalise names the statistics of the channels by which the graph normalises images, if they are not those of its
	// training images.
	Normalise network.Normalise `json:"normalise,omitempty"`
	// Size is the height and width of the images in pixels, and Crop the central square of a
	// JPEG that is downscaled to it.
	Size int            `json:"size"`
	Crop imagefile.Crop `json:"crop"`
	// Bands names the channels of the images.
	Bands imagefile.Bands `json:"bands,omitzero"`
	// Files is the pattern of the names of the training images (data.Layout), if one was set.
	Files string `json:"files,omitzero"`
	// Stretch is that of images whose pixels may have any range. None have been stretched already.
	Stretch stretch.Stretch `json:"stretch,omitzero"`
	// SplitSeed is the seed of the split of the training data.
	SplitSeed int64 `json:"split_seed"`
	// Split describes the rule of that split, "" for the default.
	Split string `json:"split,omitempty"`
	// Precision is the dtype of the convolutions.
	Precision network.Precision `json:"precision"`
	// Needs lists what the model needs from the CPU that serves it; if missing, the needs
	// follow from Precision.
	Needs []Need `json:"needs,omitempty"`
	// Frozen is true if the weights are constants, false if they are variables.
	Frozen bool `json:"frozen"`
	// Objective is the head and the loss that the network was trained with.
	Objective objective.Config `json:"objective"`
	// SHA256 holds the checksum, in hexadecimal, of every other file of the
	// model by its path with slashes.
	SHA256 map[string]string `json:"sha256"`
}

// Need is something that a model needs from the CPU that serves it.
type Need string

const (
	// OneDNN are oneDNN's kernels: TensorFlow has no others for int8.
	OneDNN Need = "oneDNN"
	// VNNI are instructions for int8, without which sums of products would be wrong: models
	// in network.Int8 whose metadata has no needs were made for them.
	VNNI Need = "VNNI"
	// BFloat16 are instructions for bfloat16; without them a model is slow.
	BFloat16 Need = "bfloat16"
	// unlimited means that kernels.Limited is false.
	unlimited Need = "unlimited"
)

// needs returns the needs of a model in one precision with a stem in another.
func needs(precision, stem network.Precision) (all []Need) {
	if precision == network.Int8 {
		all = append(all, OneDNN)
	}
	if stem == network.BFloat16 {
		all = append(all, BFloat16)
	}
	return all
}

// check compares the model's needs with this process. warning, if not empty, is a message
// about a model that works nevertheless.
func (m *Metadata) check(has func(Need) bool) (warning string, err error) {
	all := m.Needs
	if all == nil {
		if all = needs(m.Precision, m.Precision); m.Precision == network.Int8 {
			all = append(all, VNNI)
		}
	}
	for _, need := range all {
		switch {
		case has(need):
		case need == OneDNN:
			return "", fmt.Errorf("it is in int8, for which TensorFlow has oneDNN's kernels alone, and here are %s: unset TF_ENABLE_ONEDNN_OPTS if it turns them off, or export the run in another precision", kernels.InUse())
		case need == VNNI:
			return "", errors.New("it is in int8 and was exported by an older version of galaxy, for CPUs with VNNI, which this one lacks: sums would be wrong; export the run again")
		case need == BFloat16 && has(unlimited):
			warning = fmt.Sprintf("it computes in bfloat16, for which there are no instructions here (%s): in float32 it would be faster (export the run again in float32)", kernels.InUse())
		case need == BFloat16:
			return "", fmt.Errorf("it computes in bfloat16 (in int8 models the first layer does), for which %s have nothing: unset ONEDNN_MAX_CPU_ISA, or export the run again with that set, or in float32", kernels.InUse())
		default:
			return "", fmt.Errorf("it needs %q of the CPU, of which this version of galaxy knows nothing", need)
		}
	}
	return warning, nil
}

// hasNeed returns a function that reports whether a session of this process satisfies a
// need.
func hasNeed(cfg session.Config) func(Need) bool {
	return func(need Need) bool {
		switch need {
		case OneDNN:
			return kernels.OneDNN() && kernels.Largest() != "" // x86
		case VNNI:
			return kernels.VNNI()
		case BFloat16:
			if kernels.BFloat16() {
				return true
			}
			gpu, err := session.HasGPU(cfg)
			return err == nil && gpu // a GPU's kernels add up in float32
		case unlimited:
			return !kernels.Limited()
		}
		return false
	}
}

// ReadMetadata returns the metadata of the SavedModel in a folder, nil for a model without metadata. With
// metadata, it checks the model's files.
func ReadMetadata(dir string) (*Metadata, error) {
	path := filepath.Join(dir, filepath.FromSlash(metadataFile))
	text, err := durable.ReadFile(path, durable.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	m := new(Metadata)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read metadata %s: %w", path, err)
	}
	m.Schema = cmp.Or(m.Schema, labels.GalaxyZoo())
	for _, name := range slices.Sorted(maps.Keys(m.SHA256)) {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, fmt.Errorf("read metadata %s: the file name %q leads out of the model", path, name)
		}
		sum, err := checksum(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		if sum != m.SHA256[name] {
			return nil, fmt.Errorf("file %s is damaged: its sha256 is %s, %s says %s; export the model again",
				filepath.Join(dir, filepath.FromSlash(name)), sum, metadataFile, m.SHA256[name])
		}
	}
	return m, nil
}

// checksum returns the sha256 of a file in hexadecimal.
func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("check file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("check file %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
