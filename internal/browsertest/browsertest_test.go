package browsertest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestProblems opens a page that does what pages must not do, and one of a server that does not.
func TestProblems(t *testing.T) {
	browser := Start(t)
	tab := browser.Open(t, File(t, "a page.html", []byte(`<!DOCTYPE html><html lang="en"><title>t</title>
<img src="https://example.org/picture.png" alt="">
<p id="wide"><span>wider than the window</span></p><style>#wide { width: 2000px }</style>
<script>console.log("hello", 7); alert("stop"); undefined.x;</script></html>`)), Options{Width: 360})
	wide := tab.WideElements()
	if !slices.ContainsFunc(wide, func(s string) bool { return strings.HasPrefix(s, "P.") }) {
		t.Errorf("expected the paragraph of 2,000 px among the wide elements, got %q", wide)
	}
	problems := strings.Join(tab.Problems(), "\n")
	for _, want := range []string{"request to another machine: https://example.org/picture.png", `console.log: "hello" 7`, "dialog: stop", "exception: ", "ERR_NAME_NOT_RESOLVED"} {
		if !strings.Contains(problems, want) {
			t.Errorf("expected a problem with %q, got\n%s", want, problems)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>t</title><link rel="icon" href="data:,"><main><h1 id="h">from a server</h1></main><script>document.title = "changed"</script></html>`))
	}))
	defer server.Close()
	for _, scripts := range []bool{false, true} {
		tab = browser.Open(t, server.URL, Options{NoScripts: !scripts})
		if got := tab.Text("#h"); got != "from a server" {
			t.Errorf("expected the server's page, got %q", got)
		}
		if changed := Eval[string](tab, "document.title") == "changed"; changed != scripts {
			t.Errorf("scripts %v: expected the page's script to run: %v, got %v", scripts, scripts, changed)
		}
	}
	tab.Axe()
}
