package predict

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/internal/ahead"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
)

// Predictor computes on images, uint8 [N, Size, Size, Channels]: it returns logits and
// probabilities, float32 [N, columns] in row-major order. Run writes the probabilities, or what a
// Predictor gives in their place, such as features.
type Predictor interface {
	Predict(images []byte) (logits, probabilities []float32, err error)
}

// Config holds the inputs, the output and the settings of Run.
type Config struct {
	// Out is the file to make, .csv, .parquet or .npy; it must not exist.
	Out string
	// Source holds the images, one for each row.
	Source Source
	// Columns are the names of the network's outputs.
	Columns []string
	// Class adds a last column of text, ClassColumn(Columns), with the name of the column that has the
	// largest value. It is empty for a broken image. A .npy file, which is one matrix of numbers, goes without it.
	Class bool
	// Exact writes as many digits into a CSV as a float32 needs, in place of Decimals behind the point.
	Exact bool
	// Shape is the shape of the network's images.
	Shape imagefile.Shape
	// Batch is the number of images predicted at a time; 0 is 64. The last bits
	// of a prediction may depend on it.
	Batch int
	// Workers is the number of images decoded at a time; 0 is data.DefaultWorkers.
	Workers int
	// Project, if set, is the schema whose columns Columns are: every row is made to
	// satisfy its sum rules (Schema.Project).
	Project *labels.Schema
	// MaxBroken is the largest number of broken images, whose rows get the mean
	// prediction; with more Run fails. 0 is none.
	MaxBroken int
	// Write, if set, makes the file at path from the rows, in place of the table of all of them. Out may then have any name.
	Write func(path string, rows Rows) error
	// Settings is everything else that decides the predictions, as JSON: the model, the
	// decoder, the views. Unfinished work with other settings is not resumed.
	Settings any

	// Progress, if set, is called with the number of finished rows, from one
	// goroutine at a time, first with the rows of an earlier call.
	Progress func(done, total int)
	// Notice, if set, is called with a sentence if the work of an earlier call is
	// used or discarded.
	Notice func(sentence string)
}

func (c *Config) validate() error {
	if c.Batch == 0 {
		c.Batch = 64
	}
	if c.Workers == 0 {
		c.Workers = data.DefaultWorkers()
	}
	switch {
	case c.Batch < 1:
		return fmt.Errorf("batch is %d; expected 1 or more", c.Batch)
	case c.Workers < 0 || c.Workers > 1024:
		return fmt.Errorf("workers is %d; expected 1 to 1024, or 0 for two per core", c.Workers)
	case c.MaxBroken < 0:
		return fmt.Errorf("max broken is %d; expected 0 or more", c.MaxBroken)
	case c.Project != nil && !slices.Equal(c.Columns, c.Project.Columns()):
		return fmt.Errorf("columns %q cannot satisfy the sum rules of the label schema %v: expected %q", c.Columns, c.Project, c.Project.Columns())
	case c.Source == nil || c.Source.Len() == 0:
		return errors.New("no images to predict")
	}
	if c.Write != nil {
		return nil
	}
	if err := CheckFormat(c.Out); err != nil || !c.keysBeside() {
		return err
	}
	for i := range c.Source.Len() {
		if key := c.Source.Key(i); strings.ContainsAny(key, "\r\n") {
			return fmt.Errorf("the name %q has a line end in it, and %s has one name a line: choose .parquet or .csv, or rename the file", key, IDsFile(c.Out))
		}
	}
	return nil
}

// Rows calls do with every row in order, each time that it is called. do must not keep values, which are zeros for a
// broken image.
type Rows func(do func(row int, values []float32, broken bool) error) error

// A Broken image could not be predicted. Its row has the mean prediction.
type Broken struct {
	Image  string `json:"image"` // id or path
	Reason string `json:"reason"`
}

func (b Broken) String() string { return b.Image + ": " + b.Reason }

// Result reports what Run has done.
type Result struct {
	Rows      int      `json:"rows"`
	TakenOver int      `json:"taken_over"` // rows that an earlier call had predicted
	Broken    []Broken `json:"broken"`     // in the order of the rows
	// IDs is IDsFile of a .npy file.
	IDs string `json:"ids,omitempty"`
}

// BrokenFile returns the file in which Run lists the broken images, if there are any.
func BrokenFile(out string) string { return out + ".broken.csv" }

