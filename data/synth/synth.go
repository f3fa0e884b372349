package synth

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"

	"golang.org/x/sync/errgroup"
)

// The names inside a data set's folder, as Kaggle ships them.
const (
	ImagesDir  = "images_training_rev1"
	LabelsFile = "training_solutions_rev1.csv"
	// SchemaFile is the schema of a data set that is not about labels.GalaxyZoo.
	SchemaFile = "schema.toml"
)

// maxCount bounds Config.Count: far above any use, and far below the number
// of ids or of files a file system can take.
const maxCount = 10_000_000

// maxVolunteers bounds Config.Most: float32 holds the counts exactly, and a galaxy takes a second.
const maxVolunteers = 1_000_000

// Config holds the output and the settings of Generate.
type Config struct {
	// Out is the folder to make. It must not exist; its parent is made
	// if missing.
	Out string
	// Count is the number of galaxies, at least 1.
	Count int
	// Seed selects the data set. Galaxy i depends only on (Seed, i), so a
	// larger Count adds galaxies and leaves the others unchanged.
	Seed int64
	// Schema is what the volunteers are asked; nil is labels.GalaxyZoo. A schema of counts has
	// their votes as labels.
	Schema *labels.Schema
	// Least and Most are how many volunteers a galaxy has: a number between them is drawn for each.
	// Both 0 are 32 to 56 for labels.GalaxyZoo, and 20 to 80 otherwise.
	Least, Most int
	// Format is the format of the images; "" is JPEG.
	Format Format
	// Bands is the number of channels: 1 or 3 of JPEG and PNG, 1 to imagefile.MaxBands of FITS. 0 is
	// 3 of JPEG and PNG and 1 of FITS.
	Bands int
	// Workers is the number of galaxies drawn at the same time; 0 means one
	// for each processor Go may use. It never changes the result.
	Workers int
	// Progress, unless nil, is called after every finished galaxy with the
	// number done so far (1, 2, …, total). Calls never overlap.
	Progress func(done, total int)
}

// Validate returns an error for the first field that is out of range.
func (c Config) Validate() error {
	switch {
	case c.Out == "":
		return errors.New("no output folder given: name a folder that does not exist yet")
	case c.Count < 1 || c.Count > maxCount:
		return fmt.Errorf("count is %d, expected 1 to %d galaxies", c.Count, maxCount)
	case c.Workers < 0:
		return fmt.Errorf("workers is %d, expected 1 or more (0 for two per core)", c.Workers)
	case (c.Least != 0 || c.Most != 0) && (c.Least < 1 || c.Most < c.Least || c.Most > maxVolunteers):
		return &usage.Field{Name: "volunteers", Got: fmt.Sprintf("%d-%d", c.Least, c.Most), Expected: fmt.Sprintf("two numbers of 1 to %d, the smaller one first, such as 20-80", maxVolunteers)}
	}
	return c.validateImages()
}

// validateImages checks the format and its number of bands.
func (c Config) validateImages() error {
	switch c.Format {
	case "", JPEG, PNG:
		if c.Bands != 0 && c.Bands != 1 && c.Bands != 3 {
			return &usage.Field{Name: "bands", Got: c.Bands, Expected: "1 (grey) or 3 (RGB)", Try: "{format=fits} has more"}
		}
	case FITS:
		if c.Bands < 0 || c.Bands > imagefile.MaxBands {
			return &usage.Field{Name: "bands", Got: c.Bands, Expected: fmt.Sprintf("1 to %d", imagefile.MaxBands)}
		}
	default:
		return &usage.Field{Name: "format", Got: c.Format, Expected: usage.OneOf(Formats())}
	}
	return nil
}

// Generate writes a data set of cfg.Count galaxies in Kaggle's layout:
// cfg.Out/images_training_rev1/<GalaxyID>.jpg (424×424 RGB baseline JPEG, or another Format) and
// cfg.Out/training_solutions_rev1.csv (GalaxyID and the schema's columns: fractions, or counts of the
// volunteers; sorted by GalaxyID). Beside them is cfg.Out/schema.toml, unless the schema is
// labels.GalaxyZoo.
//
// Everything is written into a temporary folder next to cfg.Out, which is renamed at
// the very end. When ctx is cancelled or something fails, the temporary folder is
// removed and cfg.Out is not made.
func Generate(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("synthesise galaxies: %w", err)
	}
	err := durable.Folder(cfg.Out, func(dir string) error {
		images := filepath.Join(dir, ImagesDir)
		if err := os.Mkdir(images, 0o777); err != nil {
			return fmt.Errorf("make folder for images: %w", err)
		}
		rows, err := drawAll(ctx, cfg, images)
		if err != nil {
			return err
		}
		if err := writeLabels(filepath.Join(dir, LabelsFile), cfg.schema(), rows); err != nil || cfg.schema().IsZero() {
			return err
		}
		var text bytes.Buffer
		if err := labels.Write(&text, cfg.schema()); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, SchemaFile), text.Bytes(), 0o666)
	})
	if err != nil {
		return fmt.Errorf("synthesise galaxies: %w", err)
	}
	return nil
}

