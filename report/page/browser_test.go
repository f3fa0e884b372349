package page_test

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"galaxy/internal/browsertest"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestInBrowser opens the example page as readers do. Each tab fails for console messages, exceptions and
// requests to other machines.
func TestInBrowser(t *testing.T) {
	browser := browsertest.Start(t)
	html, err := examplePage(t).HTML()
	if err != nil {
		t.Fatal(err)
	}
	address := browsertest.File(t, "page.html", html)
	for name, test := range map[string]func(*testing.T, *browsertest.Tab){
		"keys": testKeys, "zoom": testZoom, "pointer": testPointer, "gallery": testGallery, "sorting": testSorting,
	} {
		t.Run(name, func(t *testing.T) { test(t, browser.Open(t, address, browsertest.Options{})) })
	}
	for name, o := range map[string]browsertest.Options{
		"narrow": {Width: 360}, "wide": {Width: 1600}, "dark": {Dark: true}, "narrow without scripts": {Width: 360, NoScripts: true},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browser.Open(t, address, o)
			if wide := tab.WideElements(); len(wide) > 0 {
				t.Errorf("expected everything within %d px or in a box that scrolls, got %q", o.Width, wide)
			}
			// the smallest text of a chart, in px of the screen
			smallest := browsertest.Eval[float64](tab, `Math.min(...[...document.querySelectorAll(".chart svg:not(.key) text")].filter(e => !e.closest("details:not([open])")).map(e =>
				parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getBoundingClientRect().width / e.ownerSVGElement.viewBox.baseVal.width))`)
			if smallest < 10 {
				t.Errorf("expected texts of at least 10 px in the charts, got %.1f px", smallest)
			}
			if name == "narrow" || name == "dark" {
				tab.Axe()
			}
		})
	}
	t.Run("link to a galaxy", func(t *testing.T) {
		tab := browser.Open(t, address+"#galaxy-103", browsertest.Options{})
		if got := tab.Text("#dialog-title"); got != "Galaxy 103" {
			t.Errorf("expected the dialog of galaxy 103, got %q", got)
		}
	})
	t.Run("details without scripts", func(t *testing.T) {
		tab := browser.Open(t, address, browsertest.Options{NoScripts: true})
		tab.Click("#galaxy-101 summary")
		if got := tab.Text("#galaxy-101 .detail"); !strings.HasPrefix(got, "Votes and predictions of the galaxy.") {
			t.Errorf("expected the details to open in place, got %q", got)
		}
		tab.Click("#rmse summary")
		if got := tab.Text("#rmse table"); !strings.Contains(got, "0.1028 (0.09879 to 0.1068)") {
			t.Errorf("expected the table of the chart, got %q", got)
		}
	})
	t.Run("print", func(t *testing.T) {
		tab := browser.Open(t, address, browsertest.Options{})
		if pdf := string(tab.PDF()); !strings.HasPrefix(pdf, "%PDF") || strings.Count(pdf, "/Type /Page\n") > 6 {
			t.Errorf("expected a PDF of at most 6 pages, got %d bytes with %d pages", len(pdf), strings.Count(pdf, "/Type /Page\n"))
		}
	})
	t.Run("theme", func(t *testing.T) {
		tab := browser.Open(t, address, browsertest.Options{NoScripts: true})
		const background = `getComputedStyle(document.documentElement).backgroundColor`
		before := browsertest.Eval[string](tab, background)
		tab.Click("#theme-dark")
		after := browsertest.Eval[string](tab, background)
		if before != "rgb(255, 255, 255)" || after != "rgb(20, 24, 29)" {
			t.Errorf("expected the button to change the background from white to dark, got %s and %s", before, after)
		}
	})
}

