package report

import (
	"fmt"
	"testing"

	"galaxy/internal/browsertest"
)

// What a reader of the page finds in a browser without a network: every image, the verdict, the metrics, and the details
// of a galaxy, with scripts and without, at any width.
func TestInBrowser(t *testing.T) {
	browser := browsertest.Start(t)
	r, content := gather(t, Options{Runs: []string{get(t).run}})
	address := browsertest.File(t, "report.html", []byte(content))
	for name, o := range map[string]browsertest.Options{
		"narrow": {Width: 360}, "wide and dark": {Width: 1600, Dark: true}, "without scripts": {NoScripts: true},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browser.Open(t, address, o)
			if got, want := tab.Text(".verdict"), r.Verdict(); got != want {
				t.Errorf("the verdict is %q, expected %q", got, want)
			}
			if got, want := tab.Text(`[data-metric="rmse"]`), fmt.Sprintf("%.4f", r.Evaluation.RMSE); got != want {
				t.Errorf("the RMSE is %q, expected %q", got, want)
			}
			broken := browsertest.Eval[int](tab, `[...document.images].filter(e => e.complete && !e.naturalWidth).length`)
			shown := browsertest.Eval[int](tab, `document.querySelectorAll("#galaxies .gallery > li[data-title]").length`)
			if want := len(r.galleries); broken > 0 || shown < want {
				t.Errorf("%d images are broken, and %d galaxies are shown: expected none and at least %d", broken, shown, want)
			}
			if wide := tab.WideElements(); len(wide) > 0 {
				t.Errorf("expected everything within %d px or in a box that scrolls, got %q", o.Width, wide)
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
}
