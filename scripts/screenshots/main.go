// Command screenshots takes the pictures of the documentation, of the demo's report, live page and service:
//
//	screenshots [DEMO [OUT]]
//
// DEMO is the folder that `make demo` makes (default demo), OUT where the pictures are written (default docs/pictures).
// It needs bin/galaxy and chromium.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// limit is the size of a picture, bytes: the README shows the first of them.
const limit = 200_000

// A picture is what the window shows after the actions.
type picture struct {
	name          string
	address       string
	width, height int64 // px
	actions       []chromedp.Action[chromedp.Void]
}

func main() {
	demo, out := "demo", filepath.Join("docs", "pictures")
	if len(os.Args) > 1 {
		demo = os.Args[1]
	}
	if len(os.Args) > 2 {
		out = os.Args[2]
	}
	if err := run(demo, out); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(demo, out string) (err error) {
	report, err := filepath.Abs(filepath.Join(demo, "run", "report.html"))
	if err != nil {
		return err
	}
	if _, err := os.Stat(report); err != nil {
		return fmt.Errorf("%w: make demo writes it", err)
	}
	live, stop, err := start("url", "watch", filepath.Join(demo, "run"), "--listen", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	service, stopService, err := start("rest", "serve", "--model", filepath.Join(demo, "run"), "--listen", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopService()) }()

	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	options := chromedp.DefaultExecAllocatorOptions[:]
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // chromium's sandbox does not work for root
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	defer end()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	file := (&url.URL{Scheme: "file", Path: filepath.ToSlash(report)}).String()
	for _, p := range []picture{
		{"curves", file, 1200, 900, []chromedp.Action[chromedp.Void]{scrollTo("#curves")}},
		{"galaxies", file, 1200, 800, []chromedp.Action[chromedp.Void]{scrollTo("#galaxies")}},
		{"galaxy", file, 1000, 900, []chromedp.Action[chromedp.Void]{
			chromedp.Click(chromedp.CSS("#galaxies .gallery > li[data-title] button")),
			chromedp.WaitVisible(chromedp.CSS("dialog[open]"))}},
		{"live", live, 1200, 900, []chromedp.Action[chromedp.Void]{chromedp.WaitVisible(chromedp.CSS("svg"))}},
		{"service", "http://" + service + "/", 1000, 900, []chromedp.Action[chromedp.Void]{
			chromedp.Click(chromedp.CSS("button[name=example]")),
			chromedp.WaitVisible(chromedp.CSS("#answer"))}},
	} {
		if err := p.take(ctx, filepath.Join(out, p.name+".webp")); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// scrollTo shows an element of a CSS selector at the top of the window, at once.
func scrollTo(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[any](fmt.Sprintf(`document.querySelector(%q).scrollIntoView({behavior: "instant"})`, selector))(ctx, t)
		return err
	})
}

// take writes the picture as WebP.
func (p picture) take(ctx context.Context, out string) error {
	ctx, cancel := chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, append([]chromedp.Action[chromedp.Void]{chromedp.EmulateViewport(p.width, p.height), chromedp.Navigate(p.address)}, p.actions...)...); err != nil {
		return err
	}
	quality := int64(80)
	shot, err := chromedp.Run(ctx, func(ctx context.Context, t *chromedp.Target) (page.CaptureScreenshotResult, error) {
		return cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: &quality})
	})
	if err != nil {
		return err
	}
	if len(shot.Data) > limit {
		return fmt.Errorf("the picture has %d bytes: expected %d at most", len(shot.Data), limit)
	}
	fmt.Println(out, len(shot.Data), "bytes")
	return os.WriteFile(out, shot.Data, 0o666)
}

// start starts a command of bin/galaxy and returns what its JSON object has under key, and what ends it.
func start(key string, arguments ...string) (value string, stop func() error, err error) {
	c := exec.Command(filepath.Join("bin", "galaxy"), append(arguments, "--json")...)
	c.Stderr = os.Stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error {
		err := c.Process.Signal(os.Interrupt)
		_, drained := io.Copy(io.Discard, stdout)
		_ = c.Wait() // it ends by the signal
		return errors.Join(err, drained)
	}
	var result map[string]any
	if err := json.NewDecoder(stdout).Decode(&result); err != nil {
		return "", nil, errors.Join(fmt.Errorf("galaxy %s: %w", arguments[0], err), stop())
	}
	value, _ = result[key].(string)
	return value, stop, nil
}
