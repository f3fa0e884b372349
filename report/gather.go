package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"time"

	"galaxy/data"
	"galaxy/train"
)

// Options sets what a report is about.
type Options struct {
	// Runs are the folders of the runs. The first is shown in full, and the others are compared with it.
	Runs []string
	// Data is the folder of the cache; "" is the one that the run names.
	Data string
	// Open opens the best checkpoint of a run to predict with.
	Open func(dir string, cfg train.Config) (Model, error)
	// Command returns the command line that trains a run with this configuration.
	Command func(dir string, cfg train.Config) string
	// Version is the program's version.
	Version string
	// Now is the time of the report.
	Now time.Time
	// Progress, if set, is called with the number of galaxies that are evaluated.
	Progress func(done, total int)
}

// Report holds everything that the page shows.
type Report struct {
	Options
	*Run
	Command    string      // that trains the run again
	Others     []*Compared // with the first run
	Cache      *Data       // nil if the cache cannot be read
	Evaluation *Evaluation // nil if there is none
	// Missing has a sentence about everything that is not shown, beside those of the runs.
	Missing []string

	choice          *choice
	galleries       []gallery
	aboutNeighbours string // how they were searched
	leaks           *leaks
	sheet           *sheet
	brightened      template.HTML // a note about the images
	room            room
	crowded         string // what there was no room for
}

// Gather reads and evaluates the runs. See the package comment for its errors.
func Gather(ctx context.Context, o Options) (_ *Report, err error) {
	r := &Report{Options: o}
	if r.Run, err = ReadRun(o.Runs[0]); err != nil {
		return nil, err
	}
	if o.Command != nil {
		r.Command = o.Command(o.Runs[0], r.Config)
	}
	all := []*Run{r.Run}
	for _, dir := range o.Runs[1:] {
		other, err := ReadRun(dir)
		if err != nil {
			return nil, err
		}
		all = append(all, other)
		r.Others = append(r.Others, &Compared{Run: other})
	}
	tellApart(all)
	cache, err := OpenCache(cmp.Or(o.Data, r.Config.Cache.Path), r.Config)
	if err != nil {
		r.lack("There are no metrics of the test split, no galaxies and no data: %v.", err)
		return r, nil
	}
	defer cache.Close() // which was only read
	if err := r.show(ctx, cache); err != nil {
		return nil, err
	}
	return r, nil
}

// lack adds a sentence about something that the report cannot show.
func (r *Report) lack(format string, args ...any) {
	r.Missing = append(r.Missing, fmt.Sprintf(format, args...))
}

// OpenCache opens a cache that has to be the one that a run was trained on. The errors say what to do.
func OpenCache(dir string, cfg train.Config) (*data.Cache, error) {
	cache, err := data.Open(dir)
	if _, gone := os.Stat(dir); errors.Is(gone, fs.ErrNotExist) {
		return nil, fmt.Errorf("the cache %s does not exist; if it has moved, give its folder with --data", dir)
	}
	if err != nil {
		return nil, err
	}
	if got, want := cache.Manifest().Checksum, cfg.Cache.Checksum; got != want {
		cache.Close()
		return nil, fmt.Errorf("the cache %s has the checksum %s, and the run was trained on one with %s: give that one with --data", dir, got, want)
	}
	return cache, nil
}

// show fills in what needs the cache. Its only error is that of ctx: what else fails is lacking.
func (r *Report) show(ctx context.Context, cache *data.Cache) error {
	r.Cache = newData(cache)
	lack := func(what string, err error) {
		if err != nil {
			r.lack("%s: %v.", what, err)
		}
	}
	var err error
	images := newPictures(cache)
	r.brightened = images.note()
	r.leaks, err = audit(ctx, images)
	lack("There is no leak audit", err)
	r.sheet, err = contactSheet(images)
	lack("There is no contact sheet", err)
	r.Evaluation, err = r.score(ctx, r.Dir, r.Config, cache, func(m Model, e *Evaluation) error { return r.showGalaxies(ctx, images, m, e) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.Evaluation == nil {
		lack("There are no metrics of the test split and no galaxies", err)
	} else {
		lack("There are no galaxies", err)
		if r.leaks != nil { // otherwise the same reason is given already
			lack("Damaged images are left out, and nearly equal ones were not searched for", r.leaks.damaged)
		}
		if r.Evaluation.Split == data.Validation {
			r.lack("The test split has no galaxy with a label, so all metrics are of the validation split. It has chosen the best checkpoint, so they are better than on galaxies that the run has never seen.")
		}
	}
	return r.compare(ctx, cache)
}

// score opens and evaluates a run's best checkpoint, and calls more, if it is not nil, while the model is open. If
// more fails, the evaluation is returned beside the error.
func (r *Report) score(ctx context.Context, dir string, cfg train.Config, cache *data.Cache, more func(Model, *Evaluation) error) (_ *Evaluation, err error) {
	m, err := r.Open(dir, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	e, err := evaluate(ctx, m, cache, r.Progress)
	if err == nil && more != nil {
		err = more(m, e)
	}
	return e, err
}
