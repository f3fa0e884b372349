package data

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
)

// A Decoder turns one image file into the pixels that are stored. It is passed in so
// that this package does not depend on TensorFlow.
type Decoder interface {
	// Decode decodes an image, keeps its centre, resizes that
	// and fills dst, uint8 [Size, Size, channels] in row-major order: RGB or, if dst has the length
	// of one channel, grey. Prepare calls it from several goroutines at once and reuses dst and the file's bytes. The
	// error is the reason recorded for a broken image, unless it wraps a syscall.Errno,
	// such as ENOMEM: then it is an error of the machine.
	Decode(dst []byte, file imagefile.File) error
}

const (
	// DefaultCrop is the side in pixels of the centre that is kept of the challenge's images. A
	// galaxy fills about the middle 207 of 424 pixels; the rest is sky and neighbours.
	DefaultCrop = 224

	// greySample is the number of images, the first by id, that show whether all are grey.
	greySample = 16

	minSize = 8
	maxSize = 1024
)

// PrepareConfig holds the inputs, the output and the settings of Prepare.
type PrepareConfig struct {
	Labels string // table of labels, in any format of package table; "" if Images has a folder for each class, or if there are no labels
	Images string // folder or zip of images
	Out    string // cache folder to make; must not exist

	// Schema describes the columns of Labels; nil is labels.GalaxyZoo. Of classes (Keys.Class, or no Labels) it is
	// one of labels.Schema.WithClasses, and nil is that of the classes that there are. labels.None, without Labels,
	// takes the images alone: their names are the ids.
	Schema *labels.Schema
	Keys   KeyColumns // the columns of Labels that say which galaxy a row is about

	Size int // width and height of the stored images, pixels, 8 to 1024
	// Crop is the centre the Decoder keeps. 0 is DefaultCrop for the challenge's schema, whose
	// images must be 424×424 then, and otherwise 1, the largest square.
	Crop imagefile.Crop
	// Files is the pattern of the images' names (Layout.Pattern).
	Files string
	// Bands are the channels of the stored images. nil is RGB for
	// the challenge's schema, and otherwise what the images are: Grey if the first of them, by id,
	// are all grey. Then a colour image is broken. Of FITS files they are those of the first image
	// (imagefile.File.Bands).
	Bands imagefile.Bands
	// Stretch is the stretch of images whose pixels may have any range. No stretch is
	// stretch.Default for FITS files, if the first image is one, and none for others.
	Stretch   stretch.Stretch
	Split     SplitRule // decides which galaxies are for training; Folders is ignored, since Prepare looks for them
	SplitSeed int64     // of Split; every value, 0 included, is a seed
	MaxBytes  int       // largest image file that is read; 0 is DefaultMaxBytes

	side int // height and width in pixels that every image must have, 0 for any

	// Decoder describes the Decoder in the manifest: its library, version and
	// resize method. Caches of the same settings and decoder have the same
	// bytes.
	Decoder string

	Workers      int  // images decoded at a time; 0 is two per processor
	AllowMissing bool // skip images without a row and rows without an image
	MaxBroken    int  // largest number of broken images to skip; with more Prepare fails. 0 is none

	// Progress, if set, is called with the number of finished images, from one goroutine
	// at a time: first with those of an earlier call, then every few images and at the
	// end.
	Progress func(done, total int)
	// Notice, if set, is called with a sentence if the work of an earlier call is
	// used or discarded.
	Notice func(sentence string)
}

// DefaultWorkers returns how many images are read, or written, at the same time if nothing
// else is asked for: two per core, since one would wait for files and locks for a sixth of
// the time.
func DefaultWorkers() int { return 2 * runtime.GOMAXPROCS(0) }

