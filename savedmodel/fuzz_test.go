package savedmodel

import (
	"os"
	"path/filepath"
	"testing"

	graphpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/graph_go_proto"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"google.golang.org/protobuf/proto"

	"galaxy/graph"
)

// Any saved_model.pb gives a usable signature or an error.
func FuzzReadSignature(f *testing.F) {
	info := func(dtype typespb.DataType, dims ...int64) *pb.TensorInfo {
		shape := new(shapepb.TensorShapeProto)
		for _, d := range dims {
			shape.Dim = append(shape.Dim, &shapepb.TensorShapeProto_Dim{Size: d})
		}
		return &pb.TensorInfo{Encoding: &pb.TensorInfo_Name{Name: "x:0"}, Dtype: dtype, TensorShape: shape}
	}
	whole, err := proto.Marshal(&pb.SavedModel{MetaGraphs: []*pb.MetaGraphDef{{
		MetaInfoDef: &pb.MetaGraphDef_MetaInfoDef{Tags: []string{Tag}},
		GraphDef:    &graphpb.GraphDef{},
		SignatureDef: map[string]*pb.SignatureDef{SignatureImages: {
			Inputs: map[string]*pb.TensorInfo{InputImages: info(typespb.DataType_DT_UINT8, -1, 32, 32, 3)},
			Outputs: map[string]*pb.TensorInfo{
				OutputLogits:        info(typespb.DataType_DT_FLOAT, -1, 37),
				OutputProbabilities: info(typespb.DataType_DT_FLOAT, -1, 37),
			},
		}},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	read := func(t testing.TB, encoded []byte, cfg LoadConfig) (signature, error) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, modelFile), encoded, 0o666); err != nil {
			t.Fatal(err)
		}
		return readSignature(dir, cfg)
	}
	if s, err := read(f, whole, LoadConfig{}); err != nil || s.shape.Size != 32 || s.outputs != 37 {
		f.Fatalf("the seed gives %+v and %v", s, err)
	}
	f.Add(whole)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		for _, pixels := range []graph.Pixels{graph.PixelsBytes, graph.PixelsUnit} {
			s, err := read(t, encoded, LoadConfig{Pixels: pixels})
			if err == nil && (s.shape.Size < 1 || s.shape.Size > maxSize || s.outputs < 1 || s.images == "" && s.logits == "" && s.probabilities == "") {
				t.Errorf("got %+v", s)
			}
		}
	})
}

// Any metadata file gives metadata that fit the model, or an error.
func FuzzReadMetadata(f *testing.F) {
	f.Add([]byte(`{"format":1,"model":{"size":32},"sha256":{"saved_model.pb":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}`))
	f.Add([]byte(`{"sha256":{"../x":""}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, filepath.FromSlash(metadataFile))
		for name, raw := range map[string][]byte{path: text, filepath.Join(dir, modelFile): nil} {
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, raw, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		m, err := ReadMetadata(dir)
		if err != nil {
			return
		}
		for name := range m.SHA256 {
			if !filepath.IsLocal(filepath.FromSlash(name)) {
				t.Errorf("%q leads out of the model", name)
			}
		}
	})
}
