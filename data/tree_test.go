package data

import (
	"math"
	"strings"
	"testing"
)

func TestTreeShape(t *testing.T) {
	want := "Class1.1,Class1.2,Class1.3,Class2.1,Class2.2,Class3.1,Class3.2,Class4.1,Class4.2," +
		"Class5.1,Class5.2,Class5.3,Class5.4,Class6.1,Class6.2,Class7.1,Class7.2,Class7.3," +
		"Class8.1,Class8.2,Class8.3,Class8.4,Class8.5,Class8.6,Class8.7,Class9.1,Class9.2,Class9.3," +
		"Class10.1,Class10.2,Class10.3,Class11.1,Class11.2,Class11.3,Class11.4,Class11.5,Class11.6"
	if got := strings.Join(Columns(), ","); got != want {
		t.Errorf("Columns() = %s\nwant %s", got, want)
	}
	// The sum rules as the competition states them.
	parents := []string{"1", "Class1.2", "Class2.2", "Class2.2", "Class2.2", "1", "Class1.1", "Class6.1", "Class2.1", "Class4.1", "Class4.1"}
	questions := Tree()
	if len(questions) != Questions {
		t.Fatalf("%d questions, want %d", len(questions), Questions)
	}
	column := 0
	for i, q := range questions {
		got := "1"
		if q.Parent != Root {
			got = Columns()[q.Parent]
		}
		if got != parents[i] {
			t.Errorf("question %d sums to %s, want %s", q.Number, got, parents[i])
		}
		if q.Number != i+1 || q.First != column {
			t.Errorf("question %d: number %d, first column %d, want %d and %d", i+1, q.Number, q.First, i+1, column)
		}
		for _, a := range q.Answers {
			if a.Column != column || a.Name != Columns()[column] {
				t.Errorf("answer %s has column %d, want %d", a.Name, a.Column, column)
			}
			if a.Next < End || a.Next > Questions {
				t.Errorf("answer %s leads to question %d", a.Name, a.Next)
			}
			column++
		}
	}
	if column != Answers {
		t.Errorf("%d answers, want %d", column, Answers)
	}
}

// Every volunteer must come to an end whatever he answers, and every question
// must be reachable: a typing error in a Next would break one of the two.
func TestTreeWalksEnd(t *testing.T) {
	questions := Tree()
	seen := map[int]bool{}
	var walk func(number, depth int)
	walk = func(number, depth int) {
		if number == End {
			return
		}
		if depth > Questions {
			t.Fatalf("the tree has a cycle through question %d", number)
		}
		seen[number] = true
		for _, a := range questions[number-1].Answers {
			walk(a.Next, depth+1)
		}
	}
	walk(1, 1)
	if len(seen) != Questions {
		t.Errorf("only %d of %d questions can be reached: %v", len(seen), Questions, seen)
	}
}

func TestTreeIsACopy(t *testing.T) {
	Tree()[0].Answers[0].Next = 99
	Columns()[0] = "x"
	if Tree()[0].Answers[0].Next == 99 || Columns()[0] == "x" {
		t.Error("a caller can edit the package's tree")
	}
}

// evenRow gives every answer of a question the same share of its parent.
func evenRow() []float32 {
	row := make([]float32, Answers)
	// Question 8 hangs on 6.1 and comes later, and so does every child: file
	// order is a valid order to fill in.
	for _, q := range Tree() {
		share := float32(1)
		if q.Parent != Root {
			share = row[q.Parent]
		}
		for _, a := range q.Answers {
			row[a.Column] = share / float32(len(q.Answers))
		}
	}
	return row
}

func TestCheckSums(t *testing.T) {
	if err := CheckSums(evenRow(), 1e-6); err != nil {
		t.Fatal(err)
	}
	for _, q := range Tree() {
		row := evenRow()
		row[q.Answers[len(q.Answers)-1].Column] += 0.01
		if err := CheckSums(row, SumTolerance); err == nil {
			t.Errorf("question %d: a sum that is off by 0.01 passed", q.Number)
		}
	}
	row := evenRow()
	row[20] = float32(math.NaN())
	if err := CheckSums(row, SumTolerance); err == nil || !strings.Contains(err.Error(), "question 8") {
		t.Errorf("NaN in question 8: %v", err)
	}
	if err := CheckSums(row[:36], SumTolerance); err == nil {
		t.Error("36 fractions passed")
	}
}

func TestLargest(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		in   []float32
		want int
	}{
		{nil, -1},
		{[]float32{nan}, -1},
		{[]float32{0.2, 0.5, 0.5}, 1},
		{[]float32{nan, 0, nan}, 1},
		{[]float32{1}, 0},
	} {
		if got := Largest(c.in); got != c.want {
			t.Errorf("Largest(%v) = %d, want %d", c.in, got, c.want)
		}
	}
}
