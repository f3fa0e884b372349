package train

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"galaxy/internal/durable"
	"galaxy/train/checkpoint"
	"galaxy/train/events"
	"galaxy/train/metric"
)

// field is one named number of a metrics line.
type field struct {
	name  string
	value any
}

// stepFields and evaluationFields are what the metrics files say. The names are
// part of the format: see docs/run-folder.md.
func stepFields(r StepResult) []field {
	var loss, norm, scale any = r.Loss, r.GradientNorm, nil
	if r.Skipped {
		norm = nil
		if !isFinite(r.Loss) {
			loss = nil
		}
	}
	if r.LossScale > 0 {
		scale = r.LossScale
	}
	return []field{
		{"kind", "step"}, {"step", r.Step}, {"epoch", r.Epoch},
		{"loss", loss}, {"gradient_norm", norm}, {"loss_scale", scale}, {"learning_rate", r.LearningRate},
		{"images_per_second", float64(r.Examples) / r.Times.Elapsed.Seconds()},
		{"step_seconds", r.Times.Elapsed.Seconds()},
		{"data_wait_seconds", r.Times.DataWait.Seconds()}, {"copy_wait_seconds", r.Times.CopyWait.Seconds()},
		{"compute_seconds", r.Times.Compute.Seconds()}, {"all_reduce_seconds", r.Times.AllReduce.Seconds()}, {"update_seconds", r.Times.Update.Seconds()},
		{"time", r.Time.UTC().Format(time.RFC3339Nano)},
	}
}

func evaluationFields(r EvaluationResult) []field {
	five := metric.Value(math.NaN())
	if f := r.Scores.FiveClass; f != nil {
		five = f.Accuracy
	}
	return []field{
		{"kind", "evaluation"}, {"step", r.Step}, {"epoch", r.Epoch},
		{"train_loss", defined(metric.Value(r.TrainLoss))}, {"validation_loss", defined(r.Scores.Loss)},
		{"validation_rmse", r.Scores.RMSE},
		{"validation_accuracy_argmax37", defined(r.Scores.AccuracyArgmax37)},
		{"validation_question_accuracy", defined(r.Scores.QuestionAccuracy)},
		{"validation_five_class_accuracy", defined(five)},
		{"best", r.Best},
		{"time", r.Time.UTC().Format(time.RFC3339Nano)},
	}
}

// defined is a figure's number, nil for one that is not defined: null in JSON, an
// empty cell in CSV, no point in TensorBoard.
func defined(v metric.Value) any {
	if v.IsZero() {
		return nil
	}
	return float64(v)
}

// journal is a file that a run only appends to. A checkpoint notes its size; a
// resumed run cuts it back to there, so that no line is there twice.
type journal interface {
	Observer
	// name is the file's name in the run folder.
	name() string
	// size is the file's, in bytes.
	size() (int64, error)
	// sync waits until all lines are on the disk. It may be called beside all else.
	sync() error
	close() error
}

