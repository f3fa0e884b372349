package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/urfave/cli/v2"

	"galaxy/data/imagefile"
	"galaxy/explain"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/usage"
	"galaxy/labels"
	runreport "galaxy/report"
	"galaxy/serve"
	"galaxy/train"
)

func serveCommand() *cli.Command {
	d := serve.Default("", nil)
	return &cli.Command{
		Name:  "serve",
		Usage: "answer requests for predictions, as TensorFlow Serving does, by REST and gRPC, and show a page",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "model", Category: catInput, Usage: "`RUN|SAVEDMODEL` folder, or one with a SavedModel for each version, of which the newest is served; a SavedModel is a program: use only models you trust"},
			&cli.StringFlag{Name: "crop", Category: catInput, Usage: "the centre to predict: `PX` pixels, or a fraction of the shorter side, such as 53%", DefaultText: "as the model was trained"},
			&cli.StringFlag{Name: "data", Category: catInput, Usage: "`CACHE` whose galaxies the page shows as similar", DefaultText: "the run's, if it is where it was"},
			&cli.StringFlag{Name: "listen", Category: catOutput, Value: "127.0.0.1:8501", Usage: "`ADDRESS` of REST, metrics and the page; with port 0 the system chooses one"},
			&cli.StringFlag{Name: "grpc", Category: catOutput, Usage: "`ADDRESS` of gRPC, such as 127.0.0.1:8500", DefaultText: "no gRPC"},
			&cli.StringFlag{Name: "name", Category: catOutput, Value: d.Name, Usage: "`NAME` of the model in requests"},
			&cli.BoolFlag{Name: "raw", Category: catOutput, Usage: "answer with the model's own predictions, without making them satisfy the sum rules of the question tree"},
			&cli.IntFlag{Name: "max-batch", Category: catSpeed, Value: d.MaxBatch, Usage: "images predicted at a time"},
			&cli.DurationFlag{Name: "max-wait", Category: catSpeed, Value: d.MaxWait, Usage: "longest wait of an image for others of its batch, while other requests arrive"},
			&cli.StringFlag{Name: "precision", Category: catSpeed, Value: string(network.Auto), Usage: "precision of a run's convolutions: auto, float32, bfloat16 or float16"},
			&cli.IntFlag{Name: "workers", Category: catSpeed, Usage: "images decoded at the same time; 0 is two per core"},
			threadsFlag(catSpeed), gpuMemoryFlag(catSpeed),
			&cli.IntFlag{Name: "max-queue", Category: catLimits, Value: d.MaxQueue, Usage: "images that are decoded, wait or are predicted; beyond it requests fail with 429 or RESOURCE_EXHAUSTED"},
			&cli.IntFlag{Name: "max-items", Category: catLimits, Value: d.MaxItems, Usage: "images of a request"},
			&cli.IntFlag{Name: "max-body", Category: catLimits, Value: d.MaxBody >> 20, Usage: "largest request, in `MIB`"},
			&cli.IntFlag{Name: "max-pixels", Category: catLimits, Value: d.MaxPixels, Usage: "largest image that is decoded: its width times its height"},
			&cli.DurationFlag{Name: "timeout", Category: catLimits, Value: d.Timeout, Usage: "longest time for a request to arrive, and after that for its answer"},
			&cli.DurationFlag{Name: "poll", Category: catLimits, Value: d.Poll, Usage: "time between two looks for a new version of the model"},
			&cli.IntFlag{Name: "size", Category: catExternal, Usage: "side of its images in `PX`", DefaultText: "from its signature"},
		}, externalModelFlags()...),
		Action: serveAction,
	}
}

// served is what serve prints once it answers requests.
type served struct {
	Model   string `json:"model"`
	Name    string `json:"name"`
	Version int64  `json:"version"`
	REST    string `json:"rest"`           // address
	GRPC    string `json:"grpc,omitempty"` // address
}

func serveAction(c *cli.Context) (err error) {
	if err := checkArguments(c, "model"); err != nil {
		return err
	}
	open, err := servedModels(c)
	if err != nil {
		return usage.Error{Err: err}
	}
	cfg := serve.Default(c.String("model"), open)
	cfg.Name, cfg.MaxBatch, cfg.MaxWait, cfg.Workers = c.String("name"), c.Int("max-batch"), c.Duration("max-wait"), c.Int("workers")
	cfg.MaxQueue, cfg.MaxItems, cfg.MaxBody, cfg.MaxPixels = c.Int("max-queue"), c.Int("max-items"), c.Int("max-body")<<20, c.Int("max-pixels")
	cfg.Timeout, cfg.Poll = c.Duration("timeout"), c.Duration("poll")
	cfg.Notice = func(format string, args ...any) { fmt.Fprintf(c.App.ErrWriter, format+"\n", args...) }
	if err := cfg.Validate(); err != nil {
		return usage.Error{Err: err}
	}
	rest, err := listen(c, "listen", c.String("listen"))
	if err != nil {
		return err
	}
	defer rest.Close() // once more, if Serve has done it
	var rpc net.Listener
	result := served{Model: c.String("model"), Name: cfg.Name, REST: rest.Addr().String()}
	if c.String("grpc") != "" {
		if rpc, err = listen(c, "grpc", c.String("grpc")); err != nil {
			return err
		}
		defer rpc.Close()
		result.GRPC = rpc.Addr().String()
	}
	s, err := serve.New(cfg)
	if err != nil {
		return err
	}
	result.Version = s.Version()
	if err := report(c, result, result.print); err != nil {
		return err
	}
	if err := s.Serve(c.Context, rest, rpc); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil // the end of a service is a signal
}

