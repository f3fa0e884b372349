package data

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/zeebo/xxh3"

	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/internal/durable"
	"galaxy/labels"
)

const (
	// CacheVersion is the format version of caches whose ids are integers. See
	// docs/cache-format.md.
	CacheVersion = 1
	// CacheVersionIDs is the format version of caches with other ids.
	CacheVersionIDs = 2

	cacheFormat      = "galaxy-cache"
	manifestName     = "manifest.json"
	imagesName       = "images.bin"
	examplesName     = "examples.bin"
	idsName          = "ids.txt"
	maxManifestBytes = 64 << 20
)

// A Manifest describes a cache: where it came from, how it was made, and the
// statistics of its train split that models and baselines need.
type Manifest struct {
	// Checksum is the xxh3 of manifest.json, 16 hexadecimal digits. Through
	// the checksums inside, it covers every byte of the cache, so two
	// caches with the same Checksum are the same.
	Checksum string `json:"checksum"`
	Format   string `json:"format"`  // "galaxy-cache"
	Version  int    `json:"version"` // CacheVersion or CacheVersionIDs

	// Schema describes the columns of the labels. It is never nil of an open cache;
	// a file without one is about labels.GalaxyZoo.
	Schema *labels.Schema `json:"schema,omitzero"`

	Size      int            `json:"size"`       // width and height of the stored images, pixels
	Crop      imagefile.Crop `json:"crop"`       // the centre of the original that was kept
	Decoder   string         `json:"decoder"`    // name of the code that decoded and resized, from PrepareConfig
	SplitSeed int64          `json:"split_seed"` // the seed of Split
	Split     SplitRule      `json:"split,omitzero"`
	Examples  int            `json:"examples"` // images stored
	Counts    Counts         `json:"counts"`   // the same, by split

	Bands       imagefile.Bands `json:"bands,omitzero"`   // the channels of the images
	Files       string          `json:"files,omitzero"`   // the pattern of the images' names (Layout.Pattern), if one was set
	Stretch     stretch.Stretch `json:"stretch,omitzero"` // of pixels of any range; 0 is where nothing is
	ChannelMean []float64       `json:"channel_mean"`     // of each band over the pixels of the train split, on a scale from 0 to 1
	ChannelStd  []float64       `json:"channel_std"`      // population standard deviation, same scale
	ColumnMeans []float64       `json:"column_means"`     // mean labels of the train split, by column: of fractions, the constant predictor

	Broken           []Broken `json:"broken"`                      // skipped images, by ascending id
	ImagesWithoutRow int      `json:"images_without_row"`          // skipped, by permission (AllowMissing)
	RowsWithoutImage int      `json:"rows_without_image"`          // skipped, by permission (AllowMissing)
	RowsWithoutClass int      `json:"rows_without_class,omitzero"` // skipped: they have an image, and an empty cell for the class
	RowsWithoutSplit int      `json:"rows_without_split,omitzero"` // skipped: they have an image and a class, and an empty cell for the split
	SumRuleBreaks    int      `json:"sum_rule_breaks"`             // stored examples that fail Schema.CheckSums at labels.SumTolerance

	Sources Sources `json:"sources"`

	ExamplesChecksum string `json:"examples_checksum"`     // xxh3 of examples.bin
	IDsChecksum      string `json:"ids_checksum,omitzero"` // xxh3 of ids.txt, which CacheVersionIDs has
}

// Shape returns the shape of the images.
func (m Manifest) Shape() imagefile.Shape {
	return imagefile.Shape{Size: m.Size, Channels: m.Bands.Channels()}
}

// SplitText returns the text of Split, "" for its zero value: runs and SavedModels record it.
func (m *Manifest) SplitText() string {
	if m.Split == (SplitRule{}) {
		return ""
	}
	return m.Split.String()
}

// Counts is the number of examples of each split.
type Counts struct {
	Train      int `json:"train"`
	Validation int `json:"validation"`
	Test       int `json:"test"`
}

// Of returns the count of one split.
func (c Counts) Of(s Split) int { return [splits]int{c.Train, c.Validation, c.Test}[s%splits] }

func (c *Counts) add(s Split) {
	switch s {
	case Train:
		c.Train++
	case Validation:
		c.Validation++
	case Test:
		c.Test++
	}
}

// A Broken image was not put into the cache.
type Broken struct {
	ID     ID     `json:"id"` // an integer, or a string
	Reason string `json:"reason"`
}

