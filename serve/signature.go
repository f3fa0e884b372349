package serve

import (
	"maps"
	"slices"
	"strings"

	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"

	"galaxy/savedmodel"
)

// A signature is one way to ask for predictions: with images or with files.
type signature struct {
	name, input string
	files       bool
}

// signature returns the signature with a name, "" for the default one.
func (m *Model) signature(name string) (signature, error) {
	all := m.signatures()
	if name == "" {
		name = savedmodel.SignatureImages
	}
	if sig, ok := all[name]; ok {
		return sig, nil
	}
	return signature{}, invalid("Serving signature name: %q not found in signature def; expected %s", clip([]byte(name)), strings.Join(slices.Sorted(maps.Keys(all)), " or "))
}

// signatures returns the signatures by name.
func (m *Model) signatures() map[string]signature {
	all := map[string]signature{savedmodel.SignatureImages: {savedmodel.SignatureImages, savedmodel.InputImages, false}}
	if m.Decoder != nil {
		all[savedmodel.SignatureJPEGs] = signature{savedmodel.SignatureJPEGs, savedmodel.InputJPEGs, true}
	}
	return all
}

// definitions returns the signatures as clients see them in the metadata.
func (m *Model) definitions() map[string]*pb.SignatureDef {
	info := func(name string, dtype typespb.DataType, dims ...int) *pb.TensorInfo {
		return &pb.TensorInfo{Encoding: &pb.TensorInfo_Name{Name: name + ":0"}, Dtype: dtype, TensorShape: shapeOf(append([]int{-1}, dims...)...)}
	}
	outputs := map[string]*pb.TensorInfo{}
	for _, name := range m.outputs() {
		outputs[name] = info(name, typespb.DataType_DT_FLOAT, m.width())
	}
	defs := map[string]*pb.SignatureDef{}
	for name, sig := range m.signatures() {
		in := info(sig.input, typespb.DataType_DT_UINT8, m.Shape.Size, m.Shape.Size, m.Shape.Channels)
		if sig.files {
			in = info(sig.input, typespb.DataType_DT_STRING)
		}
		defs[name] = &pb.SignatureDef{Inputs: map[string]*pb.TensorInfo{sig.input: in}, Outputs: outputs, MethodName: "tensorflow/serving/predict"}
	}
	return defs
}

// outputConcentrations is the output that a model with Concentrations has besides those of its SavedModel.
const outputConcentrations = "concentrations"

// outputs returns the names of the model's outputs.
func (m *Model) outputs() (all []string) {
	if m.logits {
		all = append(all, savedmodel.OutputLogits)
	}
	all = append(all, savedmodel.OutputProbabilities)
	if m.Concentrations != nil {
		all = append(all, outputConcentrations)
	}
	return all
}

// columns returns the names of the columns of the outputs that a table has.
func (m *Model) columns() map[string][]string {
	if m.Columns == nil {
		return map[string][]string{savedmodel.OutputProbabilities: m.Target.Columns()}
	}
	named := map[string][]string{savedmodel.OutputProbabilities: m.Columns[:m.width()]}
	if m.Concentrations != nil {
		named[outputConcentrations] = m.Columns[m.width():]
	}
	return named
}

// An output is the answers of one output, float32 [n, width] in row-major order.
type output struct {
	name   string
	values []float32
}

// outputs returns the outputs that there are.
func (a *answers) outputs() (all []output) {
	if a.logits != nil {
		all = append(all, output{savedmodel.OutputLogits, a.logits})
	}
	all = append(all, output{savedmodel.OutputProbabilities, a.probabilities})
	if a.concentrations != nil {
		all = append(all, output{outputConcentrations, a.concentrations})
	}
	return all
}