// openJournal opens RUN/name for appending behind the first size bytes, and
// creates it where size is 0.
func openJournal(dir, name string, size int64) (*os.File, error) {
	flags := os.O_RDWR
	if size == 0 {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(filepath.Join(dir, name), flags, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < size {
		err = fmt.Errorf("%s has %d bytes, but had %d at the checkpoint: it was cut or replaced since; "+
			"put it back, or remove it to begin it anew", f.Name(), info.Size(), size)
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(size, 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lines is a journal of text lines, each written as soon as it is known so
// that others can follow the file.
type lines struct {
	file   *os.File
	format func(fields []field) ([]byte, error)
	every  int64
}

func (l *lines) OnStep(r StepResult) error {
	if !due(r.Step, l.every, r.Total) {
		return nil
	}
	return l.write(stepFields(r))
}

func (l *lines) OnEvaluation(r EvaluationResult) error { return l.write(evaluationFields(r)) }

func (l *lines) write(fields []field) error {
	line, err := l.format(fields)
	if err == nil {
		_, err = l.file.Write(line)
	}
	if err != nil {
		return fmt.Errorf("write metrics %s: %w", l.file.Name(), err)
	}
	return nil
}

func (l *lines) name() string { return filepath.Base(l.file.Name()) }

func (l *lines) size() (int64, error) { return l.file.Seek(0, io.SeekCurrent) }

func (l *lines) sync() error {
	if err := durable.SyncFile(l.file); err != nil {
		return fmt.Errorf("write metrics %s: %w", l.file.Name(), err)
	}
	return nil
}

func (l *lines) close() error { return l.file.Close() }

// jsonLine is one object in the order of the fields.
func jsonLine(fields []field) ([]byte, error) {
	var b bytes.Buffer
	for i, f := range fields {
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		name, err1 := json.Marshal(f.name)
		value, err2 := json.Marshal(f.value)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// csvColumns are those of both kinds of lines; a line leaves the others empty.
func csvColumns() []string {
	var names []string
	seen := map[string]bool{}
	for _, f := range append(stepFields(StepResult{}), evaluationFields(EvaluationResult{})...) {
		if !seen[f.name] {
			seen[f.name] = true
			names = append(names, f.name)
		}
	}
	return names
}

func csvLine(columns []string) func(fields []field) ([]byte, error) {
	return func(fields []field) ([]byte, error) {
		row := make([]string, len(columns))
		for i, c := range columns {
			for _, f := range fields {
				if f.name == c && f.value != nil {
					row[i] = fmt.Sprint(f.value)
				}
			}
		}
		return csvRow(row)
	}
}

func csvRow(row []string) ([]byte, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	err := w.Write(row)
	w.Flush()
	return []byte(b.String()), errors.Join(err, w.Error())
}

// eventsName ends in the program's name where TensorFlow puts the host's: a
// resumed run goes on in the same file, on whatever host.
const eventsName = "events.out.tfevents.0.galaxy"

// board is the journal that TensorBoard reads.
type board struct {
	writer *events.Writer
	every  int64
}

func (b *board) OnStep(r StepResult) error {
	if !due(r.Step, b.every, r.Total) {
		return nil
	}
	return b.write(r.Step, r.Time, "train/", stepFields(r))
}

func (b *board) OnEvaluation(r EvaluationResult) error {
	return b.write(r.Step, r.Time, "evaluation/", evaluationFields(r))
}

// write makes a curve of every fractional number.
func (b *board) write(step int64, wall time.Time, prefix string, fields []field) error {
	var scalars []events.Scalar
	for _, f := range fields {
		if x, ok := f.value.(float64); ok {
			scalars = append(scalars, events.Scalar{Tag: prefix + f.name, Value: x})
		}
	}
	if err := b.writer.Scalars(step, wall, scalars...); err != nil {
		return fmt.Errorf("write metrics for TensorBoard: %w", err)
	}
	return nil
}

func (b *board) name() string { return eventsName }

func (b *board) size() (int64, error) { return b.writer.Size(), nil }

func (b *board) sync() error {
	if err := b.writer.Sync(); err != nil {
		return fmt.Errorf("write metrics for TensorBoard: %w", err)
	}
	return nil
}

func (b *board) close() error { return b.writer.Close() }

// openJournals opens a run's metrics files behind what they were at a checkpoint, by
// file name; nil starts them empty. A file that is gone is begun anew, and notice is
// told of it, and of one that was changed.
func openJournals(dir string, every int64, files map[string]checkpoint.File, notice func(string)) (open []journal, err error) {
	defer func() {
		if err != nil {
			open, err = nil, errors.Join(fmt.Errorf("open metrics: %w", err), closeJournals(open))
		}
	}()
	sizes := map[string]int64{}
	for name, was := range files {
		sizes[name] = was.Size
		switch is, err := checkpoint.FileAt(filepath.Join(dir, name), was.Size); {
		case errors.Is(err, fs.ErrNotExist):
			notice(filepath.Join(dir, name) + " is gone: it is begun anew, without the lines of the steps before")
			sizes[name] = 0
		case err == nil && is != was:
			notice(filepath.Join(dir, name) + " was changed, or is damaged, before the step that the run goes on from: its lines are not those that the run has written")
		}
	}
	columns := csvColumns()
	header, err := csvRow(columns)
	if err != nil {
		return open, err
	}
	for _, text := range []struct {
		name   string
		header []byte
		format func([]field) ([]byte, error)
	}{{"metrics.jsonl", nil, jsonLine}, {"metrics.csv", header, csvLine(columns)}} {
		f, err := openJournal(dir, text.name, sizes[text.name])
		if err != nil {
			return open, err
		}
		open = append(open, &lines{file: f, format: text.format, every: every})
		if sizes[text.name] == 0 {
			if _, err := f.Write(text.header); err != nil {
				return open, err
			}
		}
	}
	w, err := events.OpenAppend(filepath.Join(dir, eventsName), sizes[eventsName])
	if err != nil {
		return open, err
	}
	open = append(open, &board{writer: w, every: every})
	return open, durable.Sync(dir) // which names them
}

func closeJournals(open []journal) error {
	var errs []error
	for _, j := range open {
		errs = append(errs, j.close())
	}
	return errors.Join(errs...)
}
