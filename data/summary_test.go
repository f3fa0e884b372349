package data

import (
	"context"
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestCleanClassOf(t *testing.T) {
	for _, c := range []struct {
		name string
		row  map[string]float32
		want CleanClass
	}{
		{"at the thresholds", map[string]float32{"Class1.1": .469, "Class7.1": .5}, Round},
		{"one just below", map[string]float32{"Class1.1": .468, "Class7.1": .5}, Unclear},
		{"the other just below", map[string]float32{"Class1.1": .9, "Class7.1": .499}, Unclear},
		{"in between", map[string]float32{"Class1.1": .6, "Class7.2": .5}, InBetween},
		{"cigar", map[string]float32{"Class1.1": .6, "Class7.3": .5}, Cigar},
		{"the first wins", map[string]float32{"Class1.1": 1, "Class7.1": .5, "Class7.2": .5, "Class7.3": .5}, Round},
		{"edge-on", map[string]float32{"Class1.2": .43, "Class2.1": .602}, EdgeOn},
		{"spiral", map[string]float32{"Class1.2": .43, "Class2.2": .715, "Class4.1": .619}, Spiral},
		{"no arms", map[string]float32{"Class1.2": .8, "Class2.2": .8, "Class4.1": .618}, Unclear},
		{"nothing", nil, Unclear},
	} {
		row := make([]float32, Answers)
		for j, name := range columns {
			row[j] = c.row[name]
		}
		if got := CleanClassOf(row); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := CleanClass(7).String(); got != "CleanClass(7)" {
		t.Error(got)
	}
}

// The published classes of the real sample, worked out by others.
func TestCleanClassOfRealSample(t *testing.T) {
	dir := os.Getenv("GALAXY_ZOO_SAMPLE")
	if dir == "" {
		t.Skip("GALAXY_ZOO_SAMPLE does not name a folder with training_solutions_rev1.csv and five_class.csv")
	}
	catalog, err := ReadCatalog(filepath.Join(dir, "training_solutions_rev1.csv"))
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
	want := map[int64]CleanClass{}
	for _, row := range rows[1:] {
		id, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		want[id] = Unclear
		if row[1] != "" {
			class, err := strconv.Atoi(row[1])
			if err != nil {
				t.Fatal(err)
			}
			want[id] = CleanClass(class)
		}
	}
	var counts [CleanClasses + 1]int
	for i, id := range catalog.IDs {
		got := CleanClassOf(catalog.Row(i))
		counts[got]++
		if got != want[id] {
			t.Errorf("galaxy %d is %v, want %v", id, got, want[id])
		}
	}
	t.Logf("round to unclear: %v", counts)
}

func TestSummary(t *testing.T) {
	s := makeSource(t, 90)
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

	var classes Counts
	for _, class := range got.Classes {
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
			mean += float64(labelsOf(id)[j]) / float64(len(s.ids))
		}
		for _, id := range s.ids {
			squares += math.Pow(float64(labelsOf(id)[j])-mean, 2) / float64(len(s.ids))
		}
		if math.Abs(c.Mean-mean) > 1e-6 || math.Abs(c.Std-math.Sqrt(squares)) > 1e-5 {
			t.Errorf("%s: mean %v, std %v; want %v, %v", c.Name, c.Mean, c.Std, mean, math.Sqrt(squares))
		}
		if c.Name != columns[j] || c.Text == "" {
			t.Errorf("column %d is called %q, %q", j, c.Name, c.Text)
		}
		largest += c.Largest
	}
	if largest != cache.Len() {
		t.Errorf("%d largest columns in %d examples", largest, cache.Len())
	}
}
