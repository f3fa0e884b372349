package images

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	attrpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/attr_value_go_proto"
	functionpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/function_go_proto"
	graphpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/graph_go_proto"
	nodepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/node_def_go_proto"
	opdefpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/op_def_go_proto"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	tg "github.com/galeone/tfgo"
	"google.golang.org/protobuf/proto"

	"galaxy/data/imagefile"
	"galaxy/graph/session"
)

// validateCrop checks a crop and the shape of the images to make of it.
func validateCrop(crop imagefile.Crop, shape imagefile.Shape) error {
	size := shape.Size
	if err := crop.Validate(); err != nil {
		return err
	}
	if c := shape.Channels; c != 1 && c != 3 {
		return fmt.Errorf("%d channels: expected 1 (grey) or 3 (RGB), which JPEGs have", c)
	}
	if size < 1 || crop > 1 && int(crop) < size {
		return fmt.Errorf("crop %v, size %d: expected 1 ≤ size ≤ crop pixels, since a crop is only ever made smaller; choose a larger crop or a smaller size", crop, size)
	}
	return nil
}

// decodeRatio returns how much the decoder downscales the crop on its way to
// size: 2 if that leaves enough pixels, otherwise 1. It is 1 for a fraction: the graph
// has to know it before the image.
func decodeRatio(crop imagefile.Crop, size int) int {
	if side := int(crop); crop > 1 && side%2 == 0 && side/2 >= size {
		return 2
	}
	return 1
}

// DecodeJPEG adds the ops that turn one encoded JPEG, contents (string []),
// into an image, uint8 [size, size, channels]: decode the central square that crop
// describes, downscale it, round to nearest (ties to even). 3 channels are RGB, which greyscale and CMYK
// files become; 1 channel is grey, which of colours is libjpeg's Y. If height or width minus the square's side is odd, the window is half a
// pixel up or left of the centre. The ops fail on bytes that are no JPEG, on
// images smaller than the crop, and on a square smaller than size.
//
// Only the rows of the crop are decoded, so a file cut off below them passes:
// to know that a file is complete, check for its end marker.
//
// If crop is in pixels, even and at least twice size, the decoder halves the resolution
// itself: libjpeg's inverse transform of the low frequencies takes three
// quarters of the time and differs from the average of all pixels by 0.6 of 255
// levels (root mean square, real galaxies at 64 px). Then downscale makes the image.
func DecodeJPEG(s *op.Scope, contents tf.Output, crop imagefile.Crop, shape imagefile.Shape) tf.Output {
	size := shape.Size
	if err := validateCrop(crop, shape); err != nil {
		s.UpdateErr("DecodeJPEG", err)
		return tf.Output{}
	}
	ratio := decodeRatio(crop, size)
	// Height and width, without the channels, of the decoder's output.
	sides := op.Slice(s.SubScope("Shape"), op.ExtractJpegShape(s, contents), tg.Const(s, []int32{0}), tg.Const(s, []int32{2}))
	var window, room tf.Output
	if crop > 1 {
		side := int32(int(crop) / ratio)
		window = tg.Const(s, []int32{side, side})
	} else {
		window, room = fractionWindow(s.SubScope("Fraction"), sides, crop, size)
	}
	if ratio > 1 {
		rs := s.SubScope("Room")
		room = op.Sub(rs, sides, tg.Const(rs, []int32{int32(crop), int32(crop)}))
		up := s.SubScope("RoundUp")
		sides = op.FloorDiv(up, op.AddV2(up, sides, tg.Const(up, int32(ratio-1))), tg.Const(up.SubScope("ratio"), int32(ratio)))
	}
	offset := op.FloorDiv(s, op.Sub(s, sides, window), tg.Const(s, int32(2)))
	if room.Op != nil {
		// A crop that is one pixel too large would be rounded away, and a square smaller than
		// size enlarged; a negative offset makes the op fail.
		offset = op.Minimum(s.SubScope("Fits"), offset, room)
	}
	image := op.DecodeAndCropJpeg(s, contents,
		op.ConcatV2(s, []tf.Output{offset, window}, tg.Const(s, int32(0))),
		op.DecodeAndCropJpegChannels(int64(shape.Channels)), op.DecodeAndCropJpegRatio(int64(ratio)),
		// By default the library may choose any transform.
		op.DecodeAndCropJpegDctMethod("INTEGER_ACCURATE"))
	if crop > 1 && int(crop)/ratio == size {
		return image
	}
	return downscale(s, image, size)
}