func testKeys(t *testing.T, tab *browsertest.Tab) {
	live := func() string { return browsertest.Eval[string](tab, `document.getElementById("live").textContent`) }
	tab.Focus("#rmse > svg")
	tab.Press(kb.ArrowRight)
	if got := live(); !strings.HasPrefix(got, "epoch 1, train: 0.18") {
		t.Errorf("after →: expected the first point's values, got %q", got)
	}
	tab.Press(kb.End, kb.ArrowDown)
	if got := live(); !strings.HasPrefix(got, "epoch 20, validation: 0.10") {
		t.Errorf("after End and ↓: expected the last point of the next series, got %q", got)
	}
	if tip := tab.Text("#tip"); !strings.Contains(tip, "train: 0.09") {
		t.Errorf("expected the tooltip to have the other series too, got %q", tip)
	}
	const curve = `document.querySelector("#rmse .curve").getAttribute("d")`
	before := browsertest.Eval[string](tab, curve)
	tab.Press("+")
	zoomed := browsertest.Eval[string](tab, curve)
	if zoomed == before || !strings.HasPrefix(live(), "epoch 10.5 to 20") {
		t.Errorf("after +: expected the second half of the epochs, got %q and the same curve: %v", live(), zoomed == before)
	}
	tab.Press("0")
	if again := browsertest.Eval[string](tab, curve); again != before {
		t.Errorf("after 0: expected the curve of package chart again\n%s, got\n%s", before, again)
	}
	tab.Focus("#matrix > svg")
	tab.Press(kb.ArrowRight, kb.ArrowDown, kb.ArrowRight)
	if got := live(); got != "voted disk, predicted disk: 1204, 92 % of the row" {
		t.Errorf("after → ↓ → on the matrix: expected the second class's diagonal, got %q", got)
	}
}

// testZoom compares the script's axes and lines with those of package chart.
func testZoom(t *testing.T, tab *browsertest.Tab) {
	for _, id := range []string{"loss", "rmse", "roc"} {
		const drawing = `[...document.querySelectorAll("#ID .axis-x text, #ID .axis-y text, #ID .curve")].map(e => e.getAttribute("d") || e.textContent + " " + Math.round(e.getAttribute("x")) + " " + e.getAttribute("y")).join("\n")`
		before := browsertest.Eval[string](tab, strings.ReplaceAll(drawing, "ID", id))
		tab.Focus("#" + id + " > svg")
		tab.Press("+", "0")
		if after := browsertest.Eval[string](tab, strings.ReplaceAll(drawing, "ID", id)); !close(before, after) {
			t.Errorf("%s: expected the script to draw what package chart drew\n%s\ngot\n%s", id, before, after)
		}
	}
}

func testPointer(t *testing.T, tab *browsertest.Tab) {
	box := browsertest.Eval[struct{ X, Y, W, H float64 }](tab, `(() => { const e = document.querySelector("#loss > svg"); e.scrollIntoView({block: "center", behavior: "instant"}); const b = e.getBoundingClientRect(); return {X: b.x, Y: b.y, W: b.width, H: b.height}; })()`)
	middle := box.Y + box.H/2
	tab.Do(chromedp.MouseEvent("mouseMoved", box.X+box.W/2, middle))
	if got := tab.Text("#tip"); !strings.HasPrefix(got, "step 2") || !strings.Contains(got, "train: 0.") {
		t.Errorf("over the chart's middle: expected a step and the loss, got %q", got)
	}
	tab.Do(chromedp.MouseEvent("mousePressed", box.X+box.W*0.4, middle, chromedp.ButtonLeft), chromedp.MouseEvent("mouseMoved", box.X+box.W*0.6, middle, chromedp.ButtonLeft),
		chromedp.MouseEvent("mouseReleased", box.X+box.W*0.6, middle, chromedp.ButtonLeft))
	if browsertest.Eval[bool](tab, `document.querySelector("#loss .zoom button:last-child").disabled`) {
		t.Error("after a drag: expected the chart to be zoomed and Reset to work")
	}
	// A newer drawing of the same chart keeps the zoom and the open table.
	kept := browsertest.Eval[string](tab, `(() => {
		document.querySelector("#loss details").open = true;
		const d = document.querySelector("#loss .curve").getAttribute("d");
		document.querySelector("#loss > svg").focus();
		const copy = document.getElementById("loss").cloneNode(true);
		copy.querySelector(".zoom").remove();
		galaxy.replace("loss", copy.outerHTML);
		const now = document.getElementById("loss");
		return [now !== copy, d === now.querySelector(".curve").getAttribute("d"), now.querySelector("details").open, document.activeElement === now.querySelector("svg[tabindex]"), now.querySelectorAll(".zoom").length].join();
	})()`)
	if kept != "true,true,true,true,1" {
		t.Errorf("after galaxy.replace: expected zoom, open table and focus as before, got %s", kept)
	}
}

