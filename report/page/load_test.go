package page_test

import (
	"flag"
	"os"
	"slices"
	"testing"

	"galaxy/internal/browsertest"
)

var file = flag.String("page", "", "`FILE` that BenchmarkLoad loads instead of the example page, such as a report")

// BenchmarkLoad measures how long a browser takes to load a page, in the median: make load shows it.
func BenchmarkLoad(b *testing.B) {
	browser := browsertest.Start(b)
	html, err := examplePage(b).HTML()
	if *file != "" {
		html, err = os.ReadFile(*file)
	}
	if err != nil {
		b.Fatal(err)
	}
	address := browsertest.File(b, "page.html", html)
	var interactive, scripts, complete []float64
	for b.Loop() {
		load := browser.Open(b, address, browsertest.Options{}).Load()
		interactive, scripts, complete = append(interactive, load.Interactive), append(scripts, load.Scripts), append(complete, load.Complete)
	}
	median := func(all []float64, unit string) {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], unit)
	}
	median(interactive, "ms-parsed")
	median(scripts, "ms-scripts")
	median(complete, "ms-loaded")
	b.ReportMetric(float64(len(html))/1e6, "MB")
}
