// Package browsertest opens pages in a headless chromium, for tests of what a reader of a page sees.
//
// Start finds chromium or skips the test. Open shows a page of a file or of a server on this machine, in a window of
// any width, light or dark, with scripts or without. Whatever the page reports on the console, throws, asks of another
// machine or fails to load is a problem that fails the test when it ends.
package browsertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a browser may take to start or to answer. It only turns a browser that hangs into a
// message, so it is far above what a slow machine needs.
const patience = 5 * time.Minute

// Browser is a chromium without a window.
type Browser struct{ context context.Context }

// Start starts a browser that ends with the test. It skips the test if there is no chromium, and with -short.
func Start(t testing.TB) *Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: other tests read the pages as text")
	}
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no chromium found: install Debian's package chromium to test pages in a browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WSURLReadTimeout(patience),
		// No name but this machine's resolves, so that a page cannot depend on a network.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]"),
		chromedp.DisableGPU)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // chromium's sandbox does not work for root
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return &Browser{ctx}
}

// Options describe how a page is shown. The zero value is a light window of 1,280 × 900 px with scripts.
type Options struct {
	Width, Height int // px; 0: 1,280 and 900
	Dark          bool
	NoScripts     bool // the page's scripts do not run; Eval still works
}

// Tab shows a page.
type Tab struct {
	t         testing.TB
	context   context.Context
	noScripts bool

	mutex    sync.Mutex
	problems []string
}

// Open shows the page of an address, file:// or of a server on this machine, in a tab that closes with the test.
// The test fails if the page has problems (Problems) that the test did not take.
func (b *Browser) Open(t testing.TB, address string, o Options) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.context)
	tab := &Tab{t: t, context: ctx, noScripts: o.NoScripts}
	t.Cleanup(func() {
		cancel()
		for _, p := range tab.Problems() {
			t.Errorf("page %s: %s", address, p)
		}
	})
	if err := chromedp.Do(ctx); err != nil { // opens the tab
		t.Fatalf("open a tab: %v", err)
	}
	if err := chromedp.Listen(ctx, tab.listen); err != nil {
		t.Fatalf("listen to a tab: %v", err)
	}
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	call(tab, log.Enable, cdp.Empty{})
	call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: o.NoScripts})
	tab.Do(chromedp.EmulateViewport(int64(cmp.Or(o.Width, 1280)), int64(cmp.Or(o.Height, 900))), chromedp.Navigate(address))
	return tab
}

// listen collects what must not happen. It must not wait for the browser.
func (p *Tab) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, a := range e.Args {
			words = append(words, fmt.Sprint(a.Value)+a.Description)
		}
		p.add("console.%s: %s", e.Type, strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		p.add("exception: %v", e.ExceptionDetails)
	case *log.EventEntryAdded:
		p.add("console: %s %s", e.Entry.Text, e.Entry.URL)
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || !local(u) {
			p.add("request to another machine: %.200s", e.Request.URL)
		}
	case *page.EventJavascriptDialogOpening:
		p.add("dialog: %s", e.Message)
		go func() {
			_, _ = chromedp.Call(p.context, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		}()
	}
}

func local(u *url.URL) bool {
	switch u.Scheme {
	case "file", "data", "blob", "about", "chrome-error":
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func (p *Tab) add(format string, args ...any) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// Problems returns and forgets the problems of the page so far.
func (p *Tab) Problems() []string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	found := p.problems
	p.problems = nil
	return found
}

// run runs an action that gives a value.
func run[T any](p *Tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.context, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	for nodeGone(err) {
		value, err = chromedp.Run(ctx, action)
	}
	if err != nil {
		p.t.Fatalf("browser: %v", err)
	}
	return value
}

// nodeGone reports that a page replaced the element between the search for it and its use, for instance when a
// form's answer came just then. Nothing has been done to the element, so the action can be run again.
func nodeGone(err error) bool {
	var e *cdproto.Error
	return errors.As(err, &e) && (e.Message == "No node with given id found" || e.Message == "Could not find node with given id" ||
		e.Message == "Cannot find context with specified id")
}

func call[P, R any](p *Tab, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	return run(p, func(ctx context.Context, target *chromedp.Target) (R, error) {
		return cdp.Call(ctx, target, command, params)
	})
}

// Do runs actions of chromedp. Actions that need an element wait until it is there.
func (p *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	run(p, chromedp.Steps(actions...))
}

// Click clicks on the first element of a CSS selector.
func (p *Tab) Click(selector string) {
	p.t.Helper()
	p.Do(chromedp.Click(chromedp.CSS(selector)))
}

// Focus gives the first element of a CSS selector the focus.
func (p *Tab) Focus(selector string) {
	p.t.Helper()
	p.Do(chromedp.Focus(chromedp.CSS(selector)))
}

// Press presses keys one after another: characters, or the constants of chromedp's package kb.
func (p *Tab) Press(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		p.Do(chromedp.KeyEvent(k))
	}
}

