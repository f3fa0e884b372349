package serve

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"image"
	"io"
	"io/fs"
	"math"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"galaxy/explain"
	"galaxy/labels"
	"galaxy/report/page"
)

// examples are galaxies that `galaxy synth --seed 11` draws, named by their ids: no survey took them.
//
//go:embed examples/*.jpg
var examples embed.FS

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var pageParts = template.Must(template.New("").Funcs(template.FuncMap{
	"percent": func(v float64) string {
		if math.IsNaN(v) {
			return "–"
		}
		return strconv.FormatFloat(100*v, 'f', 1, 64) + " %"
	},
	"points": func(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) },
	"range_": func(low, high float64) string {
		if math.IsNaN(low) {
			return "–"
		}
		return fmt.Sprintf("%.1f–%.1f %%", 100*low, 100*high)
	},
}).Parse(pageSource))

const (
	// maxPageImages is how many galaxies the page takes at a time. Each is predicted in views images.
	maxPageImages = 8
	// views is the number of turns and flips, of which the first is the image as it is (imagefile.Shape.Turn).
	views = 8
	// pictureSide and pictureBudget are of images on the page: px, bytes.
	pictureSide, pictureBudget = 256, 60_000
	// rarely is the fraction of volunteers below which a question is folded away.
	rarely = 0.1
)

// upload is a file that a person gave to the page.
type upload struct {
	name string // as the person's machine calls it; text, and nothing else
	file []byte
}

// A shown galaxy is what the page says about an upload.
type shown struct {
	Name, Error string
	Says        answered // the most probable answer to the first question
	Moves       float64  // largest change of an answer under views, NaN if there are no views
	MovesWhat   string
	Image, Map  template.HTML
	Often, Rare []asked // questions
	Neighbours  []shownNeighbour
}

// asked is a question with the probabilities of its answers.
type asked struct {
	Number  int
	Text    string
	Reached float64
	Answers []answered
}

type answered struct {
	Text                   string
	column                 int
	Best                   bool
	Probability, Low, High float64 // Low and High are of all views
}

// A Neighbour is a galaxy that the network sees as similar.
type Neighbour struct {
	ID         string
	Pixels     []byte // uint8 [Size, Size, Channels]
	Similarity float32
}

type shownNeighbour struct {
	ID         string
	Similarity float32
	Image      template.HTML
}

// page answers with the page, and to a POST with what the model says about the uploads. Nothing is kept of them.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	begin, code := time.Now(), http.StatusOK
	p, err := s.makePage(w, r)
	if err != nil {
		// The page says it in the place of an answer.
		code = httpStatus(err)
		p = s.pageOf(r, statusOf(err).Message(), nil)
	}
	s.metrics.answered("page", strings.ToLower(r.Method), begin, err)
	p.Serve(w, code)
}

func (s *Server) makePage(w http.ResponseWriter, r *http.Request) (page.Page, error) {
	if r.Method != http.MethodPost {
		return s.pageOf(r, "", nil), nil
	}
	v, release, err := s.use(0)
	if err != nil {
		return page.Page{}, err
	}
	defer release()
	if v.model.Decoder == nil {
		return page.Page{}, invalid("the model takes no image files")
	}
	body, done, err := s.readBody(w, r)
	if err != nil {
		return page.Page{}, err
	}
	defer done()
	uploads, err := readForm(r.Header.Get("Content-Type"), body, s.cfg.MaxItems)
	if err != nil {
		return page.Page{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	all, err := s.look(ctx, v, uploads)
	if err != nil {
		return page.Page{}, err
	}
	return s.pageOf(r, "", all), nil
}

// readForm reads the form of the page: files, and the names of examples. It keeps all in memory, where net/http's own
// would write large files to the disk. The API takes most images at a time.
func readForm(kind string, body []byte, most int) (uploads []upload, err error) {
	r := http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(body))}
	form, err := r.MultipartReader()
	if err != nil {
		return nil, invalid("the form was not sent as multipart/form-data")
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, invalid("the form is damaged: %v", err)
		}
		u, ok, err := readPart(part)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if len(uploads) == maxPageImages {
			return nil, invalid("More than %d images: choose up to %[1]d, or send up to %d by the API", maxPageImages, most)
		}
		uploads = append(uploads, u)
	}
	if len(uploads) == 0 {
		return nil, invalid("no image was chosen: expected 1 to %d files, or one of the examples", maxPageImages)
	}
	return uploads, nil
}