// IDsFile returns the file that Run writes beside a .npy file: the ids or paths of its rows, one per
// line, each with a line feed behind it.
func IDsFile(out string) string { return out + ".ids.txt" }

// keysBeside reports whether the table has no room for the keys of its rows.
func (c *Config) keysBeside() bool { return c.Write == nil && extension(c.Out) == ".npy" }

// PartialFolder returns the folder in which Run works until out is complete.
func PartialFolder(out string) string { return durable.PartialFolder(out) }

// Run predicts the images and writes the table, as well as the list of broken
// images, BrokenFile(Out), if there are any, and for a .npy file IDsFile(Out).
//
// The bytes do not depend on the number of workers or on interruptions. After an error, a
// cancelled ctx or a crash, the finished batches stay in PartialFolder(Out), and the next
// call with the same images, order and settings checks and reuses them. A call with others
// is an error that names the differences.
//
// A broken image (truncated, not an image, rejected by the decoder) cannot be predicted.
// Its row gets the mean of all other rows: of all predictions that ignore the image, the
// mean has the smallest expected squared error, and a mean of rows that satisfy the sum
// rules satisfies them too. More than MaxBroken such images are an error, which names the
// first ones and the file in the partial folder that lists all. It is also an error if no
// image is good, or if a prediction is not finite. An image that the machine failed to read
// is data.ErrUnread, and ends the call at once.
func Run(ctx context.Context, cfg Config, predictor Predictor) (Result, error) {
	r := &run{cfg: cfg, predictor: predictor}
	r.result.Broken = []Broken{} // as JSON a list, not null
	if err := r.run(ctx); err != nil {
		return Result{}, fmt.Errorf("write %s: %w", cfg.Out, err)
	}
	return r.result, nil
}

type run struct {
	cfg       Config
	predictor Predictor
	result    Result
	done      int // rows in the file
}

func (r *run) run(ctx context.Context) error {
	cfg := &r.cfg
	if err := cfg.validate(); err != nil {
		return err
	}
	taken := errors.Join(durable.Vacant(cfg.Out), r.vacant(listName, BrokenFile(cfg.Out)))
	if cfg.keysBeside() {
		taken = errors.Join(taken, r.vacant(idsName, IDsFile(cfg.Out)))
	}
	if taken != nil {
		return taken
	}
	plan, err := r.plan()
	if err != nil {
		return err
	}
	other := func(changes string) error {
		if changes == "" {
			r.notice("beginning anew: what %s held cannot be gone on with", PartialFolder(cfg.Out))
			return nil
		}
		return fmt.Errorf("%s holds unfinished work that was begun with %s; ask for the same to go on with it, or remove the folder to begin anew",
			PartialFolder(cfg.Out), changes)
	}
	notice := func(sentence string) { r.notice("%s", sentence) }
	return durable.Continue(cfg.Out, plan, notice, other, func(path string, begun bool) error { return r.write(ctx, path, begun) })
}

// Files of the partial folder that stay beside the table.
const (
	listName = "broken.csv" // BrokenFile
	idsName  = "ids.txt"    // IDsFile
)

// vacant returns an error if a file beside the table exists already, unless an earlier call died
// just after writing it: name is then in the partial folder, and the same.
func (r *run) vacant(name, beside string) error {
	there, err := os.ReadFile(beside)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if ours, err2 := os.ReadFile(filepath.Join(PartialFolder(r.cfg.Out), name)); err2 == nil && bytes.Equal(there, ours) {
		return nil
	}
	return usage.Errorf("%s exists already; choose another {out} or remove it first", beside)
}

// plan returns the description of this work: an earlier call is resumed if it had the same.
func (r *run) plan() ([]byte, error) {
	images, order, err := r.cfg.Source.Checksums()
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(struct {
		Images   string   `json:"images"`
		Order    string   `json:"order"`
		Rows     int      `json:"rows"`
		Columns  []string `json:"columns"`
		Size     int      `json:"size"`
		Batch    int      `json:"batch"`
		Project  bool     `json:"project"`
		Settings any      `json:"settings"`
	}{
		images, order, r.cfg.Source.Len(),
		r.cfg.Columns, r.cfg.Shape.Size, r.cfg.Batch, r.cfg.Project != nil, r.cfg.Settings,
	}, "", "  ")
}

func (r *run) notice(format string, args ...any) {
	if r.cfg.Notice != nil {
		r.cfg.Notice(fmt.Sprintf(format, args...))
	}
}

