package serve

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	tensorpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_go_proto"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"galaxy/data/imagefile"
	"galaxy/internal/tfserving"
	"galaxy/savedmodel"
)

var (
	small     = imagefile.Shape{Size: 2, Channels: 1}
	imagesSig = signature{savedmodel.SignatureImages, savedmodel.InputImages, false}
	filesSig  = signature{savedmodel.SignatureJPEGs, savedmodel.InputJPEGs, true}
)

// Images and files that are written as JSON, by Go's own encoder and with any spaces, come back.
func TestInputOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := imagefile.Shape{Size: rapid.IntRange(1, 4).Draw(t, "size"), Channels: rapid.IntRange(1, 8).Draw(t, "channels")}
		n := rapid.IntRange(1, 3).Draw(t, "images")
		pixels := rapid.SliceOfN(rapid.Byte(), n*shape.Bytes(), n*shape.Bytes()).Draw(t, "pixels")
		files := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), n, n).Draw(t, "files")
		sig := imagesSig
		if rapid.Bool().Draw(t, "as files") {
			sig = filesSig
		}
		named := rapid.Bool().Draw(t, "named")
		row := rapid.Bool().Draw(t, "row form")
		var all []any
		for i := range n {
			var one any = nest(pixels[i*shape.Bytes():], shape)
			if sig.files {
				one = map[string]any{"b64": files[i]}
			}
			if named && row {
				one = map[string]any{sig.input: one}
			}
			all = append(all, one)
		}
		request := map[string]any{"signature_name": sig.name, "instances": all}
		if !row {
			request = map[string]any{"inputs": all}
			if named {
				request["inputs"] = map[string]any{sig.input: all}
			}
		}
		text, err := json.MarshalIndent(request, "", rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := parseJSON(text)
		if err != nil || r.row() != row {
			t.Fatalf("%v: %s", err, text)
		}
		in, err := r.inputOf(sig, shape, 3)
		if err != nil || in.n != n {
			t.Fatalf("%d images of %d, %v: %s", in.n, n, err, text)
		}
		if !sig.files && !bytes.Equal(in.images, pixels) {
			t.Fatalf("got %v, expected %v", in.images, pixels)
		}
		for i := range in.files {
			if !bytes.Equal(in.files[i], files[i]) {
				t.Fatalf("file %d is %q, expected %q", i, in.files[i], files[i])
			}
		}
	})
}

// nest makes lists of an image.
func nest(pixels []byte, shape imagefile.Shape) (rows [][][]int) {
	for y := range shape.Size {
		var row [][]int
		for x := range shape.Size {
			var pixel []int
			for c := range shape.Channels {
				pixel = append(pixel, int(pixels[(y*shape.Size+x)*shape.Channels+c]))
			}
			row = append(row, pixel)
		}
		rows = append(rows, row)
	}
	return rows
}

// Whatever the body of a request is, it is refused with a status of the client's, or has images of the right size.
func FuzzJSON(f *testing.F) {
	for _, body := range []string{
		`{"instances":[[[[1],[2]],[[3],[4]]]]}`, `{"inputs":{"images":[[[[1],[2]],[[3],[255]]]]}}`, `{"instances":[{"images":[[[1],[2]],[[3],[4]]]}]}`,
		`{"signature_name":"serving_jpeg","instances":[{"b64":"AAA="},"x"]}`, `{"inputs":{"jpegs":[{"b64":"AA"}]}}`, `{"instances":[1,2,3,4]}`, `[`, ``, `{"inputs":{"b64":""}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		r, err := parseJSON(body)
		if err != nil {
			checkClientError(t, err)
			return
		}
		for _, sig := range []signature{imagesSig, filesSig} {
			in, err := r.inputOf(sig, small, 3)
			if err != nil {
				checkClientError(t, err)
				continue
			}
			if in.n < 1 || in.n > 3 || sig.files && len(in.files) != in.n || !sig.files && len(in.images) != in.n*small.Bytes() {
				t.Errorf("%d images: %d bytes, %d files", in.n, len(in.images), len(in.files))
			}
		}
		if !bytes.Equal(body, before) {
			t.Error("the body was changed")
		}
		if !json.Valid(body) {
			t.Errorf("%q is taken", body)
		}
	})
}

func checkClientError(t *testing.T, err error) {
	t.Helper()
	if s := statusOf(err); httpStatus(err) != 400 || s.Message() == "" || strings.Contains(s.Message(), "rpc error") || len(s.Message()) > 1000 {
		t.Errorf("%v", err)
	}
}

// FuzzTensor is FuzzJSON for gRPC.
func FuzzTensor(f *testing.F) {
	add := func(input string, x *tensorpb.TensorProto) {
		encoded, err := proto.Marshal(&tfserving.PredictRequest{Inputs: map[string]*tensorpb.TensorProto{input: x}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	shape := func(dims ...int64) *shapepb.TensorShapeProto {
		s := new(shapepb.TensorShapeProto)
		for _, d := range dims {
			s.Dim = append(s.Dim, &shapepb.TensorShapeProto_Dim{Size: d})
		}
		return s
	}
	add("images", &tensorpb.TensorProto{Dtype: typespb.DataType_DT_UINT8, TensorShape: shape(1, 2, 2, 1), TensorContent: []byte{1, 2, 3, 4}})
	add("images", &tensorpb.TensorProto{Dtype: typespb.DataType_DT_UINT8, TensorShape: shape(3, 2, 2, 1), IntVal: []int32{7}})
	add("images", &tensorpb.TensorProto{Dtype: typespb.DataType_DT_UINT8, TensorShape: shape(1<<62, 2, 2, 1), IntVal: []int32{7}})
	add("jpegs", &tensorpb.TensorProto{Dtype: typespb.DataType_DT_STRING, TensorShape: shape(2), StringVal: [][]byte{{1}, nil}})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		var r tfserving.PredictRequest
		if proto.Unmarshal(encoded, &r) != nil {
			return
		}
		for _, sig := range []signature{imagesSig, filesSig} {
			in, err := inputOf(&r, sig, small, 3)
			if err != nil {
				checkClientError(t, err)
				continue
			}
			if in.n < 1 || in.n > 3 || sig.files && len(in.files) != in.n || !sig.files && len(in.images) != in.n*small.Bytes() {
				t.Errorf("%d images: %d bytes, %d files", in.n, len(in.images), len(in.files))
			}
		}
	})
}

// Paths are read, or refused with the client's status.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/v1/models/galaxy:predict", "/v1/models/galaxy/versions/12/metadata", "/v1/models/galaxy/versions/1:predict", "/v1/models//versions/-1", "/v1/models/:predict", "/v1/models/a:b:predict"} {
		f.Add("POST", path)
		f.Add("GET", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		got, err := parsePath(method, path)
		if err != nil {
			if code := httpStatus(err); code != 400 && code != 501 {
				t.Error(err)
			}
			return
		}
		if got.model == "" || strings.ContainsAny(got.model, "/:") || got.version < 0 || !strings.HasPrefix(path, "/v1/models/"+got.model) {
			t.Errorf("%s %q is %+v", method, path, got)
		}
	})
}