// readPart reads one part of the form. ok is false for an empty one.
func readPart(part *multipart.Part) (u upload, ok bool, err error) {
	content, err := io.ReadAll(part)
	if err != nil {
		return u, false, invalid("the form is damaged: %v", err)
	}
	switch part.FormName() {
	case "example":
		name := string(content)
		if !slices.Contains(exampleNames(), name) {
			return u, false, invalid("there is no example %q", clip(content))
		}
		file, err := examples.ReadFile("examples/" + name + ".jpg")
		return upload{"example " + name, file}, true, err
	case "images":
		return upload{part.FileName(), content}, len(content) > 0, nil
	}
	return u, false, nil
}

var exampleNames = sync.OnceValue(func() (names []string) {
	entries, err := fs.ReadDir(examples, "examples")
	if err != nil {
		panic(err) // the program's own files
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".jpg"))
	}
	return names
})

// look predicts the uploads under all views and explains the answers.
func (s *Server) look(ctx context.Context, v *version, uploads []upload) ([]shown, error) {
	m, image := v.model, v.model.Shape.Bytes()
	if err := s.admit(len(uploads) * views); err != nil {
		return nil, err
	}
	defer s.queued.Add(-int64(len(uploads) * views))
	var files [][]byte
	for _, u := range uploads {
		files = append(files, u.file)
	}
	images, errs, err := s.decode(ctx, m, files)
	if err != nil {
		return nil, err
	}
	turned := make([]byte, 0, len(images)*views)
	for view := range views {
		turned = turned[:len(turned)+len(images)]
		m.Shape.Turn(turned[len(turned)-len(images):], images, view)
	}
	good := len(images) / image
	var a answers
	if good > 0 {
		if a, err = s.network(ctx, v, turned, func() {}); err != nil {
			return nil, err
		}
	}
	var all []shown
	at := 0 // among the good ones
	for i, u := range uploads {
		name := u.name
		if name == "" {
			name = fmt.Sprintf("image %d", i+1)
		}
		if errs != nil && errs[i] != nil {
			all = append(all, shown{Name: name, Error: message(errs[i])})
			continue
		}
		one, err := m.show(images[at*image:(at+1)*image], a, at, good)
		if err != nil {
			return nil, err
		}
		one.Name, at = name, at+1
		all = append(all, one)
	}
	return all, nil
}

// show describes image at of good ones, whose answers under view k are row k·good + at of a.
func (m *Model) show(pixels []byte, a answers, at, good int) (one shown, err error) {
	schema, width := m.Target.Predicted(), m.width()
	rows := make([][]float32, views)
	for k := range rows {
		row := k*good + at
		if a.errs != nil && a.errs[row] != nil {
			return shown{Error: message(a.errs[row])}, nil
		}
		rows[k] = a.probabilities[row*width : (row+1)*width]
	}
	one = describe(schema, rows)
	if one.Image, err = pictureOf(m.Shape.Picture(pixels), "the image as the network sees it"); err != nil {
		return one, err
	}
	if m.GradCAM != nil {
		maps, err := m.GradCAM(pixels, []int{one.Says.column})
		if err != nil {
			return one, err
		}
		over, err := explain.Overlay(pixels, m.Shape, maps[0], 0.6)
		if err != nil {
			return one, err
		}
		if one.Map, err = pictureOf(over, "the same image; bright where it spoke for the answer"); err != nil {
			return one, err
		}
	}
	if m.Neighbours == nil {
		return one, nil
	}
	near, err := m.Neighbours(pixels)
	for _, n := range near {
		if err == nil {
			var picture template.HTML
			picture, err = pictureOf(m.Shape.Picture(n.Pixels), "galaxy "+n.ID)
			one.Neighbours = append(one.Neighbours, shownNeighbour{n.ID, n.Similarity, picture})
		}
	}
	return one, err
}