// Validate fills in the defaults and returns an error for a setting out of range. It does
// not read the files.
func (c *PrepareConfig) Validate() error {
	if err := c.validateLabels(); err != nil {
		return err
	}
	challenge := c.Schema.Equal(labels.GalaxyZoo())
	switch {
	case c.Crop != 0:
	case challenge:
		c.Crop, c.side = DefaultCrop, ImageSide
	default:
		c.Crop = 1
	}
	if challenge && c.Bands == nil {
		c.Bands = imagefile.RGB
	}
	if c.Workers == 0 {
		c.Workers = DefaultWorkers()
	}
	switch {
	case c.Out == "":
		return errors.New("no output folder given")
	case c.Size < minSize || c.Size > maxSize:
		return fmt.Errorf("size is %d pixels; expected %d to %d", c.Size, minSize, maxSize)
	case c.MaxBytes < 0:
		return fmt.Errorf("max bytes is %d; expected 1 or more, or 0 for %d", c.MaxBytes, DefaultMaxBytes)
	case c.Workers < 0 || c.Workers > 1024:
		return fmt.Errorf("workers is %d; expected 1 to 1024, or 0 for two per processor", c.Workers)
	case c.MaxBroken < 0:
		return fmt.Errorf("max broken is %d; expected 0 or more", c.MaxBroken)
	}
	return errors.Join(c.Bands.Validate(), c.Stretch.Validate(), c.Crop.Validate())
}

// Prepare reads a catalogue and its images, decodes every image once and
// writes a cache: examples by ascending id (CompareIDs), each with its split. The
// folder is atomic: it gets its name when it is complete and on disk. The bytes depend
// neither on the number of workers nor on time or interruptions. After an error, a cancelled
// ctx or a crash, the finished work stays in the folder Out.partial (PartialFolder). The
// next call with the same settings and sources checks and reuses it; a call with others
// starts again from scratch. If Out exists and was made in the same way, Prepare does
// nothing.
//
// A broken image (truncated, not an image, smaller than the crop, rejected by the decoder)
// is skipped and listed in the manifest, up to MaxBroken of them. These are errors:
//
//   - more broken images; the error names the first ids and the file that lists all,
//     Out.partial/broken.csv;
//   - an image that the machine failed to read (ErrUnread);
//   - no good image at all, or no image of the train split;
//   - unless AllowMissing, an image without a row or a row without an image;
//   - labels that all break the rules of the schema (Schema.CheckSums), because these are not labels.
//     Single rows that break them are kept and counted in the manifest.
func Prepare(ctx context.Context, config PrepareConfig, decoder Decoder) (*Manifest, error) {
	if decoder == nil {
		return nil, errors.New("prepare: no decoder given")
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	_, err := os.Lstat(config.Out)
	made := err == nil
	if !made {
		if err := durable.Vacant(config.Out); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	catalog, images, err := config.sources()
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	defer images.Close()
	listing, err := images.Checksum()
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}

	p := &preparer{config: config, decoder: decoder, catalog: catalog, images: images, columnSum: make([]float64, config.Schema.Width())}
	p.manifest = Manifest{
		Format:    cacheFormat,
		Version:   CacheVersion,
		Schema:    config.Schema,
		Size:      config.Size,
		Crop:      config.Crop,
		Decoder:   config.Decoder,
		SplitSeed: config.SplitSeed,
		Split:     config.Split,
		Files:     config.Files,
		Broken:    []Broken{},
		// Zeros until the end, as the plan has them.
		ColumnMeans: make([]float64, config.Schema.Width()),
		Sources: Sources{
			Images:         filepath.Base(config.Images),
			IDColumn:       config.Keys.ID,
			PathColumn:     config.Keys.Path,
			ClassColumn:    config.Keys.Class,
			ImageFiles:     images.Len(),
			ImagesChecksum: hex(listing),
		},
	}
	if config.Labels != "" {
		p.manifest.Sources.Labels, p.manifest.Sources.LabelsChecksum = filepath.Base(config.Labels), hex(catalog.checksum)
	}
	p.noticeSources()
	if err := p.match(); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if made {
		m, err := p.found()
		if err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		return m, nil
	}
	plan, err := json.Marshal(p.manifest)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	other := func(changes string) error {
		p.notice("beginning anew: %s held work that was begun with %s", PartialFolder(config.Out), cmp.Or(changes, "a plan that is damaged"))
		return nil
	}
	notice := func(sentence string) { p.notice("%s", sentence) }
	err = durable.Continue(config.Out, plan, notice, other, func(dir string, begun bool) error { return p.write(ctx, dir, begun) })
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", config.Out, err)
	}
	return &p.manifest, nil
}

