package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/kernels"
	"galaxy/internal/usage"
	"galaxy/labels"
	runreport "galaxy/report"
	"galaxy/train"
)

func trainCommand() *cli.Command {
	return settingsCommand(cmdTrain, "train a ResNet from random weights, or from another network's", "", ", that before the --recipe")
}

func pretrainCommand() *cli.Command {
	return settingsCommand(cmdPretrain, "learn features of images without labels, for galaxy train --init-from",
		"A network learns to give two views of one galaxy, which are rotated, shifted and so on at random, the same features (docs/pretrain.md).\n", "")
}

// settingsCommand returns a command whose flags are settings. last is what comes after a configuration file.
func settingsCommand(name, text, about, last string) *cli.Command {
	return &cli.Command{
		Name:  name,
		Usage: text,
		Description: about + "Durations are steps (500), epochs (2epochs) or percentages of the run (5%).\n" +
			"A flag goes before an environment variable, that before a value of the --config file" + last + ".\n" +
			"With --resume, settings that are omitted are as the run started.",
		Flags:        trainFlags(name),
		Action:       trainAction,
		BashComplete: completeTrain,
	}
}

// trainCall is a call of galaxy train or galaxy pretrain under way.
type trainCall struct {
	*request
	cli     *cli.Context
	asked   asked
	began   time.Time
	worker  *session.Worker // nil for one process alone
	cluster *session.Cluster
	run     *train.Config // of the run to resume, nil for a new one
	cache   *data.Cache
	devices []string
}

func trainAction(c *cli.Context) (err error) {
	t := &trainCall{cli: c, began: time.Now()}
	if t.asked, err = ask(c); err == nil {
		t.request, err = t.asked.over(nil, nil)
	}
	if err != nil {
		return usage.Error{Err: err}
	}
	defer func() { err = usage.Show(err, t.names) }()
	if t.worker, err = t.workerOf(); err != nil {
		return usage.Error{Err: err}
	}
	if err := t.openRun(); err != nil {
		return err
	}
	if err := t.takeSynthetic(); err != nil {
		return err
	}
	if t.printConfig {
		return t.print()
	}
	if err := t.checkNeeded(); err != nil {
		return err
	}
	if t.worker != nil && !t.resume { // before anybody waits for it
		if err := t.rehearse(); err != nil {
			return err
		}
	}
	if path := t.heartbeat; t.worker != nil && path != "" { // else it is Run's
		defer train.EndHeartbeat(path)
	}
	if err := t.joinCluster(); err != nil {
		return err
	}
	if err := t.settle(); err != nil {
		return err
	}
	if err := t.drawSynthetic(); err != nil {
		return err
	}
	if err := t.openCache(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.cache.Close()) }()
	cfg, err := t.configure()
	if err != nil {
		return usage.Error{Err: err}
	}
	return t.train(cfg)
}

// chief reports whether this process has the run's folder.
func (t *trainCall) chief() bool { return t.worker == nil || t.worker.Index == 0 }

func (t *trainCall) workers() int {
	if t.worker == nil {
		return 1
	}
	return len(t.worker.Cluster)
}

// openRun reads the configuration of the run to resume, if there is one.
func (t *trainCall) openRun() error {
	if !t.resume || t.out == "" || !t.chief() {
		return nil
	}
	cfg, err := train.ReadConfig(t.out)
	if err == nil {
		t.run = &cfg
		if began := (&request{plan: train.PlanOf(cfg)}).command(); began != t.asked.command {
			return usage.Error{Err: fmt.Errorf("%s is a run of galaxy %s: resume it with that command", t.out, began)}
		}
	} else if !errors.Is(err, fs.ErrNotExist) || exists(t.out) {
		return err
	}
	return nil
}

// print prints the settings and does nothing else.
func (t *trainCall) print() error {
	if err := t.settle(); err != nil {
		return err
	}
	type entry struct {
		Value  any    `json:"value"`
		Source string `json:"source"`
	}
	all := map[string]entry{}
	for i := range settings {
		if s := &settings[i]; s.printed(t.request) {
			all[s.name] = entry{s.toml(t.request), t.source(s)}
		}
	}
	return report(t.cli, all, t.printSettings)
}

