package explain

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	"galaxy/data/imagefile"
)

// Overlay returns an image with a map over it: pixels, uint8 [Size, Size, channels] in row-major
// order, drawn as imagefile.Shape.Picture does, and in the colours of Color a map from GradCAM. The map is resized
// bilinearly, and its largest value gets the lightest colour. It covers the image by opacity, 0 to
// 1, times its value relative to the largest, so that what did not matter stays as it was.
func Overlay(pixels []byte, shape imagefile.Shape, m []float32, opacity float64) (*image.RGBA, error) {
	if len(pixels) != shape.Bytes() {
		return nil, fmt.Errorf("overlay: %d bytes: expected the %d of one image", len(pixels), shape.Bytes())
	}
	if !(opacity >= 0 && opacity <= 1) {
		return nil, fmt.Errorf("overlay: opacity %v: expected 0 to 1", opacity)
	}
	large, err := Resize(m, shape.Size)
	if err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	var largest float32
	for _, v := range m {
		largest = max(largest, v)
	}
	out := image.NewRGBA(image.Rect(0, 0, shape.Size, shape.Size))
	draw.Draw(out, out.Bounds(), shape.Picture(pixels), image.Point{}, draw.Src)
	if !(largest > 0) {
		return out, nil
	}
	for i, v := range large {
		relative := float64(v / largest)
		c, cover := Color(relative), opacity*min(max(relative, 0), 1)
		p := out.Pix[4*i:][:3]
		for j, over := range [3]uint8{c.R, c.G, c.B} {
			p[j] = uint8(math.Round(float64(p[j])*(1-cover) + float64(over)*cover))
		}
	}
	return out, nil
}

// Resize returns a square map, float32 [n, n] in row-major order, as float32 [size, size], size ≥ 1. It
// interpolates bilinearly between the centres of the map's pixels, and repeats the border outside of
// them, as tf.image.resize does.
func Resize(m []float32, size int) ([]float32, error) {
	n := int(math.Round(math.Sqrt(float64(len(m)))))
	if n == 0 || n*n != len(m) || size < 1 {
		return nil, fmt.Errorf("a map of %d values for an image of %d pixels: expected a square map", len(m), size)
	}
	low, high, part := make([]int, size), make([]int, size), make([]float32, size)
	for i := range size {
		x := (float64(i)+0.5)*float64(n)/float64(size) - 0.5
		floor := math.Floor(x)
		low[i], high[i], part[i] = max(int(floor), 0), min(int(floor)+1, n-1), float32(x-floor)
	}
	out := make([]float32, 0, size*size)
	for y := range size {
		above, below := m[low[y]*n:][:n], m[high[y]*n:][:n]
		for x := range size {
			top := above[low[x]] + (above[high[x]]-above[low[x]])*part[x]
			bottom := below[low[x]] + (below[high[x]]-below[low[x]])*part[x]
			out = append(out, top+(bottom-top)*part[y])
		}
	}
	return out, nil
}

// Color returns the colour of a value from 0 (nearly black) over violet, red and orange to 1 (pale
// yellow) of the scale inferno, in which equal steps look equal, also to colour-blind people and in
// print. A value outside, or NaN, gets the nearest end.
func Color(value float64) color.RGBA {
	i := 0
	if value > 0 { // not NaN
		i = int(math.Round(min(value, 1) * 255))
	}
	var c [3]uint8
	for j := range c {
		c[j] = digit(inferno[6*i+2*j])<<4 | digit(inferno[6*i+2*j+1])
	}
	return color.RGBA{c[0], c[1], c[2], 255}
}

func digit(hex byte) uint8 {
	if hex >= 'a' {
		return hex - 'a' + 10
	}
	return hex - '0'
}

// inferno holds the red, green and blue of 256 colours in hexadecimal: the table of the same name
// by Nathaniel J. Smith and Stéfan van der Walt (https://bids.github.io/colormap, option B), as
// matplotlib 3 has it, times 255 and rounded. They gave it to the public domain (CC0).
const inferno = "" +
	"00000401000501010601010802010a02020c02020e03021004031204031405041706041907051b08051d09061f0a0722" +
	"0b07240c08260d08290e092b10092d110a30120a32140b34150b37160b39180c3c190c3e1b0c411c0c431e0c451f0c48" +
	"210c4a230c4c240c4f260c51280b53290b552b0b572d0b592f0a5b310a5c320a5e340a5f3609613809623909633b0964" +
	"3d09653e0966400a67420a68440a68450a69470b6a490b6a4a0c6b4c0c6b4d0d6c4f0d6c510e6c520e6d540f6d550f6d" +
	"57106e59106e5a116e5c126e5d126e5f136e61136e62146e64156e65156e67166e69166e6a176e6c186e6d186e6f196e" +
	"71196e721a6e741a6e751b6e771c6d781c6d7a1d6d7c1d6d7d1e6d7f1e6c801f6c82206c84206b85216b87216b88226a" +
	"8a226a8c23698d23698f24699025689225689326679526679727669827669a28659b29649d29649f2a63a02a63a22b62" +
	"a32c61a52c60a62d60a82e5fa92e5eab2f5ead305dae305cb0315bb1325ab3325ab43359b63458b73557b93556ba3655" +
	"bc3754bd3853bf3952c03a51c13a50c33b4fc43c4ec63d4dc73e4cc83f4bca404acb4149cc4248ce4347cf4446d04545" +
	"d24644d34743d44842d54a41d74b3fd84c3ed94d3dda4e3cdb503bdd513ade5238df5337e05536e15635e25734e35933" +
	"e45a31e55c30e65d2fe75e2ee8602de9612bea632aeb6429eb6628ec6726ed6925ee6a24ef6c23ef6e21f06f20f1711f" +
	"f1731df2741cf3761bf37819f47918f57b17f57d15f67e14f68013f78212f78410f8850ff8870ef8890cf98b0bf98c0a" +
	"f98e09fa9008fa9207fa9407fb9606fb9706fb9906fb9b06fb9d07fc9f07fca108fca309fca50afca60cfca80dfcaa0f" +
	"fcac11fcae12fcb014fcb216fcb418fbb61afbb81dfbba1ffbbc21fbbe23fac026fac228fac42afac62df9c72ff9c932" +
	"f9cb35f8cd37f8cf3af7d13df7d340f6d543f6d746f5d949f5db4cf4dd4ff4df53f4e156f3e35af3e55df2e661f2e865" +
	"f2ea69f1ec6df1ed71f1ef75f1f179f2f27df2f482f3f586f3f68af4f88ef5f992f6fa96f8fb9af9fc9dfafda1fcffa4"
