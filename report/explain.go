package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"galaxy/data"
	"galaxy/explain"
	"galaxy/graph"
	"galaxy/internal/usage"
	"galaxy/labels"
	"galaxy/report/page"
)

// featuresOf is the largest number of galaxies of the train split that are searched for neighbours: their features
// take a pass of the network.
const featuresOf = 1500

// alike is the cosine of the features of two galaxies from which on the leak audit shows them. Features are not
// negative, so any two galaxies have a large one.
const alike = 0.995

// An explainer knows where a network looked, and which galaxies it sees as similar.
type explainer struct {
	model  *explain.Model
	cache  *pictures
	target *labels.Schema
	// columns are the outputs that stand for the answers of the choice.
	columns []int
	// train are galaxies of the train split, and near those that are the most similar to each galaxy of the
	// evaluation.
	train   []int
	damaged int // galaxies of the sample that are left out
	near    [][]explain.Neighbour
}

// newExplainer computes the features of a sample of the train split and of the galaxies of an evaluation.
// A network that has no features is an error, explain.ErrUnrecorded.
func newExplainer(ctx context.Context, network *graph.Predictor, cache *pictures, e *Evaluation) (*explainer, error) {
	if network == nil {
		return nil, explain.ErrUnrecorded
	}
	m, err := explain.New(network)
	if err != nil {
		return nil, err
	}
	x := &explainer{model: m, cache: cache, target: e.Target, columns: answerColumns(e.Target)}
	x.train, x.damaged = intact(cache.Cache, data.Spread(cache.Labelled(data.Train, e.Target), featuresOf))
	set, err := m.ReadFeatures(ctx, cache.Images(x.train), len(x.train))
	if err != nil {
		return nil, err
	}
	queries, err := m.ReadFeatures(ctx, cache.Images(e.Examples), len(e.Examples))
	if err != nil {
		return nil, err
	}
	x.near, err = explain.Nearest(queries, set, m.Channels(), neighboursShown)
	return x, err
}

// answerColumns returns the output that stands for each answer of the choice.
func answerColumns(target *labels.Schema) []int {
	columns := target.ClassColumns()
	if len(columns) == 0 {
		for a := range target.Questions()[0].Answers {
			columns = append(columns, a)
		}
	}
	return columns
}

// explain adds to the details of the k-th galaxy of the evaluation where the network looked for an answer of the
// choice, and its neighbours.
func (x *explainer) explain(d *galaxyDetail, k, example, answer int) error {
	if answer >= 0 {
		pixels := make([]byte, x.cache.Shape().Bytes())
		if err := x.cache.ReadImage(pixels, example); err != nil {
			return err
		}
		maps, err := x.model.GradCAM(pixels, []int{x.columns[answer]})
		if err != nil {
			return err
		}
		if pixels, err = x.cache.read(example); err != nil {
			return err
		}
		m, err := explain.Overlay(pixels, x.cache.Shape(), maps[0], 0.6)
		if err != nil {
			return err
		}
		picture, err := page.Encode(m, shown.side, shown.bytes)
		if err != nil {
			return err
		}
		picture = enlarged(picture)
		d.Overlay = &picture
	}
	for _, n := range x.near[k] {
		i := x.train[n.Index]
		picture, err := x.cache.thumbnail(i, small)
		if err != nil {
			return err
		}
		d.Near = append(d.Near, neighbour{x.cache.ID(i), picture, float64(n.Similarity), labelOf(x.cache.Schema(), x.cache.Labels(i))})
	}
	return nil
}

// about says how neighbours were searched.
func (x *explainer) about() string {
	all := len(x.cache.Labelled(data.Train, x.target))
	text := " Neighbours are galaxies of the train split whose last features have the largest cosine."
	if len(x.train) < all {
		text += fmt.Sprintf(" They were searched among %d of its %d galaxies.", len(x.train), all)
	}
	if x.damaged > 0 {
		text += fmt.Sprintf(" %s left out, because the image is damaged.", usage.Count(x.damaged, "galaxy"))
	}
	return text
}

// pairs returns the galaxies of an evaluation and of the train split whose features are nearly equal, the most similar
// first.
func (x *explainer) pairs(e *Evaluation) []leakPair {
	var all []leakPair
	for k, near := range x.near {
		if len(near) > 0 && near[0].Similarity >= alike {
			all = append(all, leakPair{e.Examples[k], x.train[near[0].Index], e.Split.String(), data.Train.String(), float64(near[0].Similarity)})
		}
	}
	slices.SortStableFunc(all, func(a, b leakPair) int { return cmp.Compare(b.similarity, a.similarity) })
	return all
}

// showGalaxies chooses and draws the galleries, and adds to the leak audit what the network sees as the same.
func (r *Report) showGalaxies(ctx context.Context, cache *pictures, m Model, e *Evaluation) error {
	r.choice = newChoice(e, cache.Labels)
	r.galleries = newGalleries(r.choice, e.ofClasses())
	x, err := newExplainer(ctx, m.Network, cache, e)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		x = nil
		r.lack("The galaxies are shown without neighbours and without where the network looked: %v.", err)
	} else {
		r.aboutNeighbours = x.about()
		if r.leaks != nil {
			pairs := x.pairs(e)
			r.leaks.alike = len(pairs)
			r.leaks.Alike, err = pairSheet(cache, "alike", pairs[:min(len(pairs), pairsShown)])
		}
	}
	return errors.Join(err, r.drawGalleries(cache, e, x))
}