// fractionWindow computes Crop.Side in the graph: of shape, int32 [2], it returns the window,
// int32 [2], and room, int32 [2]: below 0 if the window is smaller than size, otherwise above
// every offset.
func fractionWindow(s *op.Scope, shape tf.Output, crop imagefile.Crop, size int) (window, room tf.Output) {
	short := op.Min(s, shape, tg.Const(s, int32(0)))
	side := op.Mul(s, op.Cast(s, short, tf.Double), tg.Const(s.SubScope("crop"), float64(crop)))
	side = op.Cast(s.SubScope("Side"), op.Round(s, side), tf.Int32)
	window = op.Mul(s.SubScope("Window"), side, tg.Const(s.SubScope("both"), []int32{1, 1}))
	rs := s.SubScope("Room")
	room = op.Minimum(rs, op.Sub(rs, window, tg.Const(rs.SubScope("size"), int32(size))), tg.Const(rs.SubScope("zero"), int32(0)))
	room = op.Mul(rs, room, tg.Const(rs.SubScope("scale"), int32(1<<16)))
	return window, op.AddV2(rs, room, tg.Const(rs.SubScope("most"), int32(imagefile.MaxSide)))
}

// downscale adds the ops that resize one image, uint8 [height, width, channels], to uint8
// [size, size, channels]. Every output pixel is the mean of the area it covers, with partly covered
// pixels weighted by the covered fraction (ResizeArea). This is the exact antialiasing box filter;
// TensorFlow's antialiased bilinear resize (ScaleAndTranslate) is as smooth and
// takes longer.
func downscale(s *op.Scope, image tf.Output, size int) tf.Output {
	batch := op.ExpandDims(s, image, tg.Const(s, int32(0)))
	small := op.ResizeArea(s, batch, tg.Const(s, []int32{int32(size), int32(size)}))
	rounded := op.Cast(s, op.Round(s, small), tf.Uint8)
	return op.Squeeze(s, rounded, op.SqueezeAxis([]int64{0}))
}

// A Decoder decodes, crops and downscales one image file at a time: a JPEG as DecodeJPEG does, and
// the pixels of any other file with the same resize. No image is made larger.
// Its methods may be called concurrently, except Close.
type Decoder struct {
	crop      imagefile.Crop
	size      int
	sess      *tf.Session
	jpegs     map[int]decoding // by channels
	pngs      map[int]decoding // the same
	pixels    decoding
	collector session.Collector
	mean      decoding  // of one band of any range
	buffers   sync.Pool // *[]byte for pixels
	planes    sync.Pool // *planeBuffers
}

// decoding is one way from a file to an image: the input and the image.
type decoding struct{ in, image tf.Output }

// NewDecoder starts a Decoder for the central square that crop describes, downscaled to
// size×size; 1 ≤ size ≤ crop. Close it after use.
func NewDecoder(crop imagefile.Crop, size int) (*Decoder, error) {
	d := &Decoder{crop: crop, size: size, jpegs: map[int]decoding{}, pngs: map[int]decoding{}, buffers: sync.Pool{New: func() any { return new([]byte) }}, planes: sync.Pool{New: func() any { return new(planeBuffers) }}}
	s := tg.NewRoot()
	for _, bands := range []imagefile.Bands{imagefile.RGB, imagefile.Grey} {
		shape := imagefile.Shape{Size: size, Channels: bands.Channels()}
		// Checked first: the scope's own error carries a stack trace.
		if err := validateCrop(crop, shape); err != nil {
			return nil, err
		}
		in, image := jpegNodes(s.SubScope(bands.String()), crop, shape)
		d.jpegs[shape.Channels] = decoding{in, image}
		in, image = pngNodes(s.SubScope("png_"+bands.String()), crop, shape)
		d.pngs[shape.Channels] = decoding{in, image}
	}
	d.pixels.in = op.Placeholder(s.SubScope("pixels"), tf.Uint8, op.PlaceholderShape(tf.MakeShape(-1, -1, -1)))
	d.pixels.image = downscale(s.SubScope("downscale"), d.pixels.in, size)
	d.mean.in = op.Placeholder(s.SubScope("band"), tf.Float, op.PlaceholderShape(tf.MakeShape(-1, -1)))
	d.mean.image = maskedMean(s.SubScope("mean"), d.mean.in, size)
	g, err := s.Finalize()
	if err != nil {
		return nil, fmt.Errorf("build image decoder: %w", err)
	}
	// Everything runs in the calling thread: one image is too little work to split,
	// and there are many callers. This saves about a tenth of the time. GPUs and
	// their memory are left to other processes.
	options, err := session.Encode(&pb.ConfigProto{IntraOpParallelismThreads: 1, InterOpParallelismThreads: -1, DeviceCount: map[string]int32{"GPU": 0}})
	if err != nil {
		return nil, fmt.Errorf("start image decoder: %w", err)
	}
	if d.sess, err = tf.NewSession(g, options); err != nil {
		return nil, fmt.Errorf("start image decoder: %w", err)
	}
	return d, nil
}