// checkNeeded refuses a call without what it needs.
func (t *trainCall) checkNeeded() error {
	var missing []string
	if t.plan.Data == "" && t.run == nil && (t.chief() || !t.resume) {
		missing = append(missing, "data")
	}
	if t.out == "" && t.chief() {
		missing = append(missing, "out")
	}
	err := checkMissing(t.cli, missing)
	if err != nil && t.chief() && t.resume && t.out != "" && !exists(t.out) {
		err = usage.Error{Err: fmt.Errorf("there is no run %s to resume; to start it: %w", t.out, err)}
	}
	return err
}

// settle finds the settings beside the run to resume, and refuses those that are of no use.
func (t *trainCall) settle() error {
	first := t.request
	var schema *labels.Schema
	if t.cache != nil {
		schema = t.cache.Schema()
	}
	settled, err := t.asked.over(t.run, schema)
	if err == nil {
		err = settled.refuse()
	}
	if err != nil {
		return usage.Error{Err: err}
	}
	t.request = settled
	if t.workers() > 1 { // the cluster was joined with these, before a run was known
		t.plan.Config.Devices, t.plan.Config.Threads = first.plan.Config.Devices, first.plan.Config.Threads
	}
	return nil
}

func (t *trainCall) openCache() (err error) {
	if t.plan.Data == "" { // the chief was to tell and has none
		return checkMissing(t.cli, []string{"data"})
	}
	t.cache, err = data.Open(t.plan.Data)
	if _, given := t.given["data"]; errors.Is(err, fs.ErrNotExist) && t.run != nil && !given {
		err = fmt.Errorf("%w; if the run's cache has moved, give its folder with --data", err)
	}
	if err == nil {
		m := t.cache.Manifest()
		if err = t.checkSynthetic(&m); err != nil {
			err = errors.Join(err, t.cache.Close())
		}
	}
	if err != nil {
		return t.redraw(err)
	}
	if err := t.settle(); err != nil { // again: defaults depend on the cache's schema
		return errors.Join(err, t.cache.Close())
	}
	return nil
}

