package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"galaxy/data"
	"galaxy/labels"
	"galaxy/report/page"
)

// How many galaxies the galleries have.
const (
	galaxiesShown   = 12
	typicalShown    = 6
	answersShown    = 8 // classes or answers whose typical galaxies are shown
	neighboursShown = 3
	sheetShown      = 6 // galaxies of each class in the contact sheet
)

// A gallery is a set of galaxies of the evaluation with something in common.
type gallery struct {
	ID, Title, About string
	members          []int // of the evaluation
	items            []page.Item
}

// newGalleries chooses the galaxies.
// ofClasses tells that the label of a galaxy is a class rather than votes.
func newGalleries(c *choice, ofClasses bool) []gallery {
	beyond := " beyond the votes"
	if ofClasses {
		beyond = ""
	}
	all := []gallery{
		{ID: "right", Title: "Surest and right", About: "Predicted right, with the largest predicted fraction.", members: c.best(galaxiesShown, c.right, c.confidence)},
		{ID: "wrong", Title: "Surest and wrong", About: "Predicted wrong, with the largest predicted fraction" + beyond + ". Look here for wrong labels, too.", members: c.best(galaxiesShown, c.wrong, c.surprise)},
		{ID: "uncertain", Title: "Most uncertain", About: "The two largest predicted fractions are nearly equal.", members: c.best(galaxiesShown, func(k int) bool { return true }, func(k int) float64 { return -c.margin(k) })},
	}
	for a, name := range c.names[:min(len(c.names), answersShown)] {
		all = append(all, gallery{ID: fmt.Sprintf("typical-%d", a+1), Title: "Typical: " + name, About: "Predicted right, and nearest to the mean prediction for those.", members: c.typical(typicalShown, a)})
	}
	return slices.DeleteFunc(all, func(g gallery) bool { return len(g.members) == 0 })
}

// galaxyDetail is what the template of a galaxy's details shows.
type galaxyDetail struct {
	ID        data.ID
	Picture   page.Picture
	Overlay   *page.Picture // where the network looked
	OverlayOf string        // the answer that the overlay is about
	Path      []node
	Classes   []branch // fractions predicted for the classes, if they are no question of Path
	Labelled  string   // names the column of the labels
	Near      []neighbour
}

// A neighbour is a galaxy of the train split that the network sees as similar.
type neighbour struct {
	ID         data.ID
	Picture    page.Picture
	Similarity float64
	Label      string
}

// drawGalleries fills in the items of the galleries.
func (r *Report) drawGalleries(cache *pictures, e *Evaluation, x *explainer) error {
	for n := range r.galleries {
		g := &r.galleries[n]
		for _, k := range g.members {
			item, err := r.choice.item(cache, e, x, k)
			if err != nil {
				return err
			}
			item.ID = fmt.Sprintf("%s-%d", g.ID, k)
			g.items = append(g.items, item)
		}
	}
	return nil
}

