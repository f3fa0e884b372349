package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/urfave/cli/v2"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/explain"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/predict"
	"galaxy/train"
)

func neighboursCommand() *cli.Command {
	return &cli.Command{
		Name:  "neighbours",
		Usage: "find the galaxies that a network sees as most similar to one",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "like", Category: catInput, Usage: "`ID|FILE`: a galaxy of those that are searched, or an image file"},
			&cli.StringFlag{Name: "model", Category: catInput, Usage: "`RUN|SAVEDMODEL` folder that computes the features; not needed for a galaxy of --features"},
			&cli.StringFlag{Name: "data", Category: catInput, Usage: "`CACHE` to search; beside --features, the one with the labels and images of its galaxies"},
			&cli.StringFlag{Name: "split", Category: catInput, Value: data.All.String(), Usage: "galaxies of the cache to search: train, validation, test, or all"},
			&cli.StringFlag{Name: "features", Category: catInput, Usage: "`FILE`.parquet, .npy or .csv to search, made by galaxy embed"},
			&cli.StringFlag{Name: "crop", Category: catInput, Usage: "the centre of an image file: `PX` pixels, or a fraction of the shorter side, such as 53%", DefaultText: "as the model was trained"},
			&cli.IntFlag{Name: "k", Category: catOutput, Value: 10, Usage: "galaxies to find"},
			&cli.StringFlag{Name: "sheet", Category: catOutput, Usage: "draw the galaxy and its neighbours to `PNG`; must not exist"},
			&cli.StringFlag{Name: "precision", Category: catSpeed, Value: string(network.Auto), Usage: "precision of a run's convolutions: auto, float32, bfloat16 or float16"},
			threadsFlag(catSpeed), gpuMemoryFlag(catSpeed),
		},
		Action: neighboursAction,
	}
}

// similar is a galaxy in the result of neighbours.
type similar struct {
	ID       string  `json:"id"`
	Cosine   float32 `json:"cosine"`
	Distance float64 `json:"distance"` // 1 − cosine, not below 0
	// What the cache has of it, if it has it.
	Split  string             `json:"split,omitempty"`
	Answer string             `json:"answer,omitempty"` // the largest to the first question, or the class
	Labels map[string]float32 `json:"labels,omitempty"` // by column
	pixels []byte
	short  string // the answer on a tile
}

// surroundings is the result of neighbours.
type surroundings struct {
	Like       similar   `json:"like"`
	Model      string    `json:"model,omitempty"`
	Data       string    `json:"data,omitempty"`
	Features   string    `json:"features,omitempty"`
	Galaxies   int       `json:"galaxies"` // searched
	Neighbours []similar `json:"neighbours"`
	Sheet      string    `json:"sheet,omitempty"`
}

func neighboursAction(c *cli.Context) (err error) {
	session, split, err := checkNeighbours(c)
	if err != nil {
		return err
	}
	from := members{file: c.String("features")}
	if dir := c.String("data"); dir != "" {
		if from.cache, err = data.Open(dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, from.cache.Close()) }()
		from.which = from.cache.Indices(split)
	}
	var model opened
	if c.String("model") != "" {
		var closeModel func() error
		if model, from.model, closeModel, err = openFeatures(c, session, from); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeModel()) }()
	}
	like := similar{ID: c.String("like"), Cosine: 1}
	query, err := from.features(c.Context, like.ID)
	isMember := query != nil
	if err == nil && !isMember {
		query, like.pixels, err = featuresOfFile(c, model, from)
	}
	if err != nil {
		return err
	}
	bar := newBar(c, "neighbours", "img")
	found, searched, err := from.nearest(c.Context, query, c.Int("k")+1, bar.set)
	if err := bar.close(err); err != nil {
		return err
	}
	if isMember { // it is its own nearest
		found = slices.DeleteFunc(found, func(s similar) bool { return s.ID == like.ID })
		err = from.describe(&like)
	}
	found = found[:min(len(found), c.Int("k"))]
	for i := range found {
		err = errors.Join(err, from.describe(&found[i]))
	}
	if err != nil {
		return err
	}
	result := surroundings{
		like, c.String("model"), c.String("data"), c.String("features"), searched, found, c.String("sheet"),
	}
	if result.Sheet != "" {
		if !slices.ContainsFunc(found, func(s similar) bool { return s.pixels != nil }) {
			return fmt.Errorf("--sheet: cache %s has none of the galaxies that were found in %s, so there is nothing to draw: name the cache that they are from with --data", from.cache.Dir(), from.name())
		}
		if err := writeNeighbours(result.Sheet, from.cache.Shape(), append([]similar{like}, found...)); err != nil {
			return err
		}
	}
	return report(c, result, func(w io.Writer) { printSurroundings(w, result) })
}