// describe makes the questions of predictions, of which the first is the image as it is and the others are other views.
func describe(schema *labels.Schema, rows [][]float32) (one shown) {
	conditional := make([][]float32, len(rows))
	for k, row := range rows {
		conditional[k] = make([]float32, len(row))
		schema.Conditional(conditional[k], row)
	}
	for i, q := range schema.Questions() {
		a := asked{Number: q.Number, Text: q.Text, Reached: schema.Reached(rows[0], i)}
		best := 0
		for j, answer := range q.Answers {
			p := answered{Text: answer.Text, column: q.First + j, Probability: float64(conditional[0][q.First+j])}
			p.Low, p.High = p.Probability, p.Probability
			for k := range rows {
				if v := float64(conditional[k][q.First+j]); !math.IsNaN(v) {
					p.Low, p.High = min(p.Low, v), max(p.High, v)
				}
			}
			if moves := max(p.High-p.Probability, p.Probability-p.Low); a.Reached >= rarely && moves > one.Moves {
				one.Moves, one.MovesWhat = moves, answer.Text
			}
			if p.Probability > float64(conditional[0][q.First+best]) {
				best = j
			}
			a.Answers = append(a.Answers, p)
		}
		a.Answers[best].Best = true
		if i == 0 {
			one.Says = a.Answers[best]
		}
		if a.Reached < rarely {
			one.Rare = append(one.Rare, a)
			continue
		}
		one.Often = append(one.Often, a)
	}
	return one
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]{1,200}$`)

// pageOf makes the page, with a message about an error, or with the answers.
func (s *Server) pageOf(r *http.Request, failure string, all []shown) page.Page {
	host := r.Host // a client's word
	if !hostName.MatchString(host) {
		host = "127.0.0.1:8501"
	}
	data := struct {
		Failure, Name, Host       string
		Version                   int64
		Size, Channels, Most      int
		Formats, File, Alone      string
		Files, Explains, Compares bool
		Examples                  []example
		Galaxies                  []shown
	}{Failure: failure, Name: s.cfg.Name, Host: host, Most: maxPageImages, Galaxies: all}
	if v, release, err := s.use(0); err == nil {
		defer release()
		m := v.model
		data.Version, data.Size, data.Channels = v.number, m.Shape.Size, m.Shape.Channels
		data.Files, data.Explains, data.Compares = m.Decoder != nil, m.GradCAM != nil, m.Neighbours != nil
		data.Alone, data.Formats, data.File = m.Alone, m.formats(), "galaxy.jpg"
		if !m.Stretch.IsZero() {
			data.File = "galaxy.fits"
		}
		data.Examples = v.examples
	}
	section := func(id, title string) page.Section {
		var b bytes.Buffer
		if err := pageParts.ExecuteTemplate(&b, id, data); err != nil {
			return page.Section{ID: id, Title: title, Body: template.HTML(template.HTMLEscapeString(err.Error()))} //nolint:gosec // escaped
		}
		return page.Section{ID: id, Title: title, Body: template.HTML(b.String())} //nolint:gosec // a template wrote it
	}
	p := page.Page{Title: "galaxy", Lead: template.HTML(template.HTMLEscapeString(fmt.Sprintf("The model %s, version %d", s.cfg.Name, data.Version))), Style: pageStyle, Script: pageScript, Form: true}
	if failure != "" || all != nil {
		p.Sections = append(p.Sections, section("answer", "What the network says"))
	}
	p.Sections = append(p.Sections, section("ask", "Give it a galaxy"), section("api", "The same from a program"))
	return p
}

// An example is a galaxy that the page offers.
type example struct {
	Name  string
	Image template.HTML
}

// examples returns the examples that the model can take.
func (m *Model) examples(pixels int) (all []example) {
	if m.Decoder == nil {
		return nil
	}
	image := make([]byte, m.Shape.Bytes())
	for _, name := range exampleNames() {
		file, err := examples.ReadFile("examples/" + name + ".jpg")
		if err == nil {
			err = m.decode(image, file, pixels)
		}
		var picture template.HTML
		if err == nil {
			picture, err = pictureOf(m.Shape.Picture(image), "")
		}
		if err == nil { // another crop, or bands that a JPEG does not have
			all = append(all, example{name, picture})
		}
	}
	return all
}

// pictureOf returns an image element, enlarged so that pixels can be seen.
func pictureOf(m image.Image, alt string) (template.HTML, error) {
	p, err := page.Encode(m, pictureSide, pictureBudget)
	if err != nil {
		return "", err
	}
	if p.Width < pictureSide {
		p.Width, p.Height = pictureSide, pictureSide*p.Height/p.Width
	}
	return p.HTML(alt), nil
}
