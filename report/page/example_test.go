package page_test

import (
	"fmt"
	"html/template"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"galaxy/report/chart"
	"galaxy/report/page"
)

// examplePage has every kind of chart, a gallery and a table, with names that are hard to show.
func examplePage(t testing.TB) page.Page {
	t.Helper()
	const hostile = `<script>alert(1)</script>`
	r := rand.New(rand.NewPCG(1, 2))
	steps, losses := make([]float64, 5000), make([]float64, 5000)
	for i := range steps {
		steps[i], losses[i] = float64(i+1), 0.1+0.6*math.Exp(-float64(i)/900)+0.02*r.Float64()
	}
	losses[2000] = math.NaN()
	var epochs, scores, low, high, train []float64
	for i := range 20 {
		v := 0.1 + 0.08*math.Exp(-float64(i)/5)
		epochs, scores, train = append(epochs, float64(i+1)), append(scores, v+0.004*r.Float64()), append(train, v-0.006*float64(i)/20)
		low, high = append(low, scores[i]-0.004), append(high, scores[i]+0.004)
	}
	charts := []template.HTML{
		chart.Lines{Meta: chart.Meta{ID: "loss", Title: "Loss", Text: "The loss of each step falls from 0.7 to 0.1."},
			X: chart.Axis{Label: "step"}, Y: chart.Axis{Label: "focal loss", Log: true}, Series: []chart.Series{{Name: "train", X: steps, Y: losses}},
			Events: []chart.Event{{Kind: chart.Resume, X: 1200, Text: "resumed at step 1,200"}, {Kind: chart.Rollback, X: 2600, Text: "rolled back to step 2,400"}}}.HTML(),
		chart.Lines{Meta: chart.Meta{ID: "rmse", Title: "RMSE", Text: "The validation RMSE falls from 0.18 to 0.10."},
			X: chart.Axis{Label: "epoch"}, Y: chart.Axis{Label: "RMSE"}, Series: []chart.Series{{Name: "train", X: epochs, Y: train}, {Name: "validation", X: epochs, Y: scores, Low: low, High: high}},
			Events: []chart.Event{{Kind: chart.Best, X: 18, Text: "best: epoch 18"}}}.HTML(),
		chart.Bars{Meta: chart.Meta{ID: "bars", Title: "Is the galaxy smooth?", Text: "Predictions and votes differ by at most 0.03."},
			Axis: chart.Axis{Label: "vote fraction"}, Names: []string{"predicted", "voted"}, Rows: []chart.Row{
				{Label: "smooth", Values: []chart.Value{chart.Interval(0.44, 0.41, 0.47), chart.Interval(0.43, 0.40, 0.46)}},
				{Label: hostile, Values: []chart.Value{chart.Interval(0.51, 0.48, 0.55), chart.Interval(0.54, 0.5, 0.58)}},
				{Label: "سديم حلزوني 🌌 " + fmt.Sprint(hostile, hostile, hostile, hostile), Values: []chart.Value{chart.Exact(0.05), chart.Exact(0.03)}},
			}}.HTML(),
		chart.Matrix{Meta: chart.Meta{ID: "matrix", Title: "Confusion of shapes", Text: "Most galaxies are on the diagonal."},
			Classes: []string{"smooth", "disk", "star"}, Counts: [][]int{{812, 71, 2}, {95, 1204, 9}, {3, 0, 12}}}.HTML(),
		chart.Reliability{Meta: chart.Meta{ID: "reliability", Title: "Calibration", Text: "Predictions are up to 0.05 too high."}, Bins: bins()}.HTML(),
		chart.Curve{Meta: chart.Meta{ID: "roc", Title: "ROC", Text: "Areas of 0.97 and 0.91."}, X: "false positive rate", Y: "true positive rate", Diagonal: true,
			Series: []chart.Series{{Name: "smooth: area 0.97", X: []float64{0, 0.02, 0.1, 0.3, 1}, Y: []float64{0, 0.7, 0.92, 0.99, 1}}, {Name: "disk: area 0.91", X: []float64{0, 0.05, 0.2, 0.5, 1}, Y: []float64{0, 0.5, 0.8, 0.96, 1}}}}.HTML(),
		chart.Histogram{Meta: chart.Meta{ID: "histogram", Title: "Votes for smooth", Text: "Both splits have the same shape."}, X: chart.Axis{Label: "vote fraction"},
			Edges: []float64{0, 0.2, 0.4, 0.6, 0.8, 1}, Names: []string{"train", "validation"}, Counts: [][]float64{{400, 310, 120, 280, 510}, {40, 35, 10, 30, 48}}}.HTML(),
		chart.Slices{Meta: chart.Meta{ID: "slices", Title: "Accuracy by size", Text: "Large galaxies are easier."}, Axis: chart.Axis{Label: "accuracy", Percent: true}, By: "size (px)",
			Reference: 0.812, ReferenceName: "all galaxies", Slices: []chart.Slice{{Label: "8 to 12", Count: 410, Value: chart.Interval(0.74, 0.7, 0.78)}, {Label: "12 to 18", Count: 1022, Value: chart.Interval(0.81, 0.79, 0.83)}, {Label: "18 to 40", Count: 377, Value: chart.Interval(0.88, 0.85, 0.91)}}}.HTML(),
		chart.Matrix{Meta: chart.Meta{ID: "wide", Title: "Confusion of 12 classes", Text: "A matrix that is wider than a phone."}, Classes: manyClasses(), Counts: manyCounts()}.HTML(),
	}
	grid := template.HTML(`<div class="grid">`)
	for _, c := range charts {
		grid += c
	}
	grid += `</div>`
	gallery := page.Gallery{Label: "surest mistakes"}
	for i := range 5 {
		galaxy := image.NewRGBA(image.Rect(0, 0, 96, 96))
		for y := range 96 {
			for x := range 96 {
				v := 255 * math.Exp(-(math.Pow(float64(x-48), 2)*(1+float64(i)/2)+math.Pow(float64(y-48), 2))/600)
				galaxy.Set(x, y, color.RGBA{byte(v), byte(v * 0.8), byte(v * 0.6), 255})
			}
		}
		picture, err := page.Encode(galaxy, 96, 4000)
		if err != nil {
			t.Fatal(err)
		}
		gallery.Items = append(gallery.Items, page.Item{ID: fmt.Sprint("galaxy-", 100+i), Title: fmt.Sprint("Galaxy ", 100+i), Picture: picture, Alt: "a smooth galaxy",
			Caption: template.HTML(template.HTMLEscapeString("voted smooth, predicted " + hostile)), Detail: "<p>Votes and predictions of the galaxy.</p>" + template.HTML(fmt.Sprintf(`<p><a href="#galaxy-%d">its nearest neighbour</a></p>`, 100+(i+2)%5)) +
				chart.Bars{Meta: chart.Meta{ID: fmt.Sprint("answers-", i), Title: fmt.Sprint("Answers for galaxy ", 100+i), Text: "The prediction is near the votes."}, Names: []string{"predicted", "voted"},
					Rows: []chart.Row{{Label: "smooth", Values: []chart.Value{chart.Exact(0.8), chart.Exact(0.9)}}, {Label: "disk", Values: []chart.Value{chart.Exact(0.2), chart.Exact(0.1)}}}}.HTML()})
	}
	table := chart.Table{Caption: "Questions", Columns: []string{"question", "accuracy", "galaxies"}, Rows: [][]any{{"shape", 0.91, 300}, {"bar", 0.75, 1200}, {hostile, math.NaN(), 20}}}
	return page.Page{Title: "Report of " + hostile, Lead: "<p>An example.</p>", Sections: []page.Section{
		{ID: "charts", Title: "Charts", Body: grid}, {ID: "galaxies", Title: "Galaxies", Body: gallery.HTML()}, {ID: "tables", Title: "Tables", Body: table.HTML()},
	}}
}

func bins() []chart.Bin {
	var b []chart.Bin
	for i := range 10 {
		from := float64(i) / 10
		observed := from + 0.03
		b = append(b, chart.Bin{From: from, To: from + 0.1, Predicted: from + 0.05, Observed: chart.Interval(observed, observed-0.02, observed+0.02), Count: 400 - 30*i})
	}
	return b
}

func manyClasses() []string {
	names := make([]string, 12)
	for i := range names {
		names[i] = fmt.Sprintf("class with a long name %d", i+1)
	}
	return names
}

func manyCounts() [][]int {
	counts := make([][]int, 12)
	for i := range counts {
		counts[i] = make([]int, 12)
		for j := range counts[i] {
			counts[i][j] = 1000 / (1 + 7*(i-j)*(i-j))
		}
	}
	return counts
}
