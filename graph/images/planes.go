package images

import (
	"errors"
	"fmt"
	"syscall"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"

	"galaxy/data/imagefile"
	"galaxy/graph/session"
)

// maskedMean adds the ops that downscale one band, float32 [height, width], to float32 [size, size]. Every
// pixel of the result is the mean of the area that it covers, as in downscale, over the pixels that are
// finite: the area's sum of values divided by its sum of ones. It is NaN where none is.
func maskedMean(s *op.Scope, band tf.Output, size int) tf.Output {
	ones := op.Cast(s, op.IsFinite(s, band), tf.Float)
	values := op.MulNoNan(s, band, ones) // 0 where nothing is
	batch := op.ExpandDims(s, op.Pack(s, []tf.Output{values, ones}, op.PackAxis(2)), tg.Const(s, int32(0)))
	small := op.ResizeArea(s, batch, tg.Const(s.SubScope("size"), []int32{int32(size), int32(size)}))
	means := op.Unpack(s, small, 2, op.UnpackAxis(3))
	return op.Squeeze(s, op.RealDiv(s, means[0], means[1]), op.SqueezeAxis([]int64{0}))
}

// planeBuffers hold the pixels of one image while it is decoded.
type planeBuffers struct {
	file   []float64   // a plane of the file
	square []float32   // its crop
	bands  [][]float32 // the crops, downscaled
}

// decodePlanes is Decode for a file of planes.
func (d *Decoder) decodePlanes(dst []byte, file imagefile.File) (err error) {
	n := len(file.Planes)
	if want := d.size * d.size * n; len(dst) != want {
		return fmt.Errorf("decode image: expected a buffer of %d bytes for %d bands, got %d", want, n, len(dst))
	}
	if err := file.Stretch.CheckBands(n); err != nil {
		return err
	}
	buf := d.planes.Get().(*planeBuffers) //nolint:forcetypeassert // the pool's own
	defer d.planes.Put(buf)
	buf.bands = buf.bands[:0]
	first := file.Planes[0]
	for i, p := range file.Planes {
		var band []float32
		if d.crop > 1 && (p.Width != first.Width || p.Height != first.Height) {
			err = fmt.Errorf("%d×%d pixels, but %d×%d of band %s: a crop in pixels would show another field; choose one as a fraction, such as 100%%",
				p.Width, p.Height, first.Width, first.Height, file.Names[0])
		} else {
			band, err = d.band(p, buf)
		}
		if err != nil && n > 1 && !errors.Is(err, syscall.ENOMEM) {
			err = fmt.Errorf("band %s: %w", file.Names[i], err)
		}
		if err != nil {
			return err
		}
		buf.bands = append(buf.bands, band)
	}
	return file.Stretch.Apply(dst, buf.bands, file.Names)
}

// band returns the crop of a plane, downscaled to float32 [size, size]. Pixels that are not there are not
// finite.
func (d *Decoder) band(p imagefile.Plane, buf *planeBuffers) (_ []float32, err error) {
	square, err := d.square(p.Width, p.Height)
	if err != nil {
		return nil, err
	}
	if square.Dx() == d.size {
		var band []float32
		band, buf.file, err = p.Values(nil, square, buf.file)
		return band, err
	}
	if buf.square, buf.file, err = p.Values(buf.square, square, buf.file); err != nil {
		return nil, err
	}
	in, err := session.Float32Tensor(buf.square, int64(square.Dy()), int64(square.Dx()))
	if err != nil {
		return nil, fmt.Errorf("decode image: make tensor: %w", err)
	}
	d.collector.Fed(4 * (len(buf.square) + d.size*d.size))
	out, err := d.fetch(d.mean, in)
	if err != nil {
		return nil, err
	}
	return session.Floats(out)
}
