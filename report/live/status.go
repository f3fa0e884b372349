package live

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"galaxy/report"
)

// fact is a row of the run's state.
type fact struct{ Name, Value string }

var statusTemplate = template.Must(template.New("status").Parse(
	`{{with .Problem}}<p class="warning">{{.}}</p>{{end}}<p class="verdict">{{.Sentence}}</p>` +
		`<dl class="facts">{{range .Facts}}<dt>{{.Name}}</dt><dd>{{.Value}}</dd>{{end}}</dl>`))

// recent is the number of last lines from which the speed is measured.
const recent = 50

// status returns the state of the run in HTML, and in a few words for the title of a tab.
func (f *follower) status(now time.Time) (template.HTML, string) {
	r := &f.run
	view := struct {
		Problem, Sentence string
		Facts             []fact
	}{Problem: f.problem, Sentence: "The run has not started."}
	title := "waiting"
	if n := len(r.Steps); n > 0 {
		last, total := r.Steps[n-1], r.Config.Schedule.Total
		done := 1.0
		if total > 0 {
			done = min(1, float64(last.Step)/float64(total))
		}
		title = fmt.Sprintf("%.0f %%", math.Floor(100*done))
		per, gap := pace(r.Steps)
		left := time.Duration(per * float64(max(total-last.Step, 0)) * float64(time.Second)).Round(time.Second)
		ended := "."
		switch {
		case last.Step >= total || r.Early():
			title, ended = "done", ": the training has ended."
		case now.Sub(last.Time) > max(time.Minute, 10*gap):
			title += ", no news"
			ended = fmt.Sprintf(". No line was written since %s: the run was stopped, waits, or has slow steps.", clock(last.Time))
		default:
			view.Facts = append(view.Facts, fact{"left", "about " + left.String() + ", without evaluations"})
		}
		view.Sentence = fmt.Sprintf("Step %d of %d%s", last.Step, total, ended)
		view.Facts = append(view.Facts,
			fact{"epochs done", fmt.Sprint(last.Epoch)}, fact{"loss of the last batch", number(last.Loss)},
			fact{"learning rate", number(last.LearningRate)}, fact{"speed", number(last.Speed) + " images per second"}, fact{"last line", clock(last.Time)})
	}
	if n := len(r.Evaluations); n > 0 {
		last := r.Evaluations[n-1]
		view.Facts = append(view.Facts, fact{"last evaluation", score(last)})
		if best := r.BestEvaluation(); best != nil {
			view.Facts = append(view.Facts, fact{"best evaluation", score(*best)})
		}
	}
	if all := r.Resumes(); len(all) > 0 {
		last := all[len(all)-1]
		text := fmt.Sprintf("%d, the last after step %d and a pause of %v", len(all), last.Step, last.Pause.Round(time.Second))
		if s := last.Start; s != nil && s.Host != "" {
			text += ", on " + s.Host
		}
		view.Facts = append(view.Facts, fact{"resumes", text})
	}
	if r.State != nil {
		view.Facts = append(view.Facts, fact{"latest checkpoint", fmt.Sprintf("after step %d", r.State.Step)})
	}
	if f.config != nil {
		learning := fact{"head and loss", r.Config.Objective.String()}
		if r.Config.Pretrain.IsSet() {
			learning = fact{"loss, without labels", r.Config.Pretrain.String()}
		}
		view.Facts = append(view.Facts, fact{"network", r.Config.Model.Arch}, learning)
	}
	var b strings.Builder
	if err := statusTemplate.Execute(&b, view); err != nil { // strings cannot fail
		return template.HTML(template.HTMLEscapeString(err.Error())), title //nolint:gosec // escaped
	}
	return template.HTML(b.String()), title //nolint:gosec // by html/template
}

// score describes what decides on the best checkpoint: the RMSE, or the loss of a run without labels.
func score(v report.Validation) string {
	if !math.IsNaN(float64(v.EmbeddingStd)) {
		return fmt.Sprintf("loss %s after step %d, standard deviation of the embeddings %s, effective rank %s", number(v.Loss), v.Step, number(v.EmbeddingStd), number(v.EmbeddingRank))
	}
	return fmt.Sprintf("RMSE %s after step %d", number(v.RMSE), v.Step)
}

// pace returns the seconds per step of the last lines, evaluations included, and the time between two lines.
func pace(steps []report.Step) (perStep float64, gap time.Duration) {
	first, last := steps[max(0, len(steps)-recent)], steps[len(steps)-1]
	lines := min(len(steps), recent) - 1
	elapsed := last.Time.Sub(first.Time)
	if lines == 0 || last.Step <= first.Step || elapsed < 0 {
		s := float64(last.Seconds)
		if math.IsNaN(s) {
			s = 0
		}
		return s, 0
	}
	return elapsed.Seconds() / float64(last.Step-first.Step), elapsed / time.Duration(lines)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func number(n report.Number) string {
	if math.IsNaN(float64(n)) {
		return "–"
	}
	return fmt.Sprintf("%.4g", float64(n))
}