func (c Config) schema() *labels.Schema { return cmp.Or(c.Schema, labels.GalaxyZoo()) }

// row is one line of the labels file.
type row struct {
	id     int64
	labels []float64
}

// drawAll draws every galaxy into images and returns the label rows in the
// order of the galaxies' numbers.
func drawAll(ctx context.Context, cfg Config, images string) ([]row, error) {
	workers := cfg.Workers
	if workers == 0 {
		workers = data.DefaultWorkers()
	}
	rows := make([]row, cfg.Count)
	var next atomic.Int64
	var mu sync.Mutex // guards done, and keeps Progress calls apart
	done := 0
	asked := *newSurvey(cfg.schema())
	if cfg.Most > 0 {
		asked.least, asked.most = cfg.Least, cfg.Most
	}
	g, drawing := errgroup.WithContext(ctx)
	for range min(workers, cfg.Count) {
		g.Go(func() error {
			// One painter per worker: its buffers are reused from galaxy
			// to galaxy.
			p := newPainter()
			for drawing.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= cfg.Count {
					return nil
				}
				r, err := drawOne(p, &asked, cfg, i, images)
				if err != nil {
					return err
				}
				rows[i] = r
				mu.Lock()
				done++
				if cfg.Progress != nil {
					cfg.Progress(done, cfg.Count)
				}
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return rows, nil
}

// drawOne simulates galaxy i, writes its image and returns its labels.
func drawOne(p *painter, asked *survey, cfg Config, i int, images string) (row, error) {
	g := newGalaxy(cfg.Seed, i)
	r := row{id: galaxyID(cfg.Seed, i), labels: asked.vote(g, newStream(cfg.Seed, i, streamVotes))}
	file, err := p.encode(g, newStream(cfg.Seed, i, streamSky), cfg.Format, cfg.Bands)
	if err != nil {
		return row{}, fmt.Errorf("encode galaxy %d: %w", r.id, err)
	}
	path := filepath.Join(images, strconv.FormatInt(r.id, 10)+cfg.Format.extension())
	if err := os.WriteFile(path, file, 0o666); err != nil {
		return row{}, fmt.Errorf("write image: %w", err)
	}
	return r, nil
}

// writeLabels writes the rows, sorted by id, as the labels file at path.
func writeLabels(path string, schema *labels.Schema, rows []row) (err error) {
	sort.Slice(rows, func(a, b int) bool { return rows[a].id < rows[b].id })
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create labels: %w", err)
	}
	defer func() {
		if cerr := f.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("close labels: %w", cerr)
		}
	}()
	w := bufio.NewWriter(f)
	// Nine decimals: each sum rule of fractions then holds to a few 1e-9.
	// Counts and totals are whole.
	var line bytes.Buffer
	line.WriteString("GalaxyID")
	for _, c := range schema.Columns() {
		line.WriteString("," + c)
	}
	for _, q := range schema.Questions() {
		if q.Total != "" {
			line.WriteString("," + q.Total)
		}
	}
	line.WriteByte('\n')
	for i := range rows {
		line.WriteString(strconv.FormatInt(rows[i].id, 10))
		for k, v := range rows[i].labels {
			decimals := 9
			if schema.Values() == labels.Counts || k >= schema.Width() {
				decimals = 0
			}
			line.WriteByte(',')
			line.WriteString(strconv.FormatFloat(v, 'f', decimals, 64))
		}
		line.WriteByte('\n')
		if _, err := w.Write(line.Bytes()); err != nil {
			return fmt.Errorf("write labels: %w", err)
		}
		line.Reset()
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write labels: %w", err)
	}
	return nil
}

// idRange is the number of six-digit ids.
const idRange = 900_000

// galaxyID returns the id of galaxy i: six digits for the first 900,000, more
// after that. An affine map with a multiplier prime to 900,000 is a
// permutation, so no two galaxies of a data set share an id, without a table
// and independently of how many there are.
func galaxyID(seed int64, i int) int64 {
	if i >= idRange {
		return 100_000 + int64(i)
	}
	const a = 556_061 // prime to 2, 3 and 5
	b := int64(mix(uint64(seed)^0x6a09e667f3bcc909) % idRange)
	return 100_000 + (int64(i)*a+b)%idRange
}