func (r *run) progress() {
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.done, r.cfg.Source.Len())
	}
}

// write makes the table at path; the rows predicted so far are in the same folder.
func (r *run) write(ctx context.Context, path string, begun bool) (err error) {
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), rowsName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	rows := rowFile{f, len(r.cfg.Columns), r.cfg.Batch, r.cfg.Source.Len()}
	if begun {
		if err := r.takeOver(ctx, rows); err != nil {
			return err
		}
	}
	if err := f.Truncate(rows.offset(r.done)); err != nil {
		return err
	}
	r.progress()
	if err := r.predict(ctx, rows); err != nil {
		return err
	}
	return r.finish(path, rows)
}

// takeOver counts the intact rows of an earlier call. A broken image must still be
// broken.
func (r *run) takeOver(ctx context.Context, rows rowFile) error {
	var file []byte
	dst := make([]byte, r.cfg.Shape.Bytes())
	for r.done < rows.total {
		if err := ctx.Err(); err != nil {
			return err
		}
		block, err := rows.read(r.done)
		if durable.IsSystem(err) {
			return err
		}
		if err != nil {
			break // incomplete
		}
		var broken []Broken
		for i := range block.broken {
			if !block.broken[i] {
				continue
			}
			row := r.done + i
			if file, err = r.cfg.Source.Decode(dst, row, file); err == nil {
				break // it was repaired
			}
			if errors.Is(err, data.ErrUnread) {
				return err
			}
			broken = append(broken, Broken{r.cfg.Source.Key(row), err.Error()})
		}
		if len(broken) < block.count() {
			break
		}
		r.result.Broken = append(r.result.Broken, broken...)
		r.done += len(block.broken)
	}
	r.result.TakenOver = r.done
	if r.done > 0 {
		r.notice("going on with %s: %d of %s done", PartialFolder(r.cfg.Out), r.done, usage.Count(rows.total, "image"))
	}
	return nil
}

// A batch of images passes from the workers to the network.
type batch struct {
	first  int // row
	n      int
	pixels []byte  // room for the largest batch
	errs   []error // of each image, nil for a good one
}

const (
	// partImages is how many images a worker decodes at a time: enough to make the
	// hand-over cheap, few enough that all workers share the batch needed next.
	partImages = 8
	// aheadBatches is how many batches are decoded ahead of the one predicted.
	aheadBatches = 3
)

// predict appends the missing rows: workers decode the next batches while the network
// predicts one.
func (r *run) predict(ctx context.Context, rows rowFile) error {
	image, first := r.cfg.Shape.Bytes(), r.done
	size := max(1, min(r.cfg.Batch, rows.total-first))
	batches := (rows.total - first + size - 1) / size
	work := ahead.Work[*batch]{
		Blocks: batches, Workers: r.cfg.Workers,
		Start: func(b *batch, seq int) int {
			b.first = first + seq*size
			b.n = min(size, rows.total-b.first)
			return (b.n + partImages - 1) / partImages
		},
		Fill: func(b *batch, part int, file []byte) []byte { return r.decode(b, part*partImages, image, file) },
		Use: func(b *batch) error {
			block, err := r.answer(b, image)
			if err != nil {
				return err
			}
			if err := rows.write(b.first, block); err != nil {
				return err
			}
			r.done += b.n
			r.progress()
			return nil
		},
	}
	for range min(1+aheadBatches, batches) {
		work.Buffers = append(work.Buffers, &batch{pixels: make([]byte, size*image), errs: make([]error, size)})
	}
	return work.Run(ctx)
}

// decode decodes partImages of a batch, from one on. It returns the buffer for files,
// which grows with the largest.
func (r *run) decode(b *batch, from, image int, file []byte) []byte {
	for i := from; i < min(from+partImages, b.n); i++ {
		dst := b.pixels[i*image : (i+1)*image]
		file, b.errs[i] = r.cfg.Source.Decode(dst, b.first+i, file)
		if b.errs[i] != nil {
			clear(dst) // the batch is the same whatever was there before
		}
	}
	return file
}

