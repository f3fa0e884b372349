package train

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"galaxy/train/events"
	"galaxy/train/metric"
	"galaxy/train/objective"
)

// field is one named number of a metrics line.
type field struct {
	name  string
	value any
}

// stepFields and evaluationFields return the content of the metrics files. The
// names are part of the format: see docs/run-folder.md.
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
	if e := r.Embedding; e != nil {
		return []field{
			{"kind", "evaluation"}, {"step", r.Step}, {"epoch", r.Epoch},
			{"train_loss", defined(metric.Value(r.TrainLoss))}, {"validation_loss", e.Loss},
			{"validation_invariance", e.Invariance}, {"validation_variance", e.Variance}, {"validation_covariance", e.Covariance},
			{"embedding_std", e.Std}, {"embedding_rank", e.Rank},
			{"best", r.Best},
			{"time", r.Time.UTC().Format(time.RFC3339Nano)},
		}
	}
	classes := metric.Value(math.NaN())
	if f := r.Scores.CleanClasses; f != nil {
		classes = f.Accuracy
	}
	return []field{
		{"kind", "evaluation"}, {"step", r.Step}, {"epoch", r.Epoch},
		{"train_loss", defined(metric.Value(r.TrainLoss))}, {"validation_loss", defined(r.Scores.Loss)},
		{"validation_rmse", r.Scores.RMSE},
		{"validation_accuracy_argmax37", defined(r.Scores.AccuracyArgmax)},
		{"validation_question_accuracy", defined(r.Scores.QuestionAccuracy)},
		{"validation_five_class_accuracy", defined(classes)},
		{"best", r.Best},
		{"time", r.Time.UTC().Format(time.RFC3339Nano)},
	}
}

// defined returns a metric's number, or nil if it is undefined: null in JSON, an
// empty cell in CSV, no point in TensorBoard.
func defined(v metric.Value) any {
	if v.IsZero() {
		return nil
	}
	return float64(v)
}

// metricsFiles returns the metrics files of every run in three formats, with a line every
// that many steps and a line per evaluation. Add another format of the same metrics here; any
// other file is an Observer of Options.Observers. Runs without labels have other columns.
func metricsFiles(every int64, pretrain bool) []FileObserver {
	var evaluation EvaluationResult
	if pretrain {
		evaluation.Embedding = &objective.EmbeddingScores{}
	}
	columns := csvColumns(evaluation)
	return []FileObserver{
		&textMetrics{TextFile: &TextFile{Name: "metrics.jsonl"}, every: every, line: jsonLine},
		&textMetrics{TextFile: &TextFile{Name: "metrics.csv", Header: csvRow(columns)}, every: every, line: csvLine(columns)},
		&boardMetrics{every: every},
	}
}

// textMetrics writes the metrics as lines of text.
type textMetrics struct {
	*TextFile
	every int64
	line  func(fields []field) ([]byte, error)
}

// OnStep writes the line of a step.
func (t *textMetrics) OnStep(r StepResult) error {
	if !due(r.Step, t.every, r.Total) {
		return nil
	}
	return t.write(stepFields(r))
}

// OnEvaluation writes the line of an evaluation.
func (t *textMetrics) OnEvaluation(r EvaluationResult) error { return t.write(evaluationFields(r)) }

func (t *textMetrics) write(fields []field) error {
	line, err := t.line(fields)
	if err != nil {
		return fmt.Errorf("write metrics %s: %w", t.Name, err)
	}
	_, err = t.Write(line)
	return err
}

// jsonLine returns one object with the fields in order.
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

// csvColumns returns the columns of both kinds of lines; in a line the other kind's are empty. evaluation is of
// the kind that the run has.
func csvColumns(evaluation EvaluationResult) []string {
	var names []string
	seen := map[string]bool{}
	for _, f := range append(stepFields(StepResult{}), evaluationFields(evaluation)...) {
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
		return []byte(csvRow(row)), nil
	}
}

func csvRow(row []string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(row) // writing to a Builder never fails
	w.Flush()
	return b.String()
}

// eventsName ends in the program's name, where TensorFlow puts the host's name: a
// resumed run continues the same file on any host.
const eventsName = "events.out.tfevents.0.galaxy"

// boardMetrics writes the metrics for TensorBoard.
type boardMetrics struct {
	*events.Writer
	every int64
}

// FileName returns a name that TensorBoard recognizes as an event file.
func (*boardMetrics) FileName() string { return eventsName }

// Open implements FileObserver.
func (b *boardMetrics) Open(path string, size int64) (err error) {
	b.Writer, err = events.OpenAppend(path, size)
	return err
}

// Size returns the number of bytes in the file.
func (b *boardMetrics) Size() (int64, error) { return b.Writer.Size(), nil }

// OnStep adds a point to the curves of the steps.
func (b *boardMetrics) OnStep(r StepResult) error {
	if !due(r.Step, b.every, r.Total) {
		return nil
	}
	return b.write(r.Step, r.Time, "train/", stepFields(r))
}

// OnEvaluation adds a point to the curves of the evaluations.
func (b *boardMetrics) OnEvaluation(r EvaluationResult) error {
	return b.write(r.Step, r.Time, "evaluation/", evaluationFields(r))
}

// write adds a point to a curve for every fractional number.
func (b *boardMetrics) write(step int64, wall time.Time, prefix string, fields []field) error {
	var scalars []events.Scalar
	for _, f := range fields {
		if x, ok := f.value.(float64); ok {
			scalars = append(scalars, events.Scalar{Tag: prefix + f.name, Value: x})
		}
	}
	return b.Scalars(step, wall, scalars...)
}
