package live

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"galaxy/internal/browsertest"
	"galaxy/train"
)

// The page in a browser: it follows a run that grows, is cut back and ends, without a reload, without a message on the
// console and without a request to another machine.
func TestInBrowser(t *testing.T) {
	browser := browsertest.Start(t)
	r := newRun(t)
	r.metrics(lines(1, 9, 0))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.serve().Serve(ctx, l) }()
	tab := browser.Open(t, "http://"+l.Addr().String(), browsertest.Options{Width: 360})
	shows := func(selector, text string) {
		t.Helper()
		for !browsertest.Eval[bool](tab, fmt.Sprintf("(document.querySelector(%q)?.textContent ?? '').includes(%q)", selector, text)) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	shows("#run-state", "Step 9 of 100")
	shows("#connection", "follows the run")
	browsertest.Eval[bool](tab, `window.same = true`)
	r.add(lines(10, 40, 0))
	shows("#run-state", "Step 40 of 100")
	r.write(train.HistoryName, history)
	r.metrics(lines(1, 20, 0) + lines(21, 50, 1))
	shows("#run-state", "Step 50 of 100")
	shows("#curve-loss", "resumed after step 6")
	if wide := tab.WideElements(); len(wide) > 0 {
		t.Errorf("too wide for 360 px: %q", wide)
	}
	tab.Axe()
	r.add(lines(51, 100, 1))
	cancel()
	shows("#run-state", "the training has ended")
	shows("#connection", "The server has ended")
	if !browsertest.Eval[bool](tab, `window.same === true`) {
		t.Error("the page was loaded again")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, problem := range tab.Problems() {
		if !strings.Contains(problem, "net::ERR_") { // that the server is gone
			t.Error(problem)
		}
	}
}
