package page

import (
	"bytes"
	"html/template"
)

// Gallery is a list of images with captions. A click on one opens a dialog with its details; without scripts
// they are in a details element below the caption.
type Gallery struct {
	Label string // for screen readers: "surest mistakes"
	Items []Item
}

// Item is one image of a gallery.
type Item struct {
	ID      string // unique on the page: letters, digits, '-'; a link to #ID opens the dialog
	Title   string // heading of the dialog: the galaxy's id
	Picture Picture
	Alt     string        // describes the image
	Caption template.HTML // a line or two
	Detail  template.HTML // what the dialog shows; empty: no dialog
}

var parts = template.Must(template.New("").Parse(`
{{- define "picture"}}<img src="{{.URL}}" width="{{.Width}}" height="{{.Height}}" alt="{{.Alt}}" decoding="async">{{end -}}
{{- define "gallery"}}<ul class="gallery" aria-label="{{.Label}}">
{{range .Items}}<li id="{{.ID}}" data-title="{{.Title}}"><img class="picture" src="{{.Picture.URL}}" width="{{.Picture.Width}}" height="{{.Picture.Height}}" alt="{{.Alt}}" decoding="async">
<p class="caption">{{.Caption}}</p>
{{if .Detail}}<details><summary>Details<span class="hidden"> of {{.Title}}</span></summary><div class="detail">{{.Detail}}</div></details>{{end}}</li>
{{end}}</ul>{{end -}}`))

// HTML returns the gallery.
func (g Gallery) HTML() template.HTML { return render("gallery", g) }

func render(name string, data any) template.HTML {
	var b bytes.Buffer
	if err := parts.ExecuteTemplate(&b, name, data); err != nil {
		// The templates are constants and write into memory, so this is a fault of this package.
		return template.HTML(template.HTMLEscapeString(err.Error())) //nolint:gosec // escaped
	}
	return template.HTML(b.String()) //nolint:gosec // a template wrote it
}
