package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"

	"galaxy/data/filetype"
	"galaxy/explain"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/predict"
	"galaxy/train/acquisition"
)

// A want is a galaxy to ask about.
type want struct {
	row       int
	key       string
	score     float64
	questions []acquisition.Question
	most      int // the question that contributes most
}

// wanted chooses the galaxies and writes them.
type wanted struct {
	informing
	c        *cli.Context
	model    opened
	in       tableInput
	excepted int
	features *explain.Model // nil to choose by the score alone

	wants []want  // by rank
	mean  float64 // score of all
	drawn int     // images of the manifest
	large int     // of these, above subjectBytes
}

// candidatesPer is how many galaxies are candidates for each that is chosen, those with the largest scores: a galaxy below them would need several
// times the distance, and features of more would take longer.
const candidatesPer = 5

// write writes the galaxies to ask about; a predict.Config's Write.
func (w *wanted) write(out string, rows predict.Rows) error {
	if err := w.choose(rows); err != nil {
		return err
	}
	if err := os.WriteFile(out, w.table(), 0o666); err != nil {
		return err
	}
	dir := w.c.String("manifest")
	if dir == "" {
		return nil
	}
	if err := durable.Folder(dir, w.writeManifest); err != nil {
		return fmt.Errorf("write manifest %s: %w", dir, err)
	}
	return nil
}

func (w *wanted) choose(rows predict.Rows) error {
	var all []want
	err := rows(func(row int, values []float32, broken bool) error {
		if !broken {
			all = append(all, want{row: row, score: w.total(w.scorer.Read(values))})
			w.mean += all[len(all)-1].score
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.mean /= float64(len(all))
	count := min(w.c.Int("count"), len(all))
	slices.SortStableFunc(all, func(a, b want) int { return cmp.Compare(b.score, a.score) })
	all = all[:min(len(all), candidatesPer*count)]
	features, err := w.look(all)
	if err != nil {
		return err
	}
	var scores []float64
	for _, one := range all {
		scores = append(scores, one.score)
	}
	order, err := acquisition.Choose(scores, features, count)
	if err != nil {
		return err
	}
	rank := map[int]int{} // by row
	for k, i := range order {
		rank[all[i].row] = k
		w.wants = append(w.wants, all[i])
	}
	return rows(func(row int, values []float32, _ bool) error {
		if k, ok := rank[row]; ok {
			one := &w.wants[k]
			one.key, one.questions = w.in.source.Key(row), w.scorer.Read(values)
			for i, q := range one.questions {
				if w.score(q) > w.score(one.questions[one.most]) {
					one.most = i
				}
			}
		}
		return nil
	})
}

// look returns the features of candidates.
func (w *wanted) look(all []want) (features []float32, err error) {
	if w.features == nil {
		return nil, nil
	}
	var file []byte
	bytes := w.model.shape.Bytes()
	for some := range slices.Chunk(all, w.c.Int("batch")) {
		if err := w.c.Err(); err != nil {
			return nil, err
		}
		pixels := make([]byte, len(some)*bytes)
		for i, one := range some {
			if file, err = w.in.source.Decode(pixels[i*bytes:][:bytes], one.row, file); err != nil {
				return nil, fmt.Errorf("%s: %w", w.in.source.Key(one.row), err)
			}
		}
		part, err := w.features.Features(pixels)
		if err != nil {
			return nil, err
		}
		features = append(features, part...)
	}
	return features, nil
}

// table returns the CSV of the galaxies to ask about.
func (w *wanted) table() []byte {
	header := []string{w.in.source.Keys().Name, "rank", "score", "question", "question_score", "reached", "answer", "mean", "least", "most", "answers"}
	if w.spread != nil {
		header = append(header, "score_of_views", "score_of_concentrations")
	}
	rows := [][]string{header}
	for k, one := range w.wants {
		q := one.questions[one.most]
		j := byRange(q)[0]
		fields := []string{
			one.key, strconv.Itoa(k + 1), digits(one.score), w.question(one.most), digits(w.score(q)), digits(q.Reached),
			w.schema.Questions()[one.most].Answers[j].Name, digits(q.Mean[j]), digits(q.Least[j]), digits(q.Most[j]), w.answers(one),
		}
		if w.spread != nil {
			views, concentrations := 0.0, 0.0
			for _, q := range one.questions {
				views, concentrations = views+q.Draws, concentrations+q.Fractions
			}
			fields = append(fields, digits(views), digits(concentrations))
		}
		rows = append(rows, fields)
	}
	return asCSV(rows)
}

func asCSV(rows [][]string) []byte {
	var out bytes.Buffer
	_ = csv.NewWriter(&out).WriteAll(rows) // a buffer takes all
	return out.Bytes()
}

func digits(x float64) string { return strconv.FormatFloat(x, 'g', 5, 64) }

func (w *wanted) question(i int) string { return w.schema.Questions()[i].Text }

// byRange returns the answers to a question, those first about which the draws disagree most, then the
// likeliest, then as in the schema.
func byRange(q acquisition.Question) []int {
	order := make([]int, len(q.Mean))
	for j := range order {
		order[j] = j
	}
	// Both answers of a question of two have the same range, up to the last bits, which must not decide.
	rounded := func(x float64) float64 { return math.Round(1000 * x) }
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(rounded(q.Most[b]-q.Least[b]), rounded(q.Most[a]-q.Least[a])), cmp.Compare(rounded(q.Mean[b]), rounded(q.Mean[a])))
	})
	return order
}