// checkNeighbours checks the flags that can be checked before anything is opened.
func checkNeighbours(c *cli.Context) (session session.Config, split data.Split, err error) {
	needed := []string{"like"}
	if c.String("features") == "" {
		needed = append(needed, "model", "data")
	}
	if err := checkArguments(c, needed...); err != nil {
		return session, split, err
	}
	session, sessionErr := sessionOf(c)
	split, splitErr := data.ParseSplit(c.String("split"))
	if splitErr != nil {
		splitErr = fmt.Errorf("--split: %w", splitErr)
	}
	_, cropErr := cropAlone(c)
	errs := []error{sessionErr, splitErr, cropErr, network.Precision(c.String("precision")).Validate()}
	if c.Int("k") < 1 {
		errs = append(errs, fmt.Errorf("--k %d: expected 1 or more", c.Int("k")))
	}
	if c.String("features") != "" && c.IsSet("split") {
		errs = append(errs, errors.New("--split: all galaxies of --features are searched: give the split to galaxy embed, or leave --features out"))
	}
	if c.String("sheet") != "" && c.String("data") == "" {
		errs = append(errs, errors.New("--sheet: the images are those of a cache: name it with --data"))
	}
	if err := errors.Join(errs...); err != nil {
		return session, split, usage.Error{Err: err}
	}
	return session, split, checkSheet(c)
}

// openFeatures opens the model.
func openFeatures(c *cli.Context, sessionConfig session.Config, from members) (opened, *explain.Model, func() error, error) {
	if err := useNewest(c); err != nil {
		return opened{}, nil, nil, err
	}
	other, err := externalFlags(c)
	if err != nil {
		return opened{}, nil, nil, err
	}
	name := c.String("model")
	model, err := openAny(name, sessionConfig, network.Precision(c.String("precision")), other)
	if err != nil {
		return opened{}, nil, nil, err
	}
	m, err := explain.New(model.Predictor)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	} else if from.cache != nil {
		err = model.fitsImages(name, from.cache.Manifest())
	}
	if err != nil {
		return opened{}, nil, nil, errors.Join(err, model.close())
	}
	return model, m, model.close, nil
}

// members are the galaxies that are searched: those of a file of features or, if there is none, of a cache.
type members struct {
	file  string         // "" if a model computes the features
	model *explain.Model // nil if it is not needed
	cache *data.Cache    // nil if there is none
	which []int          // of the cache's galaxies
}

// name returns what the galaxies are of.
func (m members) name() string {
	if m.file != "" {
		return m.file
	}
	return "cache " + m.cache.Dir()
}

// features returns the features of a galaxy, nil if there is no such galaxy.
func (m members) features(ctx context.Context, id string) (features []float32, err error) {
	if m.file == "" {
		i, ok := m.cache.Find(data.ID(id))
		if !ok {
			return nil, nil
		}
		// In the batch in which the search computes them, on which the last bits depend.
		batch := []int{i}
		if at, ok := slices.BinarySearch(m.which, i); ok {
			first := at - at%membersAtATime
			batch = m.which[first:min(first+membersAtATime, len(m.which))]
		}
		all, err := m.model.ReadFeatures(ctx, m.cache.Images(batch), len(batch))
		if err != nil {
			return nil, err
		}
		return all[slices.Index(batch, i)*m.model.Channels():][:m.model.Channels()], nil
	}
	err = predict.EachRow(m.file, func(key string, values []float32) error {
		if key == id {
			features = slices.Clone(values)
			return io.EOF // the rest does not matter
		}
		return nil
	})
	if errors.Is(err, io.EOF) && features != nil {
		err = nil
	}
	return features, err
}

// membersAtATime is how many galaxies of a cache the network sees at a time, as many as embed shows it unless --batch says so.
const membersAtATime = train.EvalBatch

// nearest returns the k nearest galaxies, and the number of all. It needs memory for a part of them and their ids.
func (m members) nearest(ctx context.Context, query []float32, k int, progress func(done, total int)) (found []similar, searched int, err error) {
	search, err := explain.NewSearch(query, len(query), k)
	if err != nil {
		return nil, 0, err
	}
	var ids []string
	if m.file != "" {
		err = predict.EachRow(m.file, func(key string, values []float32) error {
			if len(values) != len(query) {
				return fmt.Errorf("%s has %d features of each galaxy, the model %d: it is of another model", m.file, len(values), len(query))
			}
			ids = append(ids, key)
			if err := search.Add(values); err != nil {
				return fmt.Errorf("%s: galaxy %s: %w", m.file, key, err)
			}
			return ctx.Err()
		})
	} else {
		for some := range slices.Chunk(m.which, membersAtATime) {
			features, err := m.model.ReadFeatures(ctx, m.cache.Images(some), len(some))
			if err == nil {
				err = search.Add(features)
			}
			if err != nil {
				return nil, 0, err
			}
			for _, i := range some {
				ids = append(ids, string(m.cache.ID(i)))
			}
			progress(len(ids), len(m.which))
		}
	}
	if err == nil && len(ids) == 0 {
		err = fmt.Errorf("there is no galaxy in the part of %s that is searched", m.name())
	}
	if err != nil {
		return nil, 0, err
	}
	for _, n := range search.Found()[0] {
		found = append(found, similar{ID: ids[n.Index], Cosine: n.Similarity, Distance: max(0, 1-float64(n.Similarity))})
	}
	return found, len(ids), nil
}