func (r served) print(w io.Writer) {
	fmt.Fprintf(w, "serving %s, version %d: http://%s/ (REST: /v1/models/%s)\n", r.Model, r.Version, r.REST, r.Name)
	if r.GRPC != "" {
		fmt.Fprintf(w, "gRPC: %s\n", r.GRPC)
	}
}

// listen opens the address that a flag gives.
func listen(c *cli.Context, flag, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usage.Error{Err: fmt.Errorf("--%s %s: %w; expected HOST:PORT, such as 127.0.0.1:8501", flag, address, err)}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w; choose another address", flag, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && !ip.IsLoopback() {
		fmt.Fprintf(c.App.ErrWriter, "--%s %s: other machines can reach the service, which asks nobody for a password\n", flag, address)
	}
	return l, nil
}

// servedModels checks the flags about the model, and returns what opens it.
func servedModels(c *cli.Context) (func(dir string) (*serve.Model, error), error) {
	session, sessionErr := sessionOf(c)
	precision := network.Precision(c.String("precision"))
	crop, cropErr := cropAlone(c)
	other, otherErr := externalFlags(c)
	if err := errors.Join(sessionErr, precision.Validate(), cropErr, otherErr); err != nil {
		return nil, err
	}
	if c.IsSet("data") && c.String("data") == "" {
		return nil, errors.New("--data is empty: expected a cache")
	}
	if c.IsSet("size") {
		other.load.Size, other.names = c.Int("size"), append(other.names, "--size")
	}
	how := servedAs{session, precision, other, crop, c.Bool("raw"), c.String("data")}
	return how.open, nil
}

// servedAs holds the flags about the model.
type servedAs struct {
	session   session.Config
	precision network.Precision
	other     external
	crop      imagefile.Crop // 0 if it is not set
	raw       bool
	cache     string // "" is the run's own, if it is at hand
}

// open opens a model to serve.
func (how servedAs) open(dir string) (_ *serve.Model, err error) {
	n, err := openNetwork(dir, how.session, how.precision, how.other)
	if err != nil {
		return nil, err
	}
	closers := []func() error{n.close}
	closeAll := func() (err error) {
		for _, c := range slices.Backward(closers) {
			err = errors.Join(err, c())
		}
		session.TrimMemory() // or the service would keep the memory of the versions that it has had
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	columns, _ := n.table()
	m := &serve.Model{
		Predictor: n.Predictor, Shape: n.shape, Target: n.target(), Columns: columns, Concentrations: n.concentrations(),
		Project: !how.raw && n.projects(), Bands: n.bands, Stretch: n.stretch, Warning: n.warning, Close: func() error { return closeAll() },
	}
	crop := cmp.Or(how.crop, n.crop)
	if crop != 0 && (!n.stretch.IsZero() || n.bands.Picture()) { // otherwise it takes images only
		decoder, err := images.NewDecoder(crop, n.shape.Size)
		if err != nil {
			return nil, err
		}
		m.Decoder = decoder
		closers = append(closers, decoder.Close)
	}
	why, err := explain.New(n.Predictor)
	switch {
	case errors.Is(err, explain.ErrUnrecorded) && how.cache == "":
		return m, nil
	case err != nil:
		return nil, err
	}
	m.GradCAM = why.GradCAM
	cache := how.cache
	if cfg, err := train.ReadConfig(dir); err == nil && cache == "" {
		if sameCache(cfg) {
			cache = cfg.Cache.Path
		} else {
			m.Alone = fmt.Sprintf("the run's cache is no longer at %s; start the service with --data CACHE", cfg.Cache.Path)
		}
	}
	if cache != "" {
		near, closeCache, err := neighbours(why, n.shape, cache)
		if err != nil {
			return nil, err
		}
		m.Neighbours, closers = near, append(closers, closeCache)
	}
	return m, nil
}

// sameCache reports whether a run's cache is where it was when it was trained.
func sameCache(cfg train.Config) bool {
	cache, err := runreport.OpenCache(cfg.Cache.Path, cfg)
	if err != nil {
		return false
	}
	defer cache.Close()
	return true
}

// projects reports whether predictions are made to satisfy the sum rules, which those of
// classes do not have, and those of counts satisfy.
func (n opened) projects() bool {
	return !n.target().Derived() && n.target().Values() != labels.Counts
}
