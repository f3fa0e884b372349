package images

import (
	"math"
	"slices"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/graph/graphtest"
	"galaxy/graph/session"
)

// testInput describes images of up to five channels.
func testInput(channels int) Input {
	return Input{Mean: []float64{.1, .2, .3, .05, .4}[:channels], Std: []float64{.2, .2, .3, .1, .25}[:channels]}
}

func TestNormalise(t *testing.T) {
	for _, channels := range []int{1, 3, 5} {
		testNormalise(t, channels)
	}
}

func testNormalise(t *testing.T, channels int) {
	s := tg.NewRoot()
	input := testInput(channels)
	pixels := make([]byte, channels*256)
	for i := range pixels {
		pixels[i] = byte(i / channels)
	}
	in, err := session.Uint8Tensor(pixels, 1, 16, 16, int64(channels))
	if err != nil {
		t.Fatal(err)
	}
	x := input.Normalise(s.SubScope("normalise"), tg.Const(s, in), Random{})
	got, err := session.Floats(graphtest.Run(t, graphtest.Finalize(t, s), nil, x)[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		want := (float64(pixels[i])/255 - input.Mean[i%channels]) / input.Std[i%channels]
		if math.Abs(float64(g)-want) > 1e-6*(1+math.Abs(want)) {
			t.Fatalf("channel %d of %d, pixel %d: %v, expected %v", i%channels, channels, pixels[i], g, want)
		}
	}
}

// A replica draws the same random rows as the whole batch would.
func TestRandomRows(t *testing.T) {
	s := tg.NewRoot()
	x := op.Fill(s.SubScope("x"), tg.Const(s.SubScope("x"), []int32{2, 3}), tg.Const(s.SubScope("x").SubScope("zero"), float32(0)))
	all := op.Fill(s.SubScope("all"), tg.Const(s.SubScope("all"), []int32{6, 3}), tg.Const(s.SubScope("all").SubScope("zero"), float32(0)))
	key := tg.Const(s.SubScope("key"), []int64{1, 2})
	outputs := []tf.Output{Random{Key: key}.Uniform(s.SubScope("whole"), key, all, 3)}
	for i := range int32(3) {
		r := Random{Key: key, Batch: 6, First: tg.Const(s.SubScope("row"), 2*i)}
		outputs = append(outputs, r.Uniform(s.SubScope("part"), key, x, 3))
	}
	got := graphtest.Run(t, graphtest.Finalize(t, s), nil, outputs...)
	whole := got[0].Value().([][]float32)
	for i, part := range got[1:] {
		if part := part.Value().([][]float32); !slices.Equal(part[0], whole[2*i]) || !slices.Equal(part[1], whole[2*i+1]) {
			t.Errorf("rows %d and %d: %v, of the whole batch %v", 2*i, 2*i+1, part, whole[2*i:2*i+2])
		}
	}
}
