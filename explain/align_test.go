package explain

import (
	"math"
	"testing"

	tf "github.com/galeone/tensorflow/tensorflow/go"

	"galaxy/graph"
	"galaxy/graph/session"
)

// ellipse draws a galaxy of an angle beside the middle, brighter at one end.
func ellipse(angle float64) []byte {
	pixels := make([]byte, size*size*3)
	sin, cos := math.Sincos(angle)
	for i := range size * size {
		x, y := float64(i%size)-size/2+1, float64(i/size)-size/2-1
		u, v := x*cos+y*sin, y*cos-x*sin
		light := 200 * math.Exp(-(u*u/40+v*v/4)/2) * (1 + u/30)
		for c := range 3 {
			pixels[3*i+c] = byte(light / float64(c+1))
		}
	}
	return pixels
}

// The maps of a network that aligns its images lie where the light of the image is that the network saw: they agree
// with a slow form, which looks every pixel up in the network's own map.
func TestGradCAMOfAligned(t *testing.T) {
	aligned := config
	aligned.Align = true
	prefix, _ := trained(t)
	g, err := graph.NewInferenceGraph(aligned, posterior, nil)
	i := open(t, g, err)
	if err := i.Restore(prefix); err != nil {
		t.Fatal(err)
	}
	p := i.Network()
	m, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	var images []byte
	var chosen []int
	for o := range outputs {
		images, chosen = append(images, ellipse(float64(o)-1.3)...), append(chosen, o)
	}
	maps, err := m.GradCAM(images, chosen)
	if err != nil {
		t.Fatal(err)
	}
	_, feeds, err := p.Feeds(images)
	if err != nil {
		t.Fatal(err)
	}
	if feeds[m.outputs], err = tf.NewTensor([]int32{0, 1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	var transform tf.Output
	for _, o := range p.Graph.Operations() {
		if o.Type() == alignment && transform.Op == nil {
			transform = tf.Consumer{Op: &o, Index: 1}.Producer()
		}
	}
	got, err := p.Run(feeds, []tf.Output{p.Graph.Operation(scopeGradCAM + "/Relu").Output(0), transform}, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := session.Floats(got[0])
	if err != nil {
		t.Fatal(err)
	}
	a, err := session.Floats(got[1])
	if err != nil {
		t.Fatal(err)
	}
	if a[0] == 1 && a[8] == 1 {
		t.Fatal("the network moves no image, so this test shows nothing")
	}
	compared := 0
	for n, moved := range maps {
		large, err := Resize(seen[n*side*side:(n+1)*side*side], size)
		if err != nil {
			t.Fatal(err)
		}
		at := func(x, y int) float64 {
			if x < 0 || y < 0 || x >= size || y >= size {
				return 0
			}
			return float64(large[y*size+x])
		}
		tr := a[8*n : 8*n+8]
		determinant := float64(tr[0])*float64(tr[4]) - float64(tr[1])*float64(tr[3])
		want := make([]float64, size*size)
		largest := 0.0
		for k := range want {
			// The pixel of the network's image that was taken from pixel k.
			dx, dy := float64(k%size)-float64(tr[2]), float64(k/size)-float64(tr[5])
			x, y := (float64(tr[4])*dx-float64(tr[1])*dy)/determinant, (float64(tr[0])*dy-float64(tr[3])*dx)/determinant
			x0, y0 := int(math.Floor(x)), int(math.Floor(y))
			fx, fy := x-math.Floor(x), y-math.Floor(y)
			want[k] = (at(x0, y0)*(1-fx)+at(x0+1, y0)*fx)*(1-fy) + (at(x0, y0+1)*(1-fx)+at(x0+1, y0+1)*fx)*fy
			largest = max(largest, want[k])
		}
		if largest > 0 { // otherwise nothing speaks for the output
			near(t, "moved map", moved, want, 1e-3)
			compared++
		}
	}
	if compared < 2 {
		t.Errorf("%d maps are not 0 everywhere, expected several", compared)
	}
}