// PartialFolder returns the folder in which Prepare works until out is complete.
func PartialFolder(out string) string { return durable.PartialFolder(out) }

// found returns the manifest of an existing cache at Out, if it was made with p's settings
// and sources, up to the broken images.
func (p *preparer) found() (*Manifest, error) {
	c, err := Open(p.config.Out)
	if durable.Unread(err) {
		return nil, err // it may well be this cache
	}
	if err != nil {
		return nil, usage.Errorf("%s exists already, and not as this cache (%w); choose another {out} or remove it first", p.config.Out, err)
	}
	m := c.Manifest()
	if err := c.Close(); err != nil {
		return nil, err
	}
	if !m.Schema.Equal(p.manifest.Schema) && m.Sources == p.manifest.Sources {
		return nil, usage.Errorf("%s exists already and has labels of the schema %v (asked for is %v); choose another {out} or remove it first", p.config.Out, m.Schema, p.manifest.Schema)
	}
	for _, d := range []struct {
		what      string
		was, want any
	}{
		{"size", m.Size, p.manifest.Size},
		{"crop", m.Crop, p.manifest.Crop},
		{"choice of bands", m.Bands.String(), p.manifest.Bands.String()},
		{"stretch", m.Stretch, p.manifest.Stretch},
		{"decoder", m.Decoder, p.manifest.Decoder},
		{"split", m.Split, p.manifest.Split},
		{"split seed", m.SplitSeed, p.manifest.SplitSeed},
		{"sources", m.Sources, p.manifest.Sources},
		{"images without a row", m.ImagesWithoutRow, p.manifest.ImagesWithoutRow},
		{"rows without an image", m.RowsWithoutImage, p.manifest.RowsWithoutImage},
	} {
		if d.was != d.want {
			if d.what == "sources" {
				return nil, usage.Errorf("%s exists already and was made from other labels or images, or they have changed since; choose another {out} or remove it first", p.config.Out)
			}
			return nil, usage.Errorf("%s exists already and was made with another %s (%+v, asked for is %+v); choose another {out} or remove it first", p.config.Out, d.what, d.was, d.want)
		}
	}
	if len(m.Broken) > p.config.MaxBroken {
		return nil, fmt.Errorf("%s is there already: %w; remove it to try them again", p.config.Out, p.tooManyBroken(m.Broken))
	}
	again := ""
	if len(m.Broken) > 0 {
		again = ", but for " + usage.Count(len(m.Broken), "broken image") + ": remove it to try again"
	}
	p.notice("%s is there already, made from files of the same names and sizes with the same settings: nothing to do%s", p.config.Out, again)
	return &m, nil
}

func (p *preparer) notice(format string, args ...any) {
	if p.config.Notice != nil {
		p.config.Notice(fmt.Sprintf(format, args...))
	}
}

type preparer struct {
	config   PrepareConfig
	decoder  Decoder
	catalog  *Catalog
	images   *Images
	manifest Manifest

	todo   []int   // rows of the catalogue that have an image and a label, by ascending id
	splits []Split // of each row of todo, by row of the catalogue
	done   int
	ids    []byte // ids.txt so far

	// Totals over the train split. They are integers, so the order in which images arrive
	// does not matter: 61,578 images of 424 px stay below 2⁵⁰.
	channelSum, channelSquares channelTotals
	channelHoles               channelTotals // pixels of 0
	columnSum                  []float64
}