// answer predicts a batch.
func (r *run) answer(b *batch, image int) (block, error) {
	for _, err := range b.errs[:b.n] {
		if errors.Is(err, data.ErrUnread) {
			return block{}, err
		}
	}
	_, probabilities, err := r.predictor.Predict(b.pixels[:b.n*image])
	if err != nil {
		return block{}, err
	}
	columns := len(r.cfg.Columns)
	if len(probabilities) != b.n*columns {
		return block{}, fmt.Errorf("%d answers to %d images: expected %d each", len(probabilities), b.n, columns)
	}
	out := newBlock(b.n, columns)
	copy(out.values, probabilities)
	for i := range b.n {
		row, name := out.row(i), r.cfg.Source.Key(b.first+i)
		if err := b.errs[i]; err != nil {
			out.broken[i] = true
			clear(row)
			r.result.Broken = append(r.result.Broken, Broken{name, err.Error()})
			continue
		}
		for _, v := range row {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return block{}, usage.Errorf("the model's answer to %v is %v; choose another checkpoint, or {precision=float32}", name, v)
			}
		}
		if r.cfg.Project != nil {
			if err := r.cfg.Project.Project(row); err != nil {
				return block{}, fmt.Errorf("%v: %w", name, err)
			}
		}
	}
	return out, nil
}

// finish checks all rows and writes the table.
func (r *run) finish(path string, rows rowFile) error {
	broken, partial := r.result.Broken, filepath.Dir(path)
	if len(broken) > 0 {
		list := filepath.Join(partial, listName)
		text := r.brokenCSV()
		if err := durable.WriteFile(list, text); err != nil {
			return err
		}
		if len(broken) == rows.total {
			return fmt.Errorf("no usable image among %d (%s)", rows.total, first(broken))
		}
		if len(broken) > r.cfg.MaxBroken {
			return usage.Errorf("broken images: %d of %d in %s (%s), at most %d allowed; get the files again, or give them the mean of all other rows with {max_broken} %d; %s lists them all, and what is done stays there",
				len(broken), rows.total, r.cfg.Source.Path(), first(broken), r.cfg.MaxBroken, len(broken), list)
		}
		if err := durable.WriteFile(BrokenFile(r.cfg.Out), text); err != nil {
			return err
		}
	}
	if r.cfg.keysBeside() {
		var text bytes.Buffer
		for i := range rows.total {
			text.WriteString(r.cfg.Source.Key(i) + "\n")
		}
		r.result.IDs = IDsFile(r.cfg.Out)
		if err := errors.Join(durable.WriteFile(filepath.Join(partial, idsName), text.Bytes()), durable.WriteFile(r.result.IDs, text.Bytes())); err != nil {
			return err
		}
	}
	r.result.Rows = rows.total
	if r.cfg.Write != nil {
		return r.cfg.Write(path, rows.each)
	}
	return r.writeTable(path, rows)
}

// writeTable writes the table, in which broken images have the mean of the others.
func (r *run) writeTable(path string, rows rowFile) error {
	mean, err := rows.mean()
	if err != nil {
		return err
	}
	layout := layout{key: r.cfg.Source.Keys(), columns: r.cfg.Columns, rows: rows.total, exact: r.cfg.Exact}
	if r.cfg.Class {
		layout.class = ClassColumn(r.cfg.Columns)
	}
	return writeTable(path, extension(r.cfg.Out), layout, func(t table) error {
		return rows.each(func(i int, values []float32, broken bool) error {
			class := ""
			if broken {
				values = mean
			} else if r.cfg.Class {
				class = r.cfg.Columns[labels.Largest(values)]
			}
			return t.add(r.cfg.Source.Key(i), values, class)
		})
	})
}

// ClassColumn returns the name of the column of predicted classes beside columns: class, or, if one of them has that
// name, predicted_class, predicted_predicted_class and so on.
func ClassColumn(columns []string) string {
	name := "class"
	for slices.Contains(columns, name) {
		name = "predicted_" + name
	}
	return name
}

// brokenCSV is a table of the broken images, one line each.
func (r *run) brokenCSV() []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write([]string{r.cfg.Source.Keys().Name, "reason"}) // a buffer takes all
	for _, b := range r.result.Broken {
		_ = w.Write([]string{b.Image, b.Reason})
	}
	w.Flush()
	return out.Bytes()
}

// first lists the first few broken images for a message.
func first(broken []Broken) string {
	const most = 5
	var s []string
	for _, b := range broken[:min(len(broken), most)] {
		s = append(s, b.String())
	}
	if len(broken) > most {
		s = append(s, "…")
	}
	return strings.Join(s, "; ")
}
