package serve

import (
	"errors"
	"regexp"
	"runtime"
	"time"

	"galaxy/data/imagefile"
	"galaxy/internal/usage"
)

// Config holds the settings of a Server. Default has values for all but Open and Dir.
type Config struct {
	// Dir is the folder of the model: a run, a SavedModel, or a folder with a SavedModel in a folder
	// for each version, named by its number. Of the latter the newest is served, and a newer
	// one takes its place.
	Dir string
	// Open opens the model in a folder. It may be called again while an older version is in use.
	Open func(dir string) (*Model, error)
	// Name is the name by which clients call the model: letters, digits, '_', '-' and '.'.
	Name string
	// MaxBatch is the number of images predicted at a time. The last bits of a prediction may
	// depend on the batch.
	MaxBatch int
	// MaxWait is how long an image waits for others to fill a batch, while there are requests that
	// may bring some.
	MaxWait time.Duration
	// MaxQueue is the number of images that are decoded, or wait, or are predicted; beyond it requests fail
	// with 429 or RESOURCE_EXHAUSTED.
	MaxQueue int
	// MaxItems is the number of images of a request.
	MaxItems int
	// MaxBody is the size of a request, bytes; eight requests of this size may be held in
	// memory at the same time, or more of smaller ones.
	MaxBody int
	// MaxPixels is the largest image that is decoded.
	MaxPixels int
	// Timeout is the longest time for a request to arrive, and after that for its answer.
	Timeout time.Duration
	// Workers is the number of files decoded at the same time; 0 is two per core.
	Workers int
	// Poll is the time between two looks for a new version.
	Poll time.Duration

	// Notice, if set, is called with sentences for the operator, from several goroutines.
	Notice func(format string, args ...any)
}

// Default returns the settings of a service of the model in a folder.
func Default(dir string, open func(dir string) (*Model, error)) Config {
	return Config{
		Dir: dir, Open: open, Name: "galaxy",
		MaxBatch: 64, MaxWait: 10 * time.Millisecond, MaxQueue: 1024, MaxItems: 256,
		MaxBody: 64 << 20, MaxPixels: imagefile.MaxPixels,
		Timeout: 30 * time.Second, Poll: time.Second,
	}
}

var modelName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

// Validate checks the settings.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, name string, got any, expected string) {
		if !ok {
			errs = append(errs, &usage.Field{Name: name, Got: got, Expected: expected})
		}
	}
	check(modelName.MatchString(c.Name), "name", c.Name, "1 to 100 letters, digits, '_', '-' and '.'")
	check(c.MaxBatch >= 1 && c.MaxBatch <= 4096, "max_batch", c.MaxBatch, "1 to 4096 images")
	check(c.MaxWait >= 0 && c.MaxWait <= time.Minute, "max_wait", c.MaxWait, "0s to 1m")
	check(c.MaxItems >= 1, "max_items", c.MaxItems, "1 image or more")
	check(c.MaxQueue >= c.MaxItems, "max_queue", c.MaxQueue, "at least as many images as one request may have, {max_items}")
	check(c.MaxBody >= 1<<10 && c.MaxBody <= 1<<30, "max_body", c.MaxBody, "1 KiB to 1 GiB")
	check(c.MaxPixels >= 1 && c.MaxPixels <= imagefile.MaxPixels, "max_pixels", c.MaxPixels, "1 to 67108864, as many as 8192×8192")
	check(c.Timeout >= 100*time.Millisecond, "timeout", c.Timeout, "100ms or longer")
	check(c.Poll >= time.Millisecond, "poll", c.Poll, "1ms or longer")
	check(c.Workers >= 0 && c.Workers <= 1024, "workers", c.Workers, "1 to 1024, or 0 for two per core")
	return errors.Join(errs...)
}

// maxBodies is how many requests of MaxBody are held at the same time.
const maxBodies = 8

func (c *Config) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return 2 * runtime.GOMAXPROCS(0)
}