// describe adds what the cache has of a galaxy.
func (m members) describe(s *similar) error {
	if m.cache == nil {
		return nil
	}
	i, ok := m.cache.Find(data.ID(s.ID))
	if !ok {
		return nil // of a file of features of other galaxies
	}
	for split := range data.All {
		if _, in := slices.BinarySearch(m.cache.Indices(split), i); in {
			s.Split = split.String()
		}
	}
	row := m.cache.Labels(i)
	text, value := answerOf(m.cache.Schema(), row)
	s.Answer, s.Labels, s.short = text+value, map[string]float32{}, caption(m.cache.Schema(), row)
	for k, column := range m.cache.Schema().Columns() {
		s.Labels[column] = row[k]
	}
	s.pixels = make([]byte, m.cache.Shape().Bytes())
	return m.cache.ReadImage(s.pixels, i)
}

// featuresOfFile returns the pixels and the features of the image file that --like names.
func featuresOfFile(c *cli.Context, model opened, from members) (features []float32, pixels []byte, err error) {
	name := c.String("like")
	switch {
	case !exists(name):
		return nil, nil, fmt.Errorf("--like %s: %s has no galaxy of this id, and there is no such image file", name, from.name())
	case from.model == nil:
		return nil, nil, usage.Error{Err: fmt.Errorf("--like %s is an image file: give the model that computes its features with --model", name)}
	}
	crop, err := cropAlone(c)
	if err != nil {
		return nil, nil, err
	}
	if crop == 0 {
		crop = model.crop
	}
	if err := model.takesFiles(c.String("model"), crop); err != nil {
		return nil, nil, err
	}
	decoder, err := images.NewDecoder(crop, model.shape.Size)
	if err != nil {
		return nil, nil, usage.Error{Err: err}
	}
	defer func() { err = errors.Join(err, decoder.Close()) }()
	file, err := data.OpenImagesAs(name, data.TestImages, data.Layout{ByPath: true, Bands: model.bands})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if file.Len() != 1 {
		return nil, nil, fmt.Errorf("--like %s: it holds %d images: expected one", name, file.Len())
	}
	file.Bands, file.Stretch = model.bands, model.stretch
	pixels = make([]byte, model.shape.Bytes())
	if _, err := file.Decode(pixels, 0, decoder, nil); err != nil {
		return nil, nil, fmt.Errorf("--like %s: %w", name, err)
	}
	features, err = from.model.Features(pixels)
	return features, pixels, err
}

// writeNeighbours draws the first galaxy and those that are similar to it, most similar first.
func writeNeighbours(name string, shape imagefile.Shape, galaxies []similar) error {
	const lines = 3
	height := tileSide + lines*lineHeight + tileGap
	sheet := blankSheet(tileGap+sheetColumns*(tileSide+tileGap), tileGap+(len(galaxies)+sheetColumns-1)/sheetColumns*height)
	for k, g := range galaxies {
		near := fmt.Sprintf("%.4f %s", g.Cosine, g.Split)
		if k == 0 {
			near = "like this"
		}
		drawTile(sheet, tileGap+k%sheetColumns*(tileSide+tileGap), tileGap+k/sheetColumns*height, shape, g.pixels, path.Base(g.ID), g.short, near)
	}
	picture, err := encodeSheet(sheet)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(name, picture); err != nil {
		return fmt.Errorf("write the sheet: %w", err)
	}
	return nil
}

func printSurroundings(w io.Writer, r surroundings) {
	what := r.Data
	if r.Features != "" {
		what = r.Features
	}
	about := ""
	if r.Like.Answer != "" {
		about = fmt.Sprintf(" (%s, %s)", r.Like.Answer, r.Like.Split)
	}
	fmt.Fprintf(w, "like %s%s, of %s in %s\n", r.Like.ID, about, usage.Count(r.Galaxies, "galaxy"), what)
	t := newTable(w)
	t.row("id", "cosine", "distance", "split", "answer")
	for _, n := range r.Neighbours {
		t.row(n.ID, fmt.Sprintf("%.4f", n.Cosine), fmt.Sprintf("%.4f", n.Distance), n.Split, n.Answer)
	}
	t.Flush()
	if r.Sheet != "" {
		fmt.Fprintf(w, "\nsheet: %s\n", r.Sheet)
	}
}
