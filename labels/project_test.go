package labels_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"galaxy/labels"
	"galaxy/labels/labelstest"
)

// evenRow gives every answer of a question the same share.
func evenRow(s *labels.Schema) []float32 {
	row := make([]float32, s.Width())
	for _, q := range s.Questions() {
		share := float32(1)
		if len(q.Parents()) > 0 {
			share = 0
		}
		for _, column := range q.Parents() {
			share += row[column]
		}
		for j := range q.Answers {
			row[q.First+j] = share / float32(len(q.Answers))
		}
	}
	return row
}

func TestCheckSums(t *testing.T) {
	for _, s := range labelstest.Schemas() {
		if err := s.CheckSums(evenRow(s), 1e-6); err != nil {
			t.Fatal(err)
		}
		for _, q := range s.Questions() {
			row := evenRow(s)
			row[q.First+len(q.Answers)-1] += 0.01
			if err := s.CheckSums(row, labels.SumTolerance); err == nil {
				t.Errorf("%v, question %d: a sum that is off by 0.01 passed", s, q.Number)
			}
		}
		if err := s.CheckSums(evenRow(s)[1:], labels.SumTolerance); err == nil {
			t.Errorf("%v: a row without its first column passed", s)
		}
	}
	// Catalogues with three decimals often miss by exactly the tolerance, and float32 rounds the sum.
	for _, off := range []float32{-0.001, 0.001} {
		row := evenRow(zoo)
		row[0], row[1], row[2] = 0.923+off, 0.039, 0.038
		if err := zoo.CheckSums(row, labels.SumTolerance); err != nil && strings.Contains(err.Error(), "question 1 ") {
			t.Errorf("a sum that is off by %v: %v", off, err)
		}
	}
	row := evenRow(zoo)
	row[20] = float32(math.NaN())
	if err := zoo.CheckSums(row, labels.SumTolerance); err == nil || !strings.Contains(err.Error(), "question 8") {
		t.Errorf("NaN in question 8: %v", err)
	}
	// Of the small schema's last question the sum is that of two columns: 1/3 + 1/6.
	row = evenRow(small)
	row[7] = 0
	want := "the answers of question 3 sum to 0.333333: expected 0.5 (smooth + face-on) to within 0.001"
	if err := small.CheckSums(row, labels.SumTolerance); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func project(t interface{ Fatal(...any) }, s *labels.Schema, row []float32) []float32 {
	out := slices.Clone(row)
	if err := s.Project(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Any row comes out satisfying the rules, and a row that satisfies them stays.
func TestProject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(labelstest.Schemas()).Draw(t, "schema")
		once := project(t, s, rapid.SliceOfN(rapid.OneOf(
			rapid.Just(float32(0)), rapid.Float32Range(0, 1), rapid.Float32Range(-1, 1e-6)), s.Width(), s.Width()).Draw(t, "row"))
		if err := s.CheckSums(once, 1e-6); err != nil {
			t.Fatal(err)
		}
		for j, v := range project(t, s, once) {
			if math.Abs(float64(v-once[j])) > 1e-6 {
				t.Fatalf("column %d is %v, projected again %v", j, once[j], v)
			}
		}
	})
}

// A question's answers keep their proportions.
func TestProjectKeepsProportions(t *testing.T) {
	row := evenRow(zoo)
	row[0], row[1], row[2] = 0.6, 0.2, 0.4 // sums to 1.2
	row[15], row[16], row[17] = 1, 3, 0
	got := project(t, zoo, row)
	for j, want := range map[int]float64{0: 0.5, 1: 1. / 6, 2: 1. / 3, 15: 0.125, 16: 0.375, 17: 0} {
		if math.Abs(float64(got[j])-want) > 1e-7 {
			t.Errorf("column %d is %v, want %v", j, got[j], want)
		}
	}
	// smooth 1/2, featured 1/4, face-on 1/16 of all: question 3 shares out 9/16.
	got = project(t, small, []float32{2, 1, 1, 3, 1, 2, 1, 0})
	for j, want := range []float64{0.5, 0.25, 0.25, 0.1875, 0.0625, 0.375, 0.1875, 0} {
		if math.Abs(float64(got[j])-want) > 1e-7 {
			t.Errorf("small: column %d is %v, want %v", j, got[j], want)
		}
	}
}

func TestProjectEdges(t *testing.T) {
	nan := float32(math.NaN())
	for _, s := range labelstest.Schemas() {
		if got := project(t, s, slices.Repeat([]float32{nan}, s.Width())); !slices.Equal(got, project(t, s, evenRow(s))) {
			t.Errorf("%v: a row that tells nothing becomes %v", s, got)
		}
		infinite := evenRow(s)
		infinite[5] = float32(math.Inf(1))
		before := slices.Clone(infinite)
		if s.Project(infinite) == nil || !slices.Equal(infinite, before) {
			t.Errorf("%v: an infinite value is taken, or the row changed", s)
		}
		if s.Project(evenRow(s)[1:]) == nil {
			t.Errorf("%v: a row without its first column is taken", s)
		}
	}
}