// String describes how images are decoded, for a cache's manifest. Formats other than JPEG need no
// description: they have only one decoding.
func (d *Decoder) String() string {
	half := ""
	if decodeRatio(d.crop, d.size) == 2 {
		half = " at half size"
	}
	return "TensorFlow " + session.TensorFlowVersion() + " DecodeAndCropJpeg" + half + ", ResizeArea"
}

// Decode writes the image of a file to dst, uint8 [size, size, channels] in
// row-major order; len(dst) must be size·size·3 for RGB or size·size for grey. On an error dst is unchanged. If
// memory ran out, the error wraps syscall.ENOMEM and says nothing about the file.
//
// An image of planes (imagefile.OpenPlanes) has a channel for each. The crop of each is
// downscaled in float32, over the pixels that are there, and then stretched.
func (d *Decoder) Decode(dst []byte, file imagefile.File) error {
	if file.Planes != nil {
		return d.decodePlanes(dst, file)
	}
	channels := len(dst) / (d.size * d.size)
	jpeg, ok := d.jpegs[channels]
	if !ok || len(dst) != d.size*d.size*channels {
		return fmt.Errorf("decode image: expected a buffer of %d bytes, or three times as many, got %d", d.size*d.size, len(dst))
	}
	square, err := d.square(file.Width, file.Height)
	if err != nil {
		return err
	}
	if file.JPEG() {
		return d.decodeFile(dst, file, jpeg, 0)
	}
	if file.PlainPNG(channels) {
		if err = d.decodeFile(dst, file, d.pngs[channels], 3*file.Width*file.Height); err == nil || errors.Is(err, syscall.ENOMEM) {
			return err
		}
		// Go's decoder says what is wrong with the file.
	}
	return d.decodePixels(dst, file, square, channels)
}

// decodeFile is Decode for a file that TensorFlow decodes, into so many bytes of pixels besides the image.
func (d *Decoder) decodeFile(dst []byte, file imagefile.File, by decoding, pixels int) error {
	contents, err := tf.NewTensor(string(file.Encoded))
	if err != nil {
		return fmt.Errorf("decode image: make tensor: %w", err)
	}
	d.collector.Fed(len(file.Encoded) + pixels + len(dst))
	return d.run(dst, by, contents)
}

// decodePixels is Decode for a file that Go decodes.
func (d *Decoder) decodePixels(dst []byte, file imagefile.File, square image.Rectangle, channels int) (err error) {
	buf := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buf)
	if *buf, err = file.Pixels(*buf, square, channels); err != nil {
		return err
	}
	if square.Dx() == d.size {
		copy(dst, *buf)
		return nil
	}
	pixels, err := session.Uint8Tensor(*buf, int64(square.Dy()), int64(square.Dx()), int64(channels))
	if err != nil {
		return fmt.Errorf("decode image: make tensor: %w", err)
	}
	d.collector.Fed(len(*buf) + len(dst))
	return d.run(dst, d.pixels, pixels)
}

// square returns the square that the crop keeps of an image of width × height pixels, unless it
// would have to be enlarged.
func (d *Decoder) square(width, height int) (image.Rectangle, error) {
	square, err := d.crop.Square(width, height)
	if err == nil && square.Dx() < d.size {
		err = &imagefile.TooSmallError{Width: width, Height: height, Least: d.crop.Least(d.size), Message: fmt.Sprintf(
			"the image is %d×%d pixels, and a crop of %v keeps %d×%d, less than the %d×%d to make: images are never enlarged; choose a larger crop or a smaller size",
			width, height, d.crop, square.Dx(), square.Dy(), d.size, d.size)}
	}
	return square, err
}

