package page_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"galaxy/report/page"

	"golang.org/x/net/html"
)

// TestPageIsWholeAndSafe reads the page as a browser does.
func TestPageIsWholeAndSafe(t *testing.T) {
	source, err := examplePage(t).HTML()
	if err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	ids, heading := map[string]int{}, 0
	var references []string
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			switch {
			case a.Key == "id":
				ids[a.Val]++
			case a.Key == "aria-labelledby":
				references = append(references, strings.Fields(a.Val)...)
			case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
				references = append(references, a.Val[1:])
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("%s: expected no attribute that the policy forbids, got %s=%q", n.Data, a.Key, a.Val)
			case (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "data:"):
				t.Errorf("%s: expected nothing from elsewhere, got %s=%q", n.Data, a.Key, a.Val)
			}
		}
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "script" && n.FirstChild != nil && strings.HasPrefix(n.FirstChild.Data, "alert") {
			t.Error("a name became a script")
		}
		if len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' {
			if level := int(n.Data[1] - '0'); level > heading+1 {
				t.Errorf("a heading of level %d follows one of level %d", level, heading)
			} else {
				heading = level
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements have the ID %q", n, id)
		}
	}
	for _, r := range references {
		if ids[r] == 0 {
			t.Errorf("nothing has the ID %q, which something refers to", r)
		}
	}
}

// TestContrasts checks both themes against WCAG 2.2: texts 4.5:1 (1.4.3), what a chart consists of 3:1 (1.4.11).
// Lines of the grid only help the eye and are exempt.
func TestContrasts(t *testing.T) {
	css, err := os.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	colors := map[string][2]string{}
	for _, m := range regexp.MustCompile(`--([a-z0-9]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);`).FindAllStringSubmatch(string(css), -1) {
		colors[m[1]] = [2]string{m[2], m[3]}
	}
	type pair struct {
		front, back string
		least       float64
	}
	pairs := []pair{{"axis", "background", 3}, {"background", "text", 4.5}, {"text", "warning", 4.5}, {"link", "warning", 4.5}}
	for _, back := range []string{"background", "surface"} {
		for _, front := range []string{"text", "muted", "link"} {
			pairs = append(pairs, pair{front, back, 4.5})
		}
	}
	for i := 1; i <= 6; i++ {
		pairs = append(pairs, pair{fmt.Sprint("c", i), "background", 3})
	}
	for i := range 6 {
		pairs = append(pairs, pair{fmt.Sprint("qt", i), fmt.Sprint("q", i), 4.5})
	}
	for theme, name := range []string{"light", "dark"} {
		for _, p := range pairs {
			front, back := colors[p.front][theme], colors[p.back][theme]
			if front == "" || back == "" {
				t.Fatalf("page.css does not define %s or %s for the %s theme", p.front, p.back, name)
			}
			if got := contrast(t, front, back); got < p.least {
				t.Errorf("%s: %s (%s) on %s (%s): expected a contrast of at least %.1f, got %.2f", name, p.front, front, p.back, back, p.least, got)
			}
		}
	}
}

// contrast computes the contrast ratio of WCAG 2.2 between two colours.
func contrast(t *testing.T, a, b string) float64 {
	luminance := func(color string) float64 {
		var sum float64
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			v, err := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			c := float64(v) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestPolicy(t *testing.T) {
	p := page.Page{Title: "t", Script: "let own = 1;"}
	source, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(html.UnescapeString(string(source)), p.Policy()) {
		t.Errorf("expected the page to state the policy %q", p.Policy())
	}
	if (page.Page{Title: "t"}).Policy() == p.Policy() {
		t.Error("expected another script to change the policy")
	}
	if connect := (page.Page{Connect: true}).Policy(); !strings.Contains(connect, "connect-src 'self'") || strings.Contains(p.Policy(), "'self'") {
		t.Errorf("expected requests to the own server with Connect only, got %q and %q", connect, p.Policy())
	}
}

func TestEncode(t *testing.T) {
	noise := func(n int) []byte {
		b := make([]byte, n)
		state := uint32(1)
		for i := range b {
			state = state*1664525 + 1013904223
			b[i] = byte(state >> 24)
		}
		return b
	}
	for _, c := range []struct {
		name                            string
		pixels                          []byte
		width, height, channels, budget int
		kind                            string
		least                           int // px of the encoded width
	}{
		{"small images keep their pixels", noise(8 * 8 * 3), 8, 8, 3, 1000, "png", 8},
		{"photographs become JPEGs", noise(64 * 64 * 3), 64, 64, 3, 6000, "jpeg", 64},
		{"tight budgets shrink", noise(128 * 128 * 3), 128, 128, 3, 1500, "jpeg", 16},
		{"one channel is grey", noise(64 * 64), 64, 64, 1, 3000, "jpeg", 64},
		{"two channels", noise(16 * 16 * 2), 16, 16, 2, 2000, "png", 16},
		{"eight channels", noise(16 * 16 * 8), 16, 16, 8, 2000, "png", 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := page.Encode(c.pixels, c.width, c.height, c.channels, c.budget)
			if err != nil {
				t.Fatal(err)
			}
			prefix := "data:image/" + c.kind + ";base64,"
			body, found := strings.CutPrefix(string(p.URL), prefix)
			if !found {
				t.Fatalf("expected %s, got %.30s", prefix, p.URL)
			}
			encoded, err := base64.StdEncoding.DecodeString(body)
			if err != nil {
				t.Fatal(err)
			}
			if len(encoded) > c.budget {
				t.Errorf("expected at most %d bytes, got %d", c.budget, len(encoded))
			}
			config, kind, err := image.DecodeConfig(bytes.NewReader(encoded))
			if err != nil || kind != c.kind || config.Width < c.least || p.Width != c.width || p.Height != c.height {
				t.Errorf("expected a %s of at least %d px shown as %d × %d, got %s of %d px shown as %d × %d (%v)", c.kind, c.least, c.width, c.height, kind, config.Width, p.Width, p.Height, err)
			}
		})
	}
	for _, c := range []struct {
		name                            string
		bytes                           int
		width, height, channels, budget int
		message                         string
	}{
		{"too few bytes", 10, 2, 2, 3, 1000, "expected 2 × 2 × 3 = 12 bytes, got 10"},
		{"no image", 0, 0, 0, 3, 1000, "expected sides of 1 to 4096 px"},
		{"huge", 0, 1 << 30, 1 << 30, 3, 1000, "expected sides of 1 to 4096 px"},
		{"budget", 32 * 32 * 3, 32, 32, 3, 10, "expected a budget that holds an image of 16 × 16 px, got 10 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := page.Encode(make([]byte, c.bytes), c.width, c.height, c.channels, c.budget); err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("expected an error with %q, got %v", c.message, err)
			}
		})
	}
}

func ExamplePage() {
	p := page.Page{Title: "Run 7", Sections: []page.Section{{ID: "verdict", Title: "Verdict", Body: `<p class="verdict">RMSE 0.094, 6 % below Keras.</p>`}}}
	source, err := p.HTML()
	fmt.Println(err, bytes.Contains(source, []byte(`<h2 id="verdict-heading">Verdict</h2>`)))
	// Output: <nil> true
}