func testGallery(t *testing.T, tab *browsertest.Tab) {
	tab.Click("#galaxy-100 .picture-button")
	if got := tab.Text("#dialog-title"); got != "Galaxy 100" {
		t.Errorf("expected the dialog of galaxy 100, got %q", got)
	}
	tab.Axe()
	tab.Press(kb.ArrowRight)
	if got := tab.Text("#dialog-title"); got != "Galaxy 101" {
		t.Errorf("after →: expected the next galaxy, got %q", got)
	}
	tab.Focus("dialog .bars > svg")
	tab.Press(kb.ArrowRight)
	if got := tab.Text("dialog #tip"); got != "smooth, predicted: 0.8" || tab.Text("#dialog-title") != "Galaxy 101" {
		t.Errorf("after → on a chart of the dialog: expected its first value and the same galaxy, got %q and %q", got, tab.Text("#dialog-title"))
	}
	for range 2 {
		tab.Click("dialog .detail a")
		if got := tab.Text("#dialog-title"); got != "Galaxy 103" {
			t.Errorf("after a click on the neighbour of 101: expected 103, got %q", got)
		}
		tab.Click("dialog [data-by='-1']")
		tab.Click("dialog [data-by='-1']")
	}
	for range 8 { // the focus never leaves the dialog for the page
		tab.Press(kb.Tab)
		if browsertest.Eval[bool](tab, `!(document.activeElement === document.body || document.activeElement.closest("dialog"))`) {
			t.Fatal("expected the focus to stay in the dialog")
		}
	}
	tab.Press(kb.Escape)
	tab.Do(chromedp.WaitReady(chromedp.CSS("#galaxy-101 .detail")))
	state := browsertest.Eval[string](tab, `[document.querySelector("dialog").open, document.activeElement.closest("li")?.id, document.querySelectorAll(".gallery .detail").length].join()`)
	if state != "false,galaxy-101,5" {
		t.Errorf("after Escape: expected a closed dialog, the focus on galaxy 101 and all 5 details back, got %s", state)
	}
}

func testSorting(t *testing.T, tab *browsertest.Tab) {
	order := browsertest.Eval[string](tab, `(() => { const t = document.querySelector("#tables table"); t.querySelectorAll("th button")[1].click(); t.querySelectorAll("th button")[1].click();
		return [...t.tBodies[0].rows].map(r => r.cells[1].textContent).join(); })()`)
	if order != "0.91,0.75,–" {
		t.Errorf("expected the accuracies in descending order and the missing one last, got %s", order)
	}
}

var numberPattern = regexp.MustCompile(`-?[0-9.]+`)

// close compares two texts whose numbers may differ by a tenth, which the rounding of the points' six digits makes.
func close(a, b string) bool {
	x, y := numberPattern.FindAllString(a, -1), numberPattern.FindAllString(b, -1)
	if len(x) != len(y) || numberPattern.ReplaceAllString(a, "") != numberPattern.ReplaceAllString(b, "") {
		return false
	}
	for i := range x {
		v, _ := strconv.ParseFloat(x[i], 64)
		w, _ := strconv.ParseFloat(y[i], 64)
		if math.Abs(v-w) > 0.11 {
			return false
		}
	}
	return true
}
