package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the stylesheet, the script and the template
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
)

//go:embed page.css
var style string

//go:embed page.js
var script string

//go:embed page.html
var source string

var layout = template.Must(template.New("page").Parse(source))

// Page is a page to be written. Its text is escaped; the bodies of its sections have to be safe already.
type Page struct {
	Title    string
	Lead     template.HTML // below the title; may be empty
	Sections []Section
	// Style and Script are added to the stylesheet and the script that every page has. The script must not use
	// eval; it may use galaxy.replace and galaxy.enhance (page.js).
	Style, Script string
	// Connect lets the script send requests to the server that the page came from, and Form lets forms do so.
	Connect, Form bool
}

// Section is a part of a page with a heading, which the page's navigation lists. Headings in Body start with h3.
type Section struct {
	ID    string // unique on the page: letters, digits, '-'
	Title string
	Body  template.HTML
}

// HTML returns the whole page.
func (p Page) HTML() ([]byte, error) {
	var b bytes.Buffer
	err := layout.Execute(&b, struct {
		Page
		Policy string
		CSS    template.CSS
		JS     template.JS
	}{p, p.Policy(), template.CSS(style + p.Style), template.JS(script + p.Script)}) //nolint:gosec // the program's own text
	if err != nil {
		return nil, fmt.Errorf("write page %q: %w", p.Title, err)
	}
	return b.Bytes(), nil
}

// Policy returns the Content-Security-Policy that the page also states in itself: nothing but its own style and
// script, by their SHA-256, and images in the page. A server sends it as a header, in which frame-ancestors holds.
func (p Page) Policy() string {
	self := func(allowed bool) string {
		if allowed {
			return "'self'"
		}
		return "'none'"
	}
	return strings.Join([]string{
		"default-src 'none'", "img-src data: blob:", "style-src " + digest(style+p.Style), "script-src " + digest(script+p.Script),
		"connect-src " + self(p.Connect), "base-uri 'none'", "form-action " + self(p.Form),
	}, "; ")
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