// fetch returns what one of the decodings makes of in.
func (d *Decoder) fetch(by decoding, in *tf.Tensor) (*tf.Tensor, error) {
	out, err := d.sess.Run(map[tf.Output]*tf.Tensor{by.in: in}, []tf.Output{by.image}, nil)
	if session.IsOutOfMemory(err) {
		return nil, fmt.Errorf("decode image: %w", syscall.ENOMEM)
	}
	if err != nil {
		return nil, fmt.Errorf("decode image: %s", session.FirstLine(err))
	}
	return out[0], nil
}

// run writes the image to dst that one of the decodings makes of in.
func (d *Decoder) run(dst []byte, by decoding, in *tf.Tensor) error {
	out, err := d.fetch(by, in)
	if err != nil {
		return err
	}
	// The buffer's capacity is the tensor's size, so this writes to dst itself.
	_, err = out.WriteContentsTo(bytes.NewBuffer(dst[:0]))
	runtime.KeepAlive(out) // as in session.Floats
	if err != nil {
		return fmt.Errorf("decode image: read image: %w", err)
	}
	return nil
}

// Close frees the session. It must not be called while Decode runs; calling it
// again does nothing.
func (d *Decoder) Close() error {
	if err := d.sess.Close(); err != nil {
		return fmt.Errorf("close image decoder: %w", err)
	}
	return nil
}

// jpegNodes adds a placeholder of a file, string [], and the ops of DecodeJPEG, which make its
// image, uint8 [Size, Size, Channels].
func jpegNodes(s *op.Scope, crop imagefile.Crop, shape imagefile.Shape) (contents, image tf.Output) {
	contents = op.Placeholder(s.SubScope("contents"), tf.String, op.PlaceholderShape(tf.ScalarShape()))
	return contents, DecodeJPEG(s.SubScope("decode"), contents, crop, shape)
}

// DecodeJPEGs adds to g, with names under prefix, the ops of DecodeJPEG mapped
// over a batch: jpegs, a placeholder string [N], gives images, uint8
// [N, Size, Size, Channels]. One file that cannot be decoded fails the whole batch.
//
// The map is a MapDefun node, whose body is a function of the graph's library.
// The bindings cannot write functions, so the nodes come in as a GraphDef.
func DecodeJPEGs(g *tf.Graph, prefix string, crop imagefile.Crop, shape imagefile.Shape) (jpegs, images tf.Output, err error) {
	fail := func(err error) (tf.Output, tf.Output, error) {
		return tf.Output{}, tf.Output{}, fmt.Errorf("build jpeg decoder of a batch: %w", err)
	}
	// Checked first: the scope's own error carries a stack trace.
	if err := validateCrop(crop, shape); err != nil {
		return fail(err)
	}
	s := tg.NewRoot()
	contents, image := jpegNodes(s, crop, shape)
	body, err := s.Finalize()
	if err != nil {
		return fail(err)
	}
	def, err := session.Def(body)
	if err != nil {
		return fail(err)
	}
	function, err := functionDef("decode_jpeg", def, contents, image)
	if err != nil {
		return fail(err)
	}
	batch, err := proto.Marshal(&graphpb.GraphDef{
		Versions: def.Versions,
		Library:  &functionpb.FunctionDefLibrary{Function: []*functionpb.FunctionDef{function}},
		Node: []*nodepb.NodeDef{{
			Name: "jpegs",
			Op:   "Placeholder",
			Attr: map[string]*attrpb.AttrValue{
				"dtype": attrType(typespb.DataType_DT_STRING),
				"shape": {Value: &attrpb.AttrValue_Shape{Shape: shapeProto(-1)}},
			},
		}, {
			Name:  "images",
			Op:    "MapDefun",
			Input: []string{"jpegs"},
			Attr: map[string]*attrpb.AttrValue{
				"Targuments":   attrList(&attrpb.AttrValue_ListValue{Type: []typespb.DataType{typespb.DataType_DT_STRING}}),
				"Tcaptured":    attrList(&attrpb.AttrValue_ListValue{}),
				"output_types": attrList(&attrpb.AttrValue_ListValue{Type: []typespb.DataType{typespb.DataType_DT_UINT8}}),
				"output_shapes": attrList(&attrpb.AttrValue_ListValue{
					Shape: []*shapepb.TensorShapeProto{shapeProto(int64(shape.Size), int64(shape.Size), int64(shape.Channels))},
				}),
				"f": {Value: &attrpb.AttrValue_Func{Func: &attrpb.NameAttrList{Name: function.Signature.Name}}},
			},
		}},
	})
	if err != nil {
		return fail(err)
	}
	if err := g.Import(batch, prefix); err != nil {
		return fail(err)
	}
	return g.Operation(prefix + "/jpegs").Output(0), g.Operation(prefix + "/images").Output(0), nil
}