// match pairs rows with images.
func (p *preparer) match() error {
	m, err := Match(p.catalog, p.images, p.config.AllowMissing)
	if err != nil {
		return err
	}
	var left unlabelled
	if p.todo, left = p.catalog.labelled(m.Rows); len(p.todo) == 0 {
		return fmt.Errorf("%s: %w", p.catalog.Path, errNoneLabelled)
	}
	p.manifest.RowsWithoutClass, p.manifest.RowsWithoutSplit = left.class, left.split
	slices.SortFunc(p.todo, func(a, b int) int { return CompareIDs(p.catalog.IDs[a], p.catalog.IDs[b]) })
	if _, ok := p.catalog.IDs[p.todo[len(p.todo)-1]].Integer(); !ok {
		p.manifest.Version = CacheVersionIDs
	}
	p.manifest.ImagesWithoutRow, p.manifest.RowsWithoutImage = m.ImagesWithoutRow, m.RowsWithoutImage
	p.splits = p.config.Split.assign(p.catalog, p.todo, p.config.SplitSeed)
	if rule := p.config.Split; rule.given() && !slices.ContainsFunc(p.todo, func(row int) bool { return p.splits[row] == Train }) {
		return fmt.Errorf("%s: a split by %v, which puts none of the %s that can be used into train; expected some", p.catalog.Path, rule, usage.Count(len(p.todo), "image"))
	}
	if err := p.chooseBands(); err != nil {
		return err
	}
	return p.checkLabels()
}

// chooseBands sets the bands and the stretch of the cache, and whether a colour image is broken.
func (p *preparer) chooseBands() error {
	bands, by := p.config.Bands, p.config.Stretch
	first, grey, err := p.peek(p.todo[:min(len(p.todo), greySample)])
	if err != nil {
		return err
	}
	if by.IsZero() && first.FITS() {
		by = stretch.Default
	}
	switch {
	case by.IsZero() && !bands.Picture():
		return usage.Errorf("the bands %v are not those of JPEG, PNG and so on without a stretch; choose {bands=rgb} or {bands=grey}, or for one file per band a stretch, such as {stretch=linear,0..255}", bands)
	case !by.IsZero() && bands == nil:
		if bands, err = first.Bands(); err != nil {
			return usage.Errorf("%s: the first image: %w; set them with {bands}", p.images.Path(), err)
		}
	case bands == nil && grey:
		bands, p.images.Grey = imagefile.Grey, true
	}
	if err := by.CheckBands(bands.Channels()); err != nil {
		return err
	}
	if !bands.IsZero() {
		p.manifest.Bands = bands
	}
	p.manifest.Stretch, p.images.Bands, p.images.Stretch = by, bands, by
	channels := bands.Channels()
	p.manifest.ChannelMean, p.manifest.ChannelStd = make([]float64, channels), make([]float64, channels)
	return nil
}

// peek reads the headers of the images of some rows, without those that cannot be opened. It returns the
// first, and whether all are grey. The error is one of the machine.
func (p *preparer) peek(rows []int) (first imagefile.File, grey bool, err error) {
	var buf []byte
	if p.config.Bands != nil && p.config.Bands.Picture() && p.config.Stretch.IsZero() {
		rows = rows[:1] // only to see whether it is FITS
	}
	grey = true
	for _, row := range rows {
		i, _ := p.images.Find(p.catalog.image(row)) // match has found it
		encoded, err := p.images.Read(i, buf)
		if errors.Is(err, ErrUnread) {
			return first, false, err
		}
		if err != nil {
			continue
		}
		buf = encoded
		file, err := imagefile.Open(encoded)
		if err != nil {
			continue
		}
		if first.Width == 0 {
			first, buf = file, nil // which refers to it
		}
		if grey = grey && file.Grey; !grey {
			break
		}
	}
	return first, grey && first.Width > 0, nil
}

