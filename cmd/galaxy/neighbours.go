package main

import (
	"context"
	"errors"
	"fmt"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/explain"
	"galaxy/serve"
)

const (
	// compared is how many galaxies of a cache are candidates for neighbours, spread evenly over it: more would
	// only make the start longer.
	compared = 2000
	// neighboursShown is how many of them are shown.
	neighboursShown = 5
)

// neighbours returns the galaxies of a cache's train split, or of all of it if that has none, that a model sees as most similar to an image.
// The cache stays open until close is called.
func neighbours(m *explain.Model, shape imagefile.Shape, dir string) (near func(image []byte) ([]serve.Neighbour, error), closeCache func() error, err error) {
	cache, err := data.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, cache.Close())
		}
	}()
	if cache.Shape() != shape {
		return nil, nil, fmt.Errorf("cache %s has images of %v, the model takes %v: give the cache it was trained on", dir, cache.Shape(), shape)
	}
	which := data.Spread(cache.Indices(data.Train), compared)
	if len(which) == 0 {
		return nil, nil, fmt.Errorf("cache %s has no train split to compare with", dir)
	}
	set, err := m.ReadFeatures(context.Background(), cache.Images(which), len(which))
	if err != nil {
		return nil, nil, err
	}
	near = func(image []byte) ([]serve.Neighbour, error) {
		query, err := m.Features(image)
		if err != nil {
			return nil, err
		}
		found, err := explain.Nearest(query, set, m.Channels(), neighboursShown)
		if err != nil {
			return nil, err
		}
		var shown []serve.Neighbour
		for _, n := range found[0] {
			pixels := make([]byte, shape.Bytes())
			if err := cache.ReadImage(pixels, which[n.Index]); err != nil {
				return nil, err
			}
			shown = append(shown, serve.Neighbour{ID: string(cache.ID(which[n.Index])), Pixels: pixels, Similarity: n.Similarity})
		}
		return shown, nil
	}
	return near, cache.Close, nil
}
