package savedmodel

import (
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

	"galaxy/graph"
	"galaxy/internal/durable"
	"galaxy/train/objective"
)

// metadataFile is where a model keeps its Metadata. Loaders leave assets.extra
// alone: it is the place for files that are not the graph's.
const metadataFile = "assets.extra/galaxy.json"

// Metadata is what the graph does not say about itself.
type Metadata struct {
	// Galaxy is the version of the program that exported the model, and
	// TensorFlow that of its library.
	Galaxy     string `json:"galaxy"`
	TensorFlow string `json:"tensorflow"`
	// Run and Step tell the checkpoint: the name of its run, and the number of
	// updates made.
	Run  string `json:"run"`
	Step int64  `json:"step"`
	// Answers names the outputs in their order.
	Answers []string `json:"answers"`
	// Size is the height and width of the images, and Crop that of the centre
	// of a JPEG that is shrunk to it, both in pixels.
	Size int `json:"size"`
	Crop int `json:"crop"`
	// SplitSeed is the seed of the split of the training data.
	SplitSeed int64 `json:"split_seed"`
	// Precision is the dtype of the convolutions.
	Precision graph.Precision `json:"precision"`
	// Frozen tells a model of constants from one with variables.
	Frozen bool `json:"frozen"`
	// Objective is the head and the loss that the network was trained with.
	Objective objective.Config `json:"objective"`
	// SHA256 holds the checksum, in hexadecimal, of every other file of the
	// model by its path with slashes.
	SHA256 map[string]string `json:"sha256"`
}

// readMetadata returns nil for a model without metadata, and checks the files
// of a model with it.
func readMetadata(dir string) (*Metadata, error) {
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

// checksum is the sha256 of a file in hexadecimal.
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