// String returns the id and the reason, "100008: not a JPEG file".
func (b Broken) String() string { return fmt.Sprintf("%s: %s", b.ID, b.Reason) }

// Sources describes the files that a cache was made from, by base name only: the same files
// in another folder give the same cache.
type Sources struct {
	Labels         string `json:"labels"`                // "" if the folders of the images are the labels
	LabelsChecksum string `json:"labels_checksum"`       // xxh3 of the table's bytes, unpacked
	IDColumn       string `json:"id_column,omitzero"`    // of KeyColumns
	PathColumn     string `json:"path_column,omitzero"`  // of KeyColumns
	ClassColumn    string `json:"class_column,omitzero"` // of KeyColumns
	Images         string `json:"images"`
	ImageFiles     int    `json:"image_files"`
	ImagesChecksum string `json:"images_checksum"` // xxh3 of the ids and sizes of all image files, see docs/cache-format.md
}

func hex(sum uint64) string { return fmt.Sprintf("%016x", sum) }

// The checksum is the first field of the file, so that it stands at a fixed
// place; it is taken over the whole file with its own digits as zeros.
const (
	checksumPrefix = "{\n \"checksum\": \""
	checksumZeros  = "0000000000000000"
)

// encode returns the bytes of manifest.json and sets m.Checksum.
func (m *Manifest) encode() ([]byte, error) {
	m.Checksum = checksumZeros
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	m.Checksum = hex(xxh3.Hash(b))
	copy(b[len(checksumPrefix):], m.Checksum)
	return b, nil
}

var errAgain = errors.New("make the cache again with galaxy prepare")

// decodeManifest parses and checks manifest.json. It checks the version first: another
// version may differ in everything else.
func decodeManifest(b []byte) (*Manifest, error) {
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("not the manifest of a cache, or a damaged one (%w); %w", err, errAgain)
	}
	if head.Format != cacheFormat {
		return nil, fmt.Errorf("format is %q; expected %q: this is not a cache made by galaxy prepare", clip(head.Format), cacheFormat)
	}
	if head.Version != CacheVersion && head.Version != CacheVersionIDs {
		return nil, fmt.Errorf("the cache has format version %d, this program reads versions %d and %d; %w", head.Version, CacheVersion, CacheVersionIDs, errAgain)
	}

	digits := len(checksumPrefix) + len(checksumZeros)
	if !strings.HasPrefix(string(b), checksumPrefix) || len(b) < digits {
		return nil, fmt.Errorf("it was edited; %w", errAgain)
	}
	got := string(b[len(checksumPrefix):digits])
	zeroed := bytes.Clone(b)
	copy(zeroed[len(checksumPrefix):], checksumZeros)
	if want := hex(xxh3.Hash(zeroed)); got != want {
		return nil, fmt.Errorf("it was edited or damaged (checksum %q, its bytes give %q); %w", got, want, errAgain)
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w; %w", err, errAgain)
	}
	m.Schema = cmp.Or(m.Schema, labels.GalaxyZoo())
	if n := len(m.ColumnMeans); n != m.Schema.Width() {
		return nil, fmt.Errorf("%d column means of %d columns; %w", n, m.Schema.Width(), errAgain)
	}
	if err := m.Bands.Validate(); err != nil {
		return nil, fmt.Errorf("%w; %w", err, errAgain)
	}
	if n := m.Bands.Channels(); len(m.ChannelMean) != n || len(m.ChannelStd) != n {
		return nil, fmt.Errorf("%d means and %d standard deviations of %d channels; %w", len(m.ChannelMean), len(m.ChannelStd), n, errAgain)
	}
	if m.Size < 1 || m.Size > maxSize || m.Examples < 1 || m.Counts.Train < 0 || m.Counts.Validation < 0 || m.Counts.Test < 0 {
		return nil, fmt.Errorf("impossible sizes (%d px, %d examples, %+v); %w", m.Size, m.Examples, m.Counts, errAgain)
	}
	return m, nil
}

// readManifest reads manifest.json of a cache folder.
func readManifest(name string) (*Manifest, error) {
	b, err := durable.ReadFile(name, maxManifestBytes)
	if errors.Is(err, durable.ErrTooLarge) {
		return nil, fmt.Errorf("larger than %d bytes; %w", maxManifestBytes, errAgain)
	}
	if err != nil {
		return nil, err
	}
	return decodeManifest(b)
}
