package report

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"galaxy/internal/browsertest"
)

// figures are those of the page that stand in no folded details: what a reader sees, and what is printed.
const figures = `[...document.querySelectorAll("figure.chart")].filter(e => !e.closest("details:not([open])"))`

// What a reader of the page finds in a browser without a network: every image, the verdict, the metrics, and the details
// of a galaxy, with scripts and without, at any width.
func TestInBrowser(t *testing.T) {
	browser := browsertest.Start(t)
	r, content := gather(t, Options{Runs: []string{get(t).run}})
	address := browsertest.File(t, "report.html", []byte(content))
	raw, err := json.Marshal(r.Evaluation.Result) // as eval --json prints it
	if err != nil {
		t.Fatal(err)
	}
	var scores map[string]any
	if err := json.Unmarshal(raw, &scores); err != nil {
		t.Fatal(err)
	}
	var numbers []string // all that the page shows, in order
	for name, o := range map[string]browsertest.Options{
		"narrow": {Width: 360}, "wide and dark": {Width: 1600, Dark: true}, "without scripts": {NoScripts: true},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browser.Open(t, address, o)
			if got, want := tab.Text(".verdict"), r.Verdict(); got != want {
				t.Errorf("the verdict is %q, expected %q", got, want)
			}
			type number struct{ Name, Value, Text string }
			headlines := browsertest.Eval[[]number](tab, `[...document.querySelectorAll("#result [data-metric]")].map(e => ({Name: e.dataset.metric, Value: e.value, Text: e.textContent}))`)
			for _, h := range headlines {
				want, ok := lookUp(scores, h.Name).(float64)
				if text := formatted(want, strings.HasSuffix(h.Text, "%")); !ok || h.Value != fmt.Sprint(want) || h.Text != text {
					t.Errorf("%s is shown as %q with the value %s, expected %q and %v", h.Name, h.Text, h.Value, text, want)
				}
			}
			if len(headlines) != 4 {
				t.Errorf("%d headlines, expected 4", len(headlines))
			}
			all := browsertest.Eval[[]string](tab, `[...document.querySelectorAll("main data, main td")].map(e => e.textContent)`)
			if numbers == nil {
				numbers = all
			}
			if strings.Join(all, "\n") != strings.Join(numbers, "\n") {
				t.Error("the page shows other numbers than at another width, or with scripts")
			}
			broken := browsertest.Eval[int](tab, `[...document.images].filter(e => e.complete && !e.naturalWidth).length`)
			shown := browsertest.Eval[int](tab, `document.querySelectorAll("#galaxies .gallery > li[data-title]").length`)
			if want := len(r.galleries); broken > 0 || shown < want {
				t.Errorf("%d images are broken, and %d galaxies are shown: expected none and at least %d", broken, shown, want)
			}
			if wide := tab.WideElements(); len(wide) > 0 {
				t.Errorf("expected everything within %d px or in a box that scrolls, got %q", o.Width, wide)
			}
			if lost := browsertest.Eval[[]string](tab, `[...document.querySelectorAll('a[href^="#"]')].map(e => e.getAttribute("href").slice(1)).filter(id => !document.getElementById(id))`); len(lost) > 0 {
				t.Errorf("links lead to %q, which are not on the page", lost)
			}
			if !o.NoScripts {
				tab.Axe()
				tab.Click("#galaxies .picture")
				if got := browsertest.Eval[int](tab, `document.querySelectorAll("dialog[open] table, dialog[open] img").length`); got < 3 {
					t.Errorf("the dialog of a galaxy has %d tables and images, expected its votes, its image and where the network looked", got)
				}
			}
		})
	}
	t.Run("print", func(t *testing.T) { testPrint(t, browser.Open(t, address, browsertest.Options{Width: 688})) })
}

// lookUp returns what a path with dots leads to in decoded JSON, nil if nothing.
func lookUp(in any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		object, ok := in.(map[string]any)
		if !ok {
			return nil
		}
		in = object[name]
	}
	return in
}

// testPrint checks that no chart is cut between two pages of A4, and that there are about as many pages as the length of the
// body takes.
func testPrint(t *testing.T, tab *browsertest.Tab) {
	pdf := string(tab.PDF())
	tab.Print()
	const height = (297 - 2*14) / 25.4 * 96 // px of A4 without its margins
	cut := browsertest.Eval[[]string](tab, fmt.Sprintf(figures+`.filter(e => getComputedStyle(e).breakInside !== "avoid" || e.getBoundingClientRect().height > %v).map(e => e.id)`, height))
	if len(cut) > 0 {
		t.Errorf("the figures %q can be cut between two pages", cut)
	}
	long := browsertest.Eval[float64](tab, `document.body.getBoundingClientRect().height`)
	charts := browsertest.Eval[int](tab, figures+`.length`)
	pages := len(regexp.MustCompile(`/Type /Page\b`).FindAllString(pdf, -1))
	if least, most := int(long/height), int(2*long/height)+2; charts < 10 || pages < least || pages > most {
		t.Errorf("%d charts on %d pages of %.0f px, of a body of %.0f px: expected at least 10 charts on %d to %d pages", charts, pages, height, long, least, most)
	}
}
