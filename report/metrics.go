package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// MetricsName is the name of the metrics file in a run folder (docs/run-folder.md).
const MetricsName = "metrics.jsonl"

// Number is a number of a metrics line: NaN for null and for a field that the line does not have.
type Number float64

// UnmarshalJSON reads a number or null.
func (n *Number) UnmarshalJSON(text []byte) error {
	f := math.NaN()
	if string(text) != "null" {
		if err := json.Unmarshal(text, &f); err != nil {
			return err
		}
	}
	*n = Number(f)
	return nil
}

// or returns n, or other if n is NaN.
func (n Number) or(other float64) float64 {
	if math.IsNaN(float64(n)) {
		return other
	}
	return float64(n)
}

// Step is a line of the metrics about one step; see docs/run-folder.md.
type Step struct {
	Step         int64     `json:"step"`
	Epoch        int       `json:"epoch"`
	Loss         Number    `json:"loss"`
	GradientNorm Number    `json:"gradient_norm"`
	LearningRate Number    `json:"learning_rate"`
	Speed        Number    `json:"images_per_second"`
	Seconds      Number    `json:"step_seconds"`
	DataWait     Number    `json:"data_wait_seconds"`
	CopyWait     Number    `json:"copy_wait_seconds"`
	Compute      Number    `json:"compute_seconds"`
	AllReduce    Number    `json:"all_reduce_seconds"`
	Update       Number    `json:"update_seconds"`
	Time         time.Time `json:"time"`
}

// Validation is a line of the metrics about an evaluation of the validation split.
type Validation struct {
	Step             int64     `json:"step"`
	Epoch            int       `json:"epoch"`
	TrainLoss        Number    `json:"train_loss"`
	Loss             Number    `json:"validation_loss"`
	RMSE             Number    `json:"validation_rmse"`
	ArgmaxAccuracy   Number    `json:"validation_accuracy_argmax37"`
	QuestionAccuracy Number    `json:"validation_question_accuracy"`
	ClassAccuracy    Number    `json:"validation_five_class_accuracy"`
	Best             bool      `json:"best"`
	Time             time.Time `json:"time"`
}

// MaxLine is the largest length in bytes of a line of a metrics file that is read.
const MaxLine = 1 << 20

// ReadMetrics reads a metrics file. The run may be training: a last line without its end is skipped. Kinds of lines
// and fields that this version does not know are skipped too. Any other line that is no JSON is an error that names
// it; the lines before it are returned.
func ReadMetrics(path string) (steps []Step, evaluations []Validation, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read metrics: %w", err)
	}
	defer f.Close()
	steps, evaluations, err = readMetrics(f)
	if err != nil {
		err = fmt.Errorf("read metrics %s: %w", path, err)
	}
	return steps, evaluations, err
}

func readMetrics(from io.Reader) (steps []Step, evaluations []Validation, err error) {
	lines := bufio.NewReaderSize(from, MaxLine)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return steps, evaluations, nil
		}
		if err != nil {
			return steps, evaluations, fmt.Errorf("line %d: %w", n, err)
		}
		step, evaluation, err := ParseLine(line)
		switch {
		case err != nil:
			return steps, evaluations, fmt.Errorf("line %d: %w; it was edited, or its disk has damaged it", n, err)
		case step != nil:
			steps = append(steps, *step)
		case evaluation != nil:
			evaluations = append(evaluations, *evaluation)
		}
	}
}

// ParseLine reads a line of a metrics file: a step, an evaluation, or neither if it is of a kind that this version does
// not know.
func ParseLine(line []byte) (*Step, *Validation, error) {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return nil, nil, err
	}
	nan := Number(math.NaN())
	switch kind.Kind {
	case "step":
		s := &Step{Loss: nan, GradientNorm: nan, LearningRate: nan, Speed: nan, Seconds: nan, DataWait: nan, CopyWait: nan, Compute: nan, AllReduce: nan, Update: nan}
		return s, nil, json.Unmarshal(line, s)
	case "evaluation":
		v := &Validation{TrainLoss: nan, Loss: nan, RMSE: nan, ArgmaxAccuracy: nan, QuestionAccuracy: nan, ClassAccuracy: nan}
		return nil, v, json.Unmarshal(line, v)
	}
	return nil, nil, nil
}
