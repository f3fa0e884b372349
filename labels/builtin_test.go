package labels_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

var zoo, small, counts = labels.GalaxyZoo(), labelstest.Small(), labelstest.SmallCounts()

// The campaigns have the questions and answers of the public metadata: so many of each, and
// where they begin.
func TestBuiltin(t *testing.T) {
	var got []string
	for _, b := range labels.Builtin() {
		s := b.Schema
		got = append(got, fmt.Sprintf("%s %v %d %d %s", b.Key, s.Values(), len(s.Questions()), s.Width(), s.Columns()[0]))
		if named, ok := labels.Named(b.Key); !ok || named.Schema != s {
			t.Errorf("%s is not found by its key", b.Key)
		}
		if len(b.About) < 20 || !strings.HasPrefix(b.Text, "# "+b.About+"\n") {
			t.Errorf("%s is about %q", b.Key, b.About)
		}
		if read, err := labels.Read(strings.NewReader(b.Text)); err != nil || !read.Equal(s) {
			t.Errorf("%s is read as another schema (%v)", b.Key, err)
		}
		for _, q := range s.Questions() {
			if q.Text == "" || slices.ContainsFunc(q.Answers, func(a labels.Answer) bool { return a.Text == "" }) {
				t.Errorf("%s: question %d lacks a text", b.Key, q.Number)
			}
		}
	}
	want := []string{
		"candels counts 11 32 smooth-or-featured-candels_smooth",
		"challenge fractions 11 37 Class1.1",
		"cosmic-dawn counts 13 45 smooth-or-featured-cd_smooth",
		"decals-dr12 counts 10 30 smooth-or-featured-dr12_smooth",
		"decals-dr5 counts 10 34 smooth-or-featured-dr5_smooth",
		"decals-dr8 counts 10 34 smooth-or-featured-dr8_smooth",
		"desi counts 10 34 smooth-or-featured_smooth",
		"euclid counts 13 46 smooth-or-featured-euclid_smooth",
		"gz2 counts 10 30 smooth-or-featured-gz2_smooth",
		"hubble counts 12 34 smooth-or-featured-hubble_smooth",
		"jwst counts 12 39 smooth-or-featured-jwst_smooth",
		"rings counts 1 2 ring_yes",
		"ukidss counts 10 30 smooth-or-featured-ukidss_smooth",
	}
	if !slices.Equal(got, want) {
		t.Errorf("built in are\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, ok := labels.Named("gz3"); ok {
		t.Error("gz3 is built in")
	}
}

func TestGalaxyZoo(t *testing.T) {
	want := "Class1.1,Class1.2,Class1.3,Class2.1,Class2.2,Class3.1,Class3.2,Class4.1,Class4.2," +
		"Class5.1,Class5.2,Class5.3,Class5.4,Class6.1,Class6.2,Class7.1,Class7.2,Class7.3," +
		"Class8.1,Class8.2,Class8.3,Class8.4,Class8.5,Class8.6,Class8.7,Class9.1,Class9.2,Class9.3," +
		"Class10.1,Class10.2,Class10.3,Class11.1,Class11.2,Class11.3,Class11.4,Class11.5,Class11.6"
	if got := strings.Join(zoo.Columns(), ","); got != want {
		t.Errorf("Columns() = %s\nwant %s", got, want)
	}
	// The sum rules as the competition states them.
	parents := []string{"1", "Class1.2", "Class2.2", "Class2.2", "Class2.2", "1", "Class1.1", "Class6.1", "Class2.1", "Class4.1", "Class4.1"}
	questions := zoo.Questions()
	if len(questions) != len(parents) {
		t.Fatalf("%d questions, want %d", len(questions), len(parents))
	}
	column := 0
	for i, q := range questions {
		got := "1"
		if len(q.Parents()) > 0 {
			got = zoo.Columns()[q.Parents()[0]]
		}
		if got != parents[i] || len(q.Parents()) > 1 {
			t.Errorf("question %d sums to %s, want %s", q.Number, got, parents[i])
		}
		if q.Number != i+1 || q.First != column {
			t.Errorf("question %d: number %d, first column %d, want %d and %d", i+1, q.Number, q.First, i+1, column)
		}
		for _, a := range q.Answers {
			if a.Name != zoo.Columns()[column] {
				t.Errorf("answer %s has the column %d", a.Name, column)
			}
			column++
		}
	}
	if column != zoo.Width() || column != 37 {
		t.Errorf("%d answers, want 37", column)
	}
	if after := questions[5].After; !questions[5].OfAsked || !slices.Equal(after, []string{"Class1.1", "Class1.2"}) {
		t.Errorf("question 6 is asked after %q", after)
	}
	if got := zoo.Classes().Columns(); !slices.Equal(got, []string{"round", "in-between", "cigar", "edge-on", "spiral"}) {
		t.Errorf("classes are %q", got)
	}
	// What stands for the classes.
	scores, row := make([]float32, 5), make([]float32, zoo.Width())
	for i := range row {
		row[i] = float32(i)
	}
	if zoo.ClassScores(scores, row); !slices.Equal(scores, []float32{15, 16, 17, 3, 7}) { // 7.1, 7.2, 7.3, 2.1 and 4.1
		t.Errorf("the classes' columns are %v", scores)
	}
}

// Question 8 is asked of those of 6.1, which is a fraction of those whom 1.3 did
// not send home.
func TestReached(t *testing.T) {
	row := make([]float32, zoo.Width())
	row[0], row[1], row[2], row[4], row[13], row[14] = 0.5, 0.125, 0.375, 0.125, 0.25, 0.75
	for i, want := range []float64{1, 0.125, 0.125, 0.125, 0.125, 0.625, 0.5, 0.625 * 0.25, 0, 0, 0} {
		if got := zoo.Reached(row, i); got != want {
			t.Errorf("question %d is reached by %v, want %v", i+1, got, want)
		}
	}
	// Rounding may leave less than nothing.
	row[2] = 1.0001
	if got := zoo.Reached(row, 5); got != 0 {
		t.Errorf("question 6 is reached by %v", got)
	}
	// The small schema's last question is asked after two answers.
	for i, want := range []float64{1, 0.25, 0.625} {
		if got := small.Reached([]float32{0.5, 0.25, 0.25, 0.125, 0.125}, i); got != want {
			t.Errorf("small: question %d is reached by %v, want %v", i+1, got, want)
		}
	}
}

func ExampleGalaxyZoo() {
	s := labels.GalaxyZoo()
	for _, q := range s.Questions()[:3] {
		fmt.Printf("%d. %s\n", q.Number, q.Text)
		for _, a := range q.Answers {
			fmt.Printf("   %s %s\n", a.Name, a.Text)
		}
	}
	row := make([]float32, s.Width())
	row[0], row[1] = 0.7, 0.2
	fmt.Println(s.CheckSums(row, labels.SumTolerance))
	// Output:
	// 1. Is the galaxy simply smooth and rounded, with no sign of a disk?
	//    Class1.1 smooth
	//    Class1.2 features or disk
	//    Class1.3 star or artifact
	// 2. Could this be a disk viewed edge-on?
	//    Class2.1 yes
	//    Class2.2 no
	// 3. Is there a sign of a bar feature through the centre of the galaxy?
	//    Class3.1 yes
	//    Class3.2 no
	// the answers of question 1 sum to 0.9: expected 1 to within 0.001
}