// Load holds when a page was loaded: milliseconds from the start of the navigation until its text was parsed, until its
// scripts had run, and until all that it loads was there (Navigation Timing, https://www.w3.org/TR/navigation-timing-2/).
type Load struct {
	Interactive float64 `json:"domInteractive"`
	Scripts     float64 `json:"domContentLoadedEventEnd"`
	Complete    float64 `json:"loadEventEnd"`
}

// Load waits until the page is loaded, and returns how long that took.
func (p *Tab) Load() Load {
	p.t.Helper()
	return Eval[Load](p, `new Promise(done => {
		const ask = () => { const n = performance.getEntriesByType("navigation")[0]; n.loadEventEnd > 0 ? done(n.toJSON()) : setTimeout(ask, 1); };
		ask();
	})`)
}

// Text returns the text that the first element of a CSS selector shows.
func (p *Tab) Text(selector string) string {
	p.t.Helper()
	return run(p, chromedp.Text(chromedp.CSS(selector)))
}

// Eval returns the value of a JavaScript expression, or what its promise gives: anything that JSON decodes into.
func Eval[T any](p *Tab, expression string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Screenshot returns the window as a PNG, and the whole page if whole is set.
func (p *Tab) Screenshot(whole bool) []byte {
	p.t.Helper()
	if whole {
		return run(p, chromedp.FullScreenshot(100)) // 100: a PNG
	}
	return run(p, chromedp.CaptureScreenshot())
}

// PDF returns the page as it prints on the paper that its stylesheet names.
func (p *Tab) PDF() []byte {
	p.t.Helper()
	return run(p, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize(), chromedp.PDFPrintBackground()))
}

// Print shows the page as it prints, in the window, until the tab closes.
func (p *Tab) Print() {
	p.t.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
}

// WideElements returns descriptions of the elements that reach beyond the right side of the window and are not
// in a box that scrolls: what makes a narrow page scroll sideways.
func (p *Tab) WideElements() []string {
	p.t.Helper()
	return Eval[[]string](p, `[...document.body.querySelectorAll("*")].filter(e => {
		const box = e.getBoundingClientRect();
		return box.width && box.right > document.documentElement.clientWidth + 1 && !e.closest(".scroll, pre, .hidden, .skip, svg svg, svg *, dialog");
	}).map(e => e.tagName + "." + e.getAttribute("class") + " " + e.textContent.slice(0, 60))`)
}

// Axe checks in a subtest that axe-core finds no serious or critical fault on the page as it is now
// (https://github.com/dequelabs/axe-core). The tab is one of a test, not of a benchmark. The subtest is skipped if `make axe` has not fetched axe-core.
func (p *Tab) Axe() {
	p.t.(*testing.T).Run("axe", func(t *testing.T) {
		if p.noScripts {
			t.Fatal("axe-core waits for timers, which do not run without scripts: open the page with scripts")
		}
		code, err := os.ReadFile(axePath(t))
		if os.IsNotExist(err) {
			t.Skip("no axe-core found: run `make axe` to check the accessibility of pages")
		}
		if err != nil {
			t.Fatalf("read axe-core: %v", err)
		}
		type violation struct {
			ID     string `json:"id"`
			Impact string `json:"impact"`
			Help   string `json:"help"`
			Nodes  []struct {
				HTML    string `json:"html"`
				Summary string `json:"failureSummary"`
			} `json:"nodes"`
		}
		for _, v := range Eval[[]violation](&Tab{t: t, context: p.context}, string(code)+`;axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations)`) {
			if v.Impact != "serious" && v.Impact != "critical" {
				continue
			}
			for _, n := range v.Nodes {
				t.Errorf("%s: %s (%s)\n%.300s\n%s", v.Impact, v.Help, v.ID, n.HTML, n.Summary)
			}
		}
	})
}

// axePath returns where `make axe` puts axe-core, in the module's root.
func axePath(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".cache", "axe", "node_modules", "axe-core", "axe.min.js")
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
}

// File writes a page into a file of the test and returns its address.
func File(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}
