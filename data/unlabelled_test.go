package data

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"galaxy/data/imagefile"
	"galaxy/labels"
)

// Images without labels make the cache that they make with labels, but for these: same ids, splits and pixels. A
// cache with labels can be read as one without.
func TestUnlabelled(t *testing.T) {
	s := makeSource(t, 40)
	with, without := s.config(filepath.Join(t.TempDir(), "with")), s.config(filepath.Join(t.TempDir(), "without"))
	without.Labels, without.Schema, without.Crop, without.Bands = "", labels.None(), DefaultCrop, imagefile.RGB
	var caches [2]*Cache
	for i, config := range []PrepareConfig{with, without} {
		if _, err := Prepare(context.Background(), config, hashDecoder{}); err != nil {
			t.Fatal(err)
		}
		c, err := Open(config.Out)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		caches[i] = c
	}
	a, b := caches[0], caches[1]
	if !b.Schema().IsNone() || len(b.Labels(0)) != 0 || a.Manifest().Counts != b.Manifest().Counts {
		t.Errorf("schema %v, counts %+v: expected none, and %+v", b.Schema(), b.Manifest().Counts, a.Manifest().Counts)
	}
	for i := range a.Len() {
		x, err1 := imageOf(a, i)
		y, err2 := imageOf(b, i)
		if err1 != nil || err2 != nil || a.ID(i) != b.ID(i) || !bytes.Equal(x, y) {
			t.Fatalf("example %d: galaxy %s, without labels %s (%v, %v)", i, a.ID(i), b.ID(i), err1, err2)
		}
	}
	for _, c := range caches {
		if got := c.Labelled(Train, labels.None()); !slices.Equal(got, a.Indices(Train)) {
			t.Errorf("%d train galaxies without labels, expected %d", len(got), len(a.Indices(Train)))
		}
		l, err := NewLoader(c, LoaderConfig{Split: Train, Target: labels.None(), Batch: 4})
		if err != nil {
			t.Fatal(err)
		}
		if batch, err := l.Next(context.Background()); err != nil || len(batch.Labels) != 0 || batch.Len() != 4 || len(batch.Images) != 4*c.row {
			t.Errorf("batch %+v, %v", batch, err)
		}
		l.Close()
	}
	if s := b.Summary(); len(s.Columns) != 0 || s.Classes[len(s.Classes)-1].Counts != b.Manifest().Counts {
		t.Errorf("summary %+v", s)
	}
	if b.Balance() != nil {
		t.Error("galaxies without labels have a balance of classes")
	}

	for what, change := range map[string]func(*PrepareConfig){
		"leave labels out":  func(c *PrepareConfig) { c.Labels = s.labels },
		"stratify:":         func(c *PrepareConfig) { c.Split.Stratify = true },
		"are about a table": func(c *PrepareConfig) { c.Keys.Class = "class" },
	} {
		c := without
		c.Out = filepath.Join(t.TempDir(), "no")
		change(&c)
		_, err := Prepare(context.Background(), c, hashDecoder{})
		wantError(t, err, what)
	}
	again := without // the same command a second time does nothing
	before := cacheBytes(t, again.Out)
	if _, err := Prepare(context.Background(), again, hashDecoder{}); err != nil || !maps.Equal(before, cacheBytes(t, again.Out)) {
		t.Errorf("again: %v", err)
	}
}
