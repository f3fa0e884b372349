package data

import (
	"context"
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"galaxy/labels"
)

// The published classes of the real sample, worked out by others.
func TestCleanClassOfRealSample(t *testing.T) {
	dir := os.Getenv("GALAXY_ZOO_SAMPLE")
	if dir == "" {
		t.Skip("GALAXY_ZOO_SAMPLE does not name a folder with training_solutions_rev1.csv and five_class.csv")
	}
	catalog, err := ReadCatalog(filepath.Join(dir, "training_solutions_rev1.csv"), zoo, KeyColumns{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "five_class.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := map[ID]int{}
	for _, row := range rows[1:] {
		id := ID(row[0])
		want[id] = labels.NoClass
		if row[1] != "" {
			if want[id], err = strconv.Atoi(row[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	counts := map[string]int{}
	for i, id := range catalog.IDs {
		got := zoo.ClassOf(catalog.Row(i))
		counts[zoo.ClassName(got)]++
		if got != want[id] {
			t.Errorf("galaxy %s is %v, want %v", id, got, want[id])
		}
	}
	t.Logf("%v", counts)
}

func TestSummary(t *testing.T) {
	for _, schema := range schemas() {
		t.Run(schema.Name()+" "+schema.Values().String(), func(t *testing.T) { testSummary(t, schema) })
	}
}

func testSummary(t *testing.T, schema *labels.Schema) {
	s := sourceOf(t, schema, 90)
	config := s.config(filepath.Join(t.TempDir(), "cache"))
	m, err := Prepare(context.Background(), config, hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := Open(config.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	got := cache.Summary()

	if len(got.Columns) != schema.Width() || len(got.Classes) != schema.Classes().Width()+1 {
		t.Fatalf("%d columns and %d classes of %d and %d", len(got.Columns), len(got.Classes), schema.Width(), schema.Classes().Width())
	}
	var classes Counts
	for k, class := range got.Classes {
		counts := class.Counts
		for _, id := range s.ids {
			// The cache has the fractions as the CSV rounds them.
			row := rounded(labelsOf(schema, id))
			if name := schema.ClassName(schema.ClassOf(row)); name == class.Name {
				switch SplitOf(numbered(id), 0) {
				case Train:
					counts.Train--
				case Validation:
					counts.Validation--
				case Test:
					counts.Test--
				}
			}
		}
		if counts != (Counts{}) {
			t.Errorf("class %d, %s: %+v too many", k, class.Name, counts)
		}
		classes.Train += class.Counts.Train
		classes.Validation += class.Counts.Validation
		classes.Test += class.Counts.Test
	}
	if classes != m.Counts {
		t.Errorf("the classes hold %+v, the cache %+v", classes, m.Counts)
	}
	largest := 0
	for j, c := range got.Columns {
		var mean, squares float64
		for _, id := range s.ids {
			mean += float64(labelsOf(schema, id)[j]) / float64(len(s.ids))
		}
		for _, id := range s.ids {
			squares += math.Pow(float64(labelsOf(schema, id)[j])-mean, 2) / float64(len(s.ids))
		}
		if math.Abs(c.Mean-mean) > 1e-6 || math.Abs(c.Std-math.Sqrt(squares)) > 1e-5 {
			t.Errorf("%s: mean %v, std %v; want %v, %v", c.Name, c.Mean, c.Std, mean, math.Sqrt(squares))
		}
		if c.Name != schema.Columns()[j] || c.Text == "" {
			t.Errorf("column %d is called %q, %q", j, c.Name, c.Text)
		}
		largest += c.Largest
	}
	if largest != cache.Len() {
		t.Errorf("%d largest columns in %d examples", largest, cache.Len())
	}
}

// rounded returns a row as a catalogue's six decimals have it.
func rounded(row []float32) []float32 {
	for j, v := range row {
		row[j] = float32(math.Round(float64(v)*1e6) / 1e6)
	}
	return row
}
