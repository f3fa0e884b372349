package page_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
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
	noise := func(pixels []byte) {
		state := uint32(1)
		for i := range pixels {
			state = state*1664525 + 1013904223
			pixels[i] = byte(state >> 24)
		}
	}
	rgb := func(w, h int) image.Image {
		m := image.NewRGBA(image.Rect(3, 5, 3+w, 5+h)) // not at the origin
		noise(m.Pix)
		for i := 3; i < len(m.Pix); i += 4 {
			m.Pix[i] = 255
		}
		return m
	}
	grey := image.NewGray(image.Rect(0, 0, 64, 64))
	noise(grey.Pix)
	for _, c := range []struct {
		name          string
		m             image.Image
		side, budget  int
		kind          string
		width, height int // on the page
		least         int // px of the encoded width
	}{
		{"small images keep their pixels", rgb(8, 8), 64, 1000, "png", 8, 8, 8},
		{"photographs become JPEGs", rgb(64, 64), 64, 6000, "jpeg", 64, 64, 64},
		{"tight budgets halve", rgb(128, 128), 128, 1500, "jpeg", 128, 128, 16},
		{"grey", grey, 64, 3000, "jpeg", 64, 64, 64},
		{"large images", rgb(300, 100), 60, 1 << 20, "png", 60, 20, 60},
		{"thin images", rgb(300, 1), 60, 1 << 20, "png", 60, 1, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := page.Encode(c.m, c.side, c.budget)
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
			if isGrey := config.ColorModel == color.GrayModel; isGrey != (c.name == "grey") {
				t.Errorf("expected a grey image to stay grey and no other to become grey, got grey: %v", isGrey)
			}
		})
	}
	for _, c := range []struct {
		name         string
		m            image.Image
		side, budget int
		message      string
	}{
		{"no image", rgb(0, 0), 64, 1000, "expected an image and a side of at least 1 px, got 0 × 0 px and 64"},
		{"no side", rgb(8, 8), 0, 1000, "got 8 × 8 px and 0"},
		{"budget", rgb(32, 32), 64, 10, "expected a budget that holds an image of 16 × 16 px, got 10 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := page.Encode(c.m, c.side, c.budget); err == nil || !strings.Contains(err.Error(), c.message) {
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
