package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"galaxy/train"
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
	EmbeddingStd     Number    `json:"embedding_std"`  // of a run without labels
	EmbeddingRank    Number    `json:"embedding_rank"` // of a run without labels
	Best             bool      `json:"best"`
	Time             time.Time `json:"time"`
}

// maxLine is the largest length in bytes of a line of a metrics file that is read.
const maxLine = 1 << 20

// EachLine calls use with every complete line of a file of JSON lines, the end of the line included. A last line
// without its end is skipped: a run is writing it. An error names the line, from 1; a line of more than 1 MiB is an
// error.
func EachLine(from io.Reader, use func(line []byte) error) error {
	room := maxLine
	if sized, ok := from.(interface{ Size() int64 }); ok { // a few new lines do not need it all
		room = int(min(maxLine, sized.Size()+1))
	}
	lines := bufio.NewReaderSize(from, room)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = use(line)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// readLines is EachLine of a file in the run folder.
func (r *Run) readLines(name string, use func(line []byte) error) error {
	f, err := os.Open(filepath.Join(r.Dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := EachLine(f, use); err != nil {
		return fmt.Errorf("read %s: %w; it was edited, or its disk has damaged it", name, err)
	}
	return nil
}

// AddLine adds a line of metrics.jsonl to Steps or Evaluations. Lines of a kind that this version does not know, and
// fields, are skipped. A line that is no JSON is an error.
func (r *Run) AddLine(line []byte) error {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return err
	}
	nan := Number(math.NaN())
	switch kind.Kind {
	case "step":
		s := Step{Loss: nan, GradientNorm: nan, LearningRate: nan, Speed: nan, Seconds: nan, DataWait: nan, CopyWait: nan, Compute: nan, AllReduce: nan, Update: nan}
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		r.Steps = append(r.Steps, s)
	case "evaluation":
		v := Validation{TrainLoss: nan, Loss: nan, RMSE: nan, ArgmaxAccuracy: nan, QuestionAccuracy: nan, ClassAccuracy: nan, EmbeddingStd: nan, EmbeddingRank: nan}
		if err := json.Unmarshal(line, &v); err != nil {
			return err
		}
		r.Evaluations = append(r.Evaluations, v)
	}
	return nil
}

// ReadHistory reads history.jsonl of the run folder into History. Damaged lines, such as one that a power cut has torn,
// are skipped, and are an error.
func (r *Run) ReadHistory() error {
	r.History = nil
	damaged := 0
	err := r.readLines(train.HistoryName, func(line []byte) error {
		var e train.HistoryEntry
		if json.Unmarshal(line, &e) != nil {
			damaged++
		} else if e.Kind == train.Started || e.Kind == train.RolledBack {
			r.History = append(r.History, e)
		}
		return nil
	})
	if err == nil && damaged > 0 {
		err = fmt.Errorf("damaged lines of %s: %d", train.HistoryName, damaged)
	}
	return err
}
