package report

import (
	"context"
	"fmt"
	"html/template"

	"galaxy/data"
	"galaxy/report/page"
)

// Limits of the leak audit.
const (
	// nearImages is the number of images up to which nearly equal ones are searched for: the search reads all of
	// them, which takes about 10 s of a core for as many of 64 px.
	nearImages = 20000
	pairsShown = 12
)

// leaks are galaxies that are in several splits, or nearly.
type leaks struct {
	*data.Copies
	Pairs   template.HTML // images of pairs across splits
	Alike   template.HTML // images of pairs whose features are nearly equal
	alike   int           // number of these pairs
	Skipped bool          // nearly equal images were not searched for, because there are too many
	damaged error         // why they were not searched for, otherwise
}

// audit searches the cache for images that are in two splits.
func audit(ctx context.Context, cache *pictures) (*leaks, error) {
	l := &leaks{Skipped: cache.Len() > nearImages}
	var err error
	if l.Copies, err = cache.Copies(ctx, !l.Skipped); err != nil && ctx.Err() == nil && !l.Skipped {
		l.damaged = err
		l.Copies, err = cache.Copies(ctx, false) // by their checksums, for which no image is read
	}
	if err != nil {
		return nil, err
	}
	index := map[data.ID]int{}
	for i := range cache.Len() {
		index[cache.ID(i)] = i
	}
	var crossing []leakPair
	for _, p := range l.Copies.Pairs {
		a, b := index[p.A], index[p.B]
		if len(crossing) == pairsShown {
			break
		}
		if p.SplitA == p.SplitB {
			continue
		}
		if _, damaged := intact(cache.Cache, []int{a, b}); damaged == 0 {
			crossing = append(crossing, leakPair{a, b, p.SplitA, p.SplitB, p.Similarity})
		}
	}
	l.Pairs, err = pairSheet(cache, "copies", crossing)
	return l, err
}

// A leakPair is two examples of a cache.
type leakPair struct {
	a, b           int
	splitA, splitB string
	similarity     float64
}

// pairSheet shows pairs of galaxies side by side; "" if there are none.
func pairSheet(cache *pictures, id string, pairs []leakPair) (template.HTML, error) {
	g := page.Gallery{Label: "pairs of galaxies that are alike"}
	for n, p := range pairs {
		for side, i := range []int{p.a, p.b} {
			picture, err := cache.thumbnail(i, small)
			if err != nil {
				return "", err
			}
			split, what := p.splitA, fmt.Sprintf("pair %d, similarity %.3f", n+1, p.similarity)
			if side == 1 {
				split = p.splitB
			}
			label := labelOf(cache.Schema(), cache.Labels(i))
			g.Items = append(g.Items, page.Item{
				ID: fmt.Sprintf("%s-%d-%d", id, n+1, side+1), Title: string(cache.ID(i)), Picture: picture,
				Alt:     fmt.Sprintf("galaxy %s of the %s split, %s: %s", cache.ID(i), split, label, what),
				Caption: template.HTML(template.HTMLEscapeString(fmt.Sprintf("%s (%s)", cache.ID(i), split)) + "<br>" + template.HTMLEscapeString(label+"; "+what)),
			})
		}
	}
	if len(g.Items) == 0 {
		return "", nil
	}
	return cache.note() + g.HTML(), nil
}