// answers describes the answers to the question that contributes most: "disk 62 % (41 to 83), smooth 35 % (14 to 57)".
func (w *wanted) answers(one want) string {
	q, percent := one.questions[one.most], func(x float64) string { return strconv.FormatFloat(100*x, 'f', 0, 64) }
	var texts []string
	for _, j := range byRange(q) {
		text := fmt.Sprintf("%s %s %%", w.schema.Questions()[one.most].Answers[j].Text, percent(q.Mean[j]))
		if least, most := percent(q.Least[j]), percent(q.Most[j]); least != most {
			text += fmt.Sprintf(" (%s to %s)", least, most)
		} else if most == "0" {
			continue
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// manifestName is the file that uploaders of subjects are given; it names the images beside it.
const manifestName = "manifest.csv"

// writeManifest writes the images of the galaxies to ask about and a manifest of subjects into a folder. The Zooniverse
// shows no volunteer a column that starts with #, and one with ! only after the answer: what the network thinks would
// sway the answers. #priority is the order for projects with sequential classification.
//
// The command-line uploader takes every cell for an image that, as a path from the manifest's folder, exists. An empty cell is the folder
// itself. So no cell is empty, and no image has the name of another cell.
func (w *wanted) writeManifest(dir string) error {
	key := "!" + w.in.source.Keys().Name
	rows := [][]string{{"filename", key, "#priority", "#score", "#question", "#answers"}}
	var file []byte
	for k, one := range w.wants {
		if err := w.c.Err(); err != nil {
			return err
		}
		image, ending, buf, err := w.image(one.row, file)
		if err != nil {
			return fmt.Errorf("%s: %w", one.key, err)
		}
		file = buf
		name := fmt.Sprintf("%04d-%s%s", k+1, fileName(one.key, w.c.Bool("paths")), ending)
		if err := os.WriteFile(filepath.Join(dir, name), image, 0o666); err != nil {
			return err
		}
		if len(image) > subjectBytes {
			w.large++
		}
		rows = append(rows, []string{name, one.key, strconv.Itoa(k + 1), digits(one.score), w.question(one.most), cmp.Or(w.answers(one), "none")})
	}
	return os.WriteFile(filepath.Join(dir, manifestName), asCSV(rows), 0o666)
}

// subjectBytes is the largest image that the Zooniverse's command-line uploader takes.
const subjectBytes = 1 << 20

// fileName returns an id, or the last part of a path without its ending, as part of a file's name.
func fileName(key string, isPath bool) string {
	if isPath {
		key = path.Base(strings.TrimSuffix(key, path.Ext(key)))
	}
	key = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, key)
	for len(key) > 100 { // bytes, of the 255 that file systems allow
		key = key[:len(key)-1]
	}
	return strings.ToValidUTF8(key, "")
}

// image returns the image of a row as it is shown to volunteers: the file itself if it is a JPEG or PNG, otherwise a PNG of the pixels that the
// network sees. It returns a buffer for the next call too.
func (w *wanted) image(row int, buf []byte) (image []byte, ending string, _ []byte, err error) {
	if files, ok := w.in.source.(predict.Files); ok && files.Images.Stretch.IsZero() {
		if buf, err = files.Images.Read(files.Order[row], buf); err != nil {
			return nil, "", buf, err
		}
		switch filetype.Of(buf) {
		case filetype.JPEG:
			return buf, ".jpg", buf, nil
		case filetype.PNG:
			return buf, ".png", buf, nil
		}
	}
	w.drawn++
	pixels := make([]byte, w.model.shape.Bytes())
	if buf, err = w.in.source.Decode(pixels, row, buf); err != nil {
		return nil, "", buf, err
	}
	var drawn bytes.Buffer
	err = png.Encode(&drawn, w.model.shape.Picture(pixels))
	return drawn.Bytes(), ".png", buf, err
}

// result describes what was done.
func (w *wanted) result(done tabled) asking {
	r := asking{
		tabled: done, By: w.by, Diverse: w.features != nil, Asked: len(w.wants), Excepted: w.excepted, MeanScoreOfAll: w.mean,
		Questions: []askedAbout{}, Manifest: w.c.String("manifest"), Drawn: w.drawn, Large: w.large,
	}
	galaxies := make([]int, len(w.schema.Questions()))
	for _, one := range w.wants {
		r.MeanScore += one.score / float64(len(w.wants))
		galaxies[one.most]++
	}
	for i, n := range galaxies {
		if n > 0 {
			r.Questions = append(r.Questions, askedAbout{w.question(i), n})
		}
	}
	slices.SortStableFunc(r.Questions, func(a, b askedAbout) int { return cmp.Compare(b.Galaxies, a.Galaxies) })
	return r
}

// asksShown is how many galaxies are shown on the terminal.
const asksShown = 10

func (w *wanted) print(to io.Writer, r asking) {
	fmt.Fprintf(to, "%d of %s to ask about in %s (%.0f img/s)\n", r.Asked, usage.Count(r.Rows, "galaxy"), r.Out, r.ImagesPerSecond)
	if r.Excepted > 0 {
		fmt.Fprintf(to, "left out: %s of --except\n", usage.Count(r.Excepted, "galaxy"))
	} else if w.c.IsSet("except") {
		fmt.Fprintln(to, "left out: none, since no id in the tables of --except is among these galaxies; --id-column names another column")
	}
	printRest(to, r.tabled, "left out")
	fmt.Fprintf(to, "mean score %s nats, of all galaxies %s\n\n", digits(r.MeanScore), digits(r.MeanScoreOfAll))
	fmt.Fprintf(to, "%4s  %-20s %-9s %s\n", "rank", w.in.source.Keys().Name, "score", "question that contributes most")
	for k, one := range w.wants[:min(len(w.wants), asksShown)] {
		fmt.Fprintf(to, "%4d  %-20s %-9s %s %s\n", k+1, one.key, digits(one.score), w.question(one.most), w.answers(one))
	}
	fmt.Fprintln(to, "\ngalaxies by the question that contributes most:")
	for _, q := range r.Questions {
		fmt.Fprintf(to, "%4d  %s\n", q.Galaxies, q.Question)
	}
	if r.Manifest == "" {
		return
	}
	fmt.Fprintf(to, "\n%s with the images beside it\n", filepath.Join(r.Manifest, manifestName))
	if r.Drawn > 0 {
		fmt.Fprintf(to, "%s drawn from the %d px that the network sees: volunteers see more in JPEG or PNG files of --images\n", usage.Count(r.Drawn, "image"), w.model.shape.Size)
	}
	if r.Large > 0 {
		fmt.Fprintf(to, "%s above the 1 MiB that the uploader takes: make them smaller first\n", usage.Count(r.Large, "image"))
	}
}