// rehearse finds mistakes in the settings of a new run.
func (t *trainCall) rehearse() (err error) {
	try := *t
	if err := try.settle(); err != nil {
		return err
	}
	if err := try.openCache(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, try.cache.Close()) }()
	if _, err := try.configure(); err != nil {
		return usage.Error{Err: err}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// session is how graphs are run.
func (t *trainCall) session() (session.Config, error) {
	s := session.Config{Threads: t.plan.Config.Threads, GPUMemory: t.gpuMemory}
	return s, s.Validate()
}

// configure finds the devices and the Config of the run on them.
func (t *trainCall) configure() (cfg train.Config, err error) {
	config, err := t.session()
	if err != nil {
		return cfg, err
	}
	if t.devices, err = t.plan.Config.Devices.Resolve(config); err != nil {
		return cfg, err
	}
	o := train.Options{Cache: t.cache, GPUMemory: t.gpuMemory}
	t.plan, err = t.plan.FindBatch(t.cli.Context, o, t.devices, t.workers(), func(batch int, fits bool) {
		fmt.Fprintf(t.cli.App.ErrWriter, "--batch auto: %d %s\n", batch, map[bool]string{true: "fits", false: "does not fit"}[fits])
	})
	if err != nil {
		return cfg, err
	}
	if t.run == nil {
		if err := t.plan.Adopt(t.cache.Manifest().Bands.Channels()); err != nil {
			return cfg, err
		}
	}
	cfg, err = t.plan.Resolve(t.cache, t.devices, t.workers())
	if err == nil && t.run == nil { // otherwise Run names what would change
		err = cfg.Validate()
	}
	return cfg, err
}

// train trains the run and prints what came of it.
func (t *trainCall) train(cfg train.Config) (err error) {
	ctx := t.cli.Context
	if limit := time.Duration(t.limit); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	progress := newTrainProgress(newBar(t.cli, t.asked.command, "step"))
	progress.table.pretrain = cfg.Pretrain.IsSet()
	endLive, err := t.startLive(progress.print)
	if err != nil {
		return progress.close(err)
	}
	defer func() { err = errors.Join(err, endLive()) }()
	if p := cfg.Model.Precision; p.Emulated(session.IsGPU(t.devices[0])) {
		progress.print("%s is emulated on this CPU (%s): every value is rounded and computed with in float32, which is no faster than --precision float32 and less exact (docs/machines.md)", p, kernels.InUse())
	}
	options := train.Options{
		Dir: t.out, Config: cfg, Cache: t.cache, Cluster: t.cluster, GPUMemory: t.gpuMemory, Version: galaxyVersion, Command: os.Args, Resume: t.resume, Heartbeat: t.heartbeat,
		Observers: []train.Observer{progress}, Started: func(step int64) { progress.started(step, cfg.Schedule.Total) },
		Notice: func(text string) { progress.print("%s", text) },
	}
	if t.run != nil {
		t.noticeEnvironment(cfg, options.Notice)
	}
	if cfg.Budget.Seconds > 0 && t.run == nil {
		progress.print("--budget %v: measuring how long a step takes", t.plan.Budget)
		cfg, err = train.FitBudget(ctx, options, t.began, func(total int64) (train.Config, error) { return t.plan.OfSteps(t.cache, t.devices, total) })
		if err != nil {
			return progress.close(err)
		}
		options.Config = cfg
		progress.print("%d steps, which end after about %v (%v)", cfg.Schedule.Total, time.Duration(cfg.Budget.Costs.Of(cfg))*time.Second, cfg.Budget.Costs)
	}
	progress.print("%s", describe(cfg, t.cluster, t.devices, t.cache))
	summary, err := train.Run(ctx, options)
	progress.breakdown()
	if err := progress.close(err); err != nil {
		return err
	}
	t.writeReport()
	return t.report(cfg, summary)
}

// writeReport writes the run's report into its folder. A failure is no reason to lose the run, so it is a warning.
func (t *trainCall) writeReport() {
	if !t.request.report || !t.chief() || t.plan.Config.Pretrain.IsSet() {
		return // without labels there is nothing to report on
	}
	config, err := t.session()
	if err == nil {
		o := reportOptions(config)
		o.Runs, o.Data = []string{t.out}, t.plan.Data
		_, _, err = writeReport(t.cli, filepath.Join(t.out, runreport.FileName), o)
	}
	if err != nil {
		fmt.Fprintf(t.cli.App.ErrWriter, "the run is complete, but its report was not written: %v; galaxy report writes it\n", err)
	}
}

// noticeEnvironment names the variables that ask for something else than the run started with.
func (t *trainCall) noticeEnvironment(cfg train.Config, notice func(string)) {
	for i := range settings {
		s := &settings[i]
		v, ok := t.asked.layers[inEnvironment][s.name]
		if !ok || s.mayChange() {
			continue
		}
		other := *t.request
		if parse(s.field(&other), v.text) != nil {
			continue
		}
		if changed, err := other.plan.Resolve(t.cache, t.devices, t.workers()); err == nil && len(train.Changes(cfg, changed)) > 0 {
			notice(fmt.Sprintf("the environment's %s=%s is not used: a resumed run goes on as it started", v.where, v.text))
		}
	}
}

func (t *trainCall) report(cfg train.Config, summary train.Summary) error {
	result := struct {
		Run string `json:"run"`
		train.Summary
		Budget train.Budget `json:"budget,omitzero"`
	}{t.out, summary, cfg.Budget}
	return report(t.cli, result, func(w io.Writer) {
		if !t.chief() {
			fmt.Fprintf(w, "trained %s as worker %d; the chief, worker 0, has the run\n", usage.Count(int(summary.Step), "step"), t.worker.Index)
			return
		}
		if summary.Early {
			fmt.Fprintf(w, "stopped early: %d evaluations without a better validation RMSE (--patience)\n", cfg.Patience)
		}
		if cfg.Pretrain.IsSet() {
			fmt.Fprintf(w, "pretrained %s; best validation loss %.4f after step %d\nnext: galaxy train --init-from %s --data CACHE, with labels, or galaxy embed --model %s\n",
				usage.Count(int(summary.Step), "step"), summary.Best.Loss, summary.Best.Step, shellescape.Quote(t.out), shellescape.Quote(t.out))
			return
		}
		split := data.Test
		if len(t.cache.Labelled(split, cfg.Target())) == 0 {
			split = data.Validation
		}
		fmt.Fprintf(w, "trained %s; best validation RMSE %.4f after step %d\nnext: galaxy eval --model %s --data %s --split %v\n",
			usage.Count(int(summary.Step), "step"), summary.Best.RMSE, summary.Best.Step, shellescape.Quote(t.out), shellescape.Quote(t.plan.Data), split)
		if name := filepath.Join(t.out, runreport.FileName); t.request.report && exists(name) {
			fmt.Fprintf(w, "report: %s\n", name)
		}
	})
}

// describe says in a few lines what is about to be trained.
func describe(cfg train.Config, cluster *session.Cluster, devices []string, cache *data.Cache) string {
	more := ""
	if cfg.Model.Align {
		more += ", aligned"
	}
	if cfg.Model.Padding == network.Symmetric {
		more += ", symmetric padding"
	}
	if n := cfg.Normalise; n != "" && n != network.NormaliseByCache {
		more += fmt.Sprintf(", normalised by %s", n)
	}
	if len(cfg.Sizes) > 0 {
		more += fmt.Sprintf(", %v", cfg.Sizes)
	}
	if cfg.EMA > 0 {
		more += fmt.Sprintf(", averaged by %v", cfg.EMA)
	}
	if cfg.Freeze != network.FreezeNone {
		more += ", " + cfg.Freeze.About()
	}
	if cfg.HoldFeatures {
		more += ", features held"
	}
	if d := cfg.Optimizer.LayerDecay; d > 0 && d < 1 {
		more += fmt.Sprintf(", layer decay %v", d)
	}
	shared := ""
	if w, n, m := cluster.Workers(), len(devices), max(1, cfg.Accumulate); w*n*m > 1 {
		if w > 1 {
			shared = usage.Count(w, "worker") + " × "
		}
		shared += usage.Count(n, "device") + " × "
		if m > 1 {
			shared += usage.Count(m, "micro-batch") + " × "
		}
		shared = fmt.Sprintf(" (%s%d)", shared, cfg.Batch/(w*n*m))
	}
	where := strings.ReplaceAll(strings.Join(devices, ", "), "/device:", "")
	if auto := cfg.Devices == session.AutoDevices || cfg.Devices == ""; auto && !session.IsGPU(devices[0]) {
		where += " (there is no GPU)"
	}
	examples := func(s data.Split) int { return len(cache.Labelled(s, cfg.Target())) }
	var learning any = cfg.Objective
	if cfg.Pretrain.IsSet() {
		learning = fmt.Sprintf("no labels, %v, projector of %d × %d", cfg.Pretrain, cfg.Model.Projector.Layers, cfg.Model.Projector.Width)
	}
	return fmt.Sprintf("%s, %d px, %s; %v; %d train and %d validation galaxies; %s of %d%s%s; %s, %s rate %.3g; augmentation: %v; on %s",
		cfg.Model.Arch, cfg.Model.Size, cfg.Model.Precision, learning, examples(data.Train), examples(data.Validation), usage.Count(int(cfg.Schedule.Total), "step"), cfg.Batch, shared, more,
		cfg.Optimizer.Kind, cfg.Schedule.Kind, cfg.Schedule.Rate, cfg.Augment, where)
}