// checkLabels returns an error for labels that cannot be votes, such as a benchmark
// file with the right ids and columns. Single rows may break the rules.
func (p *preparer) checkLabels() error {
	var first error
	for _, row := range p.todo {
		err := p.config.Schema.CheckSums(p.catalog.Row(row), labels.SumTolerance)
		if err == nil {
			return nil
		}
		if first == nil {
			first = fmt.Errorf("galaxy %s: %w", p.catalog.IDs[row], err)
		}
	}
	if p.config.Schema.Values() == labels.Counts {
		return fmt.Errorf("%s does not hold the votes of the schema %v: all of its %s with an image contradict it (%w); correct what its questions are asked after (galaxy schema check names the rows)",
			p.catalog.Path, p.config.Schema, usage.Count(len(p.todo), "row"), first)
	}
	if !p.config.Schema.Equal(labels.GalaxyZoo()) {
		return fmt.Errorf("%s does not hold the fractions of the schema %v: none of its %s with an image obeys the sum rules (%w); correct what its questions are asked after, or whether they are fractions of all volunteers or of those asked (galaxy schema check names the rows)",
			p.catalog.Path, p.config.Schema, usage.Count(len(p.todo), "row"), first)
	}
	return fmt.Errorf("%s holds no vote fractions: none of its %s with an image obeys the sum rules of the question tree (%w); give the labels of the images, as in Kaggle's training_solutions_rev1.csv, not a benchmark or a submission, or name the schema of another catalogue (galaxy schema list)",
		p.catalog.Path, usage.Count(len(p.todo), "row"), first)
}

// finish checks the result and turns the totals into means. dir is the cache's
// folder.
func (p *preparer) finish(dir string) error {
	m := &p.manifest
	if m.Examples == 0 {
		return fmt.Errorf("no usable image among %d: galaxy %s: %s", len(p.todo), m.Broken[0].ID, m.Broken[0].Reason)
	}
	if len(m.Broken) > p.config.MaxBroken {
		list := filepath.Join(filepath.Dir(dir), "broken.csv")
		if err := durable.WriteFile(list, brokenCSV(m.Broken)); err != nil {
			return err
		}
		return fmt.Errorf("%w; %s lists them all, and what is done stays there", p.tooManyBroken(m.Broken), list)
	}
	if m.Counts.Train == 0 {
		return fmt.Errorf("no galaxy in the train split, of %d; more are needed", m.Examples)
	}
	for c := range m.ChannelMean {
		pixels := float64(m.Counts.Train) * float64(m.Size) * float64(m.Size)
		if !m.Stretch.IsZero() {
			pixels -= float64(p.channelHoles[c]) // where nothing is
		}
		mean := float64(p.channelSum[c]) / pixels
		variance := float64(p.channelSquares[c])/pixels - mean*mean
		m.ChannelMean[c] = mean / 255
		// Cancellation can leave a tiny negative variance for a flat image.
		m.ChannelStd[c] = math.Sqrt(max(variance, 0)) / 255
	}
	for j := range m.ColumnMeans {
		m.ColumnMeans[j] = p.columnSum[j] / float64(m.Counts.Train)
	}
	return nil
}

func (p *preparer) tooManyBroken(broken []Broken) error {
	n, colour := len(broken), ""
	if p.images.Grey {
		colour = ", or, if they are in colour, take all images as colour with {bands=rgb} or as grey with {bands=grey}"
	}
	return usage.Errorf("%s in %s (%s), at most %d allowed; get the files again, or leave them out with {max_broken} %d"+colour,
		usage.Count(n, "broken image"), p.images.Path(), some(broken, "; "), p.config.MaxBroken, n)
}

// brokenCSV is a table of broken images, one line each.
func brokenCSV(broken []Broken) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write([]string{IDColumn, "reason"}) // a buffer takes all
	for _, b := range broken {
		_ = w.Write([]string{string(b.ID), b.Reason})
	}
	w.Flush()
	return out.Bytes()
}

// someFirst is the number of ids that a message names; of the rest it gives the number.
const someFirst = 5

// some lists the first few items for a message.
func some[T any](items []T, separator string) string {
	var s []string
	for _, item := range items[:min(len(items), someFirst)] {
		s = append(s, fmt.Sprint(item))
	}
	if len(items) > someFirst {
		s = append(s, "…")
	}
	return strings.Join(s, separator)
}