// item returns the k-th galaxy of the evaluation.
func (c *choice) item(cache *pictures, e *Evaluation, x *explainer, k int) (page.Item, error) {
	example := e.Examples[k]
	picture, err := cache.thumbnail(example, shown)
	if err != nil {
		return page.Item{}, err
	}
	name := func(a int) string {
		if a < 0 {
			return labels.Unclear
		}
		return c.names[a]
	}
	d := galaxyDetail{ID: cache.ID(example), Picture: enlarged(picture), OverlayOf: name(c.predicted[k]), Labelled: e.labelled()}
	if !e.Target.Derived() {
		d.Path = walk(e.Target, e.label(k), e.prediction(k))
	}
	if e.Target.Derived() || len(e.Target.Classes().Columns()) > 0 && !e.Target.OfClasses() {
		for a, name := range c.names {
			d.Classes = append(d.Classes, branch{Text: name, Predicted: c.scores[k][a], Voted: c.votes[k][a], Votes: -1, Chosen: a == c.predicted[k], Largest: a == c.truth[k]})
		}
	}
	if x != nil {
		if err := x.explain(&d, k, example, c.predicted[k]); err != nil {
			return page.Item{}, err
		}
	}
	caption := fmt.Sprintf("%s, %.0f\u00a0%%", name(c.predicted[k]), 100*c.confidence(k))
	said := "voted " + name(c.truth[k])
	switch {
	case e.ofClasses() && c.right(k):
		said = "right"
	case e.ofClasses():
		said = "labelled " + name(c.truth[k])
	case c.truth[k] >= 0:
		said += fmt.Sprintf(", %.0f\u00a0%%", 100*c.votes[k][c.truth[k]])
	}
	var detail strings.Builder
	if err := parts.ExecuteTemplate(&detail, "galaxy", d); err != nil {
		return page.Item{}, fmt.Errorf("write galaxy %s: %w", d.ID, err)
	}
	return page.Item{
		Title: "Galaxy " + string(d.ID), Picture: picture, Alt: fmt.Sprintf("galaxy %s, predicted %s, %s", d.ID, name(c.predicted[k]), said),
		Caption: template.HTML(template.HTMLEscapeString(caption) + "<br>" + template.HTMLEscapeString(said)),
		Detail:  template.HTML(detail.String()),
	}, nil
}

// labelOf describes a galaxy's label in a few words: its class, or the most frequent answer to the first question.
func labelOf(schema *labels.Schema, row []float32) string {
	if class := schema.ClassOf(row); class != labels.NoClass {
		return schema.ClassName(class)
	}
	q := schema.Source().Questions()[0]
	if a := largest(fractionsOf(row[:len(q.Answers)])); a >= 0 {
		return texts(q)[a]
	}
	return labels.Unclear
}

// A sheet is the contact sheet: galaxies of the train split, in galleries of each class or of each most frequent answer to
// the first question.
type sheet struct {
	note      template.HTML // about the images
	groups    int           // of which the largest are shown
	galleries []page.Gallery
	counts    []int // galaxies of the train split like those of each gallery
}

// contactSheet returns the contact sheet. Its galaxies are spread evenly over those in the cache.
func contactSheet(cache *pictures) (*sheet, error) {
	of := map[string][]int{}
	var names []string
	for _, i := range cache.Indices(data.Train) {
		name := labelOf(cache.Schema(), cache.Labels(i))
		if of[name] == nil {
			names = append(names, name)
		}
		of[name] = append(of[name], i)
	}
	slices.SortStableFunc(names, func(a, b string) int { return len(of[b]) - len(of[a]) })
	s := &sheet{note: cache.note(), groups: len(names)}
	for _, name := range names[:min(len(names), answersShown)] {
		g := page.Gallery{Label: name}
		good, _ := intact(cache.Cache, data.Spread(of[name], sheetShown))
		for _, i := range good {
			picture, err := cache.thumbnail(i, small)
			if err != nil {
				return nil, err
			}
			g.Items = append(g.Items, page.Item{
				ID: fmt.Sprintf("train-%d", i), Title: string(cache.ID(i)), Picture: picture, Alt: fmt.Sprintf("galaxy %s, %s", cache.ID(i), name),
				Caption: template.HTML(template.HTMLEscapeString(string(cache.ID(i)))),
			})
		}
		s.galleries, s.counts = append(s.galleries, g), append(s.counts, len(of[name]))
	}
	return s, nil
}

// html returns the sheet with as many images as f has room for.
func (s *sheet) html(f room) template.HTML {
	if s == nil || f.images == 0 {
		return ""
	}
	html := s.note
	if s.groups > len(s.galleries) {
		html += template.HTML(fmt.Sprintf("<p>Shown are the %d largest of %d groups.</p>", len(s.galleries), s.groups))
	}
	for k, g := range s.galleries {
		g.Items = g.Items[:f.of(len(g.Items))]
		html += template.HTML(fmt.Sprintf("<h4>%s: %d galaxies of the train split</h4>", template.HTMLEscapeString(g.Label), s.counts[k])) + g.HTML()
	}
	return html
}