// outputArgs names the output of each op that functionDef knows; each has one.
// In a GraphDef an input is "node:index", in a FunctionDef
// "node:argument:index", and the argument's name is in the op's registration,
// which the bindings do not expose.
var outputArgs = map[string]string{
	"AddV2":             "z",
	"Cast":              "y",
	"ConcatV2":          "output",
	"Const":             "output",
	"DecodeAndCropJpeg": "image",
	"ExpandDims":        "output",
	"ExtractJpegShape":  "image_shape",
	"FloorDiv":          "z",
	"Min":               "output",
	"Minimum":           "z",
	"Mul":               "z",
	"ResizeArea":        "resized_images",
	"Round":             "y",
	"Slice":             "output",
	"Squeeze":           "output",
	"Sub":               "z",
}

// functionDef turns def, a graph from the placeholder in to out, into a
// function of one argument and one result. It reuses def's nodes.
func functionDef(name string, def *graphpb.GraphDef, in, out tf.Output) (*functionpb.FunctionDef, error) {
	sources := map[string]string{in.Op.Name() + ":0": "argument"}
	for _, n := range def.Node {
		if n.Name == in.Op.Name() {
			continue
		}
		arg, ok := outputArgs[n.Op]
		if !ok {
			return nil, fmt.Errorf("make function of graph: op %s is unknown to it", n.Op)
		}
		sources[n.Name+":0"] = n.Name + ":" + arg + ":0"
	}
	// source returns the function's name for a node's input.
	source := func(node, input string) (string, error) {
		from, index, found := strings.Cut(input, ":")
		if !found {
			index = "0"
		}
		s, ok := sources[from+":"+index]
		if !ok {
			return "", fmt.Errorf("make function of graph: node %s has the unknown input %s", node, input)
		}
		return s, nil
	}

	f := &functionpb.FunctionDef{Signature: &opdefpb.OpDef{
		Name:      name,
		InputArg:  []*opdefpb.OpDef_ArgDef{{Name: "argument", Type: typespb.DataType(in.DataType())}},
		OutputArg: []*opdefpb.OpDef_ArgDef{{Name: "result", Type: typespb.DataType(out.DataType())}},
	}}
	for _, n := range def.Node {
		if n.Name == in.Op.Name() {
			continue
		}
		for i, input := range n.Input {
			s, err := source(n.Name, input)
			if err != nil {
				return nil, err
			}
			n.Input[i] = s
		}
		f.NodeDef = append(f.NodeDef, n)
	}
	result, err := source("result", out.Op.Name()+":"+strconv.Itoa(out.Index))
	if err != nil {
		return nil, err
	}
	f.Ret = map[string]string{"result": result}
	return f, nil
}

func attrType(t typespb.DataType) *attrpb.AttrValue {
	return &attrpb.AttrValue{Value: &attrpb.AttrValue_Type{Type: t}}
}

func attrList(l *attrpb.AttrValue_ListValue) *attrpb.AttrValue {
	return &attrpb.AttrValue{Value: &attrpb.AttrValue_List{List: l}}
}

// shapeProto is a tensor's shape as a proto; -1 is any size.
func shapeProto(dims ...int64) *shapepb.TensorShapeProto {
	p := new(shapepb.TensorShapeProto)
	for _, d := range dims {
		p.Dim = append(p.Dim, &shapepb.TensorShapeProto_Dim{Size: d})
	}
	return p
}
