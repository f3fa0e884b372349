package savedmodel

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	tg "github.com/galeone/tfgo"
	"google.golang.org/protobuf/proto"

	"galaxy/graph"
)

// LoadConfig says what a model must fit and how it is run.
type LoadConfig struct {
	// Size is the height and width of the images it will be given, pixels; 0
	// takes any model.
	Size int
	// Outputs is the number of answers expected of it; 0 takes any model.
	Outputs int
	// Session says how the graph is run.
	Session graph.SessionConfig
}

// Model is a loaded SavedModel. Its methods may be called concurrently. Its
// session ends when the Model is garbage collected.
type Model struct {
	graph.Predictor
	metadata *Metadata
}

// Load opens a SavedModel, of Export or of anything else that writes the tag
// "serve" and a signature serving_default from images, uint8
// [-1, size, size, 3], to logits and probabilities, float32 [-1, outputs]. It
// says which file is missing or damaged, and what a model of another kind has
// instead.
//
// A SavedModel is a program: load only what you trust.
func Load(dir string, cfg LoadConfig) (*Model, error) {
	m, err := load(dir, cfg)
	if err != nil {
		return nil, fmt.Errorf("load SavedModel %s: %w", dir, err)
	}
	return m, nil
}

func load(dir string, cfg LoadConfig) (*Model, error) {
	// Read before TensorFlow does: it would report a missing variable at the
	// first prediction only, and tfgo's Model does not show the signatures.
	sig, err := readSignature(dir)
	if err != nil {
		return nil, err
	}
	if cfg.Size != 0 && cfg.Size != sig.size {
		return nil, fmt.Errorf("it takes images of %[1]d×%[1]d pixels, the data has %[2]d×%[2]d; prepare the data at size %[1]d or choose another model", sig.size, cfg.Size)
	}
	if cfg.Outputs != 0 && cfg.Outputs != sig.outputs {
		return nil, fmt.Errorf("it gives %d answers: expected %d; choose another model", sig.outputs, cfg.Outputs)
	}
	m := &Model{Predictor: graph.Predictor{Size: sig.size, Outputs: sig.outputs}}
	if m.metadata, err = readMetadata(dir); err != nil {
		return nil, err
	}
	options, err := cfg.Session.Options()
	if err != nil {
		return nil, err
	}
	var model *tg.Model
	err = caught(func() {
		model = tg.LoadModel(dir, []string{Tag}, options)
		m.Images, m.Logits, m.Probabilities = output(model, sig.images), output(model, sig.logits), output(model, sig.probabilities)
	})
	if err != nil {
		return nil, err
	}
	m.Run = func(feeds map[tf.Output]*tf.Tensor, fetches []tf.Output, _ []*tf.Operation) (got []*tf.Tensor, err error) {
		err = caught(func() { got = model.Exec(fetches, feeds) })
		return got, err
	}
	return m, nil
}

// signature is what SignatureImages says of a model: the names of its tensors
// and their sizes.
type signature struct {
	images, logits, probabilities string
	size, outputs                 int
}

// readSignature reads the signature to serve, checked.
func readSignature(dir string) (signature, error) {
	meta, err := readMetaGraph(dir)
	if err != nil {
		return signature{}, err
	}
	def, ok := meta.SignatureDef[SignatureImages]
	if !ok {
		return signature{}, fmt.Errorf("it has no signature %s, only %s; export it with galaxy", SignatureImages, list(meta.SignatureDef))
	}
	images, err := endpoint("input", def.Inputs, InputImages, typespb.DataType_DT_UINT8, 4)
	if err != nil {
		return signature{}, err
	}
	logits, err := endpoint("output", def.Outputs, OutputLogits, typespb.DataType_DT_FLOAT, 2)
	if err != nil {
		return signature{}, err
	}
	probabilities, err := endpoint("output", def.Outputs, OutputProbabilities, typespb.DataType_DT_FLOAT, 2)
	if err != nil {
		return signature{}, err
	}
	dims := images.TensorShape.Dim
	size := dims[1].Size
	if dims[0].Size != -1 || size < 1 || size > maxSize || dims[2].Size != size || dims[3].Size != 3 {
		return signature{}, fmt.Errorf("signature %s: input %s has the shape %s: expected [-1, size, size, 3]", SignatureImages, InputImages, shapeString(images))
	}
	outputs := logits.TensorShape.Dim[1].Size
	if outputs < 1 || probabilities.TensorShape.Dim[1].Size != outputs {
		return signature{}, fmt.Errorf("signature %s: outputs %s and %s have the shapes %s and %s: expected [-1, outputs] of both",
			SignatureImages, OutputLogits, OutputProbabilities, shapeString(logits), shapeString(probabilities))
	}
	return signature{
		images: images.GetName(), logits: logits.GetName(), probabilities: probabilities.GetName(),
		size: int(size), outputs: int(outputs),
	}, nil
}

// maxSize keeps size·size·3 far from overflowing, whatever a file says.
const maxSize = 1 << 16

// caught returns the panic of f, which is how tfgo reports errors, as an error.
func caught(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	f()
	return nil
}

// output finds the tensor "operation:index"; it panics as tfgo does.
func output(m *tg.Model, tensor string) tf.Output {
	name, index, _ := strings.Cut(tensor, ":")
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 {
		panic(fmt.Errorf("tensor %q of the signature: expected operation:index", tensor))
	}
	return m.Op(name, i)
}

// readMetaGraph reads the meta graph to serve and looks for the variables that
// it needs.
func readMetaGraph(dir string) (*pb.MetaGraphDef, error) {
	path := filepath.Join(dir, modelFile)
	encoded, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no file %s: expected the folder of a SavedModel, as galaxy export writes it", path)
	}
	if err != nil {
		return nil, err
	}
	model := new(pb.SavedModel)
	if err := proto.Unmarshal(encoded, model); err != nil {
		return nil, fmt.Errorf("file %s is damaged or no SavedModel; export the model again: %w", path, err)
	}
	var found []string
	for _, meta := range model.MetaGraphs {
		tags := meta.GetMetaInfoDef().GetTags()
		if slices.Equal(tags, []string{Tag}) {
			return meta, checkVariables(dir, meta)
		}
		found = append(found, "["+strings.Join(tags, ", ")+"]")
	}
	return nil, fmt.Errorf("file %s has no meta graph tagged [%s], only %s", path, Tag, strings.Join(found, ", "))
}

// checkVariables reports files of variables that are not there.
func checkVariables(dir string, meta *pb.MetaGraphDef) error {
	if meta.GetSaverDef() == nil {
		return nil
	}
	if strings.ContainsAny(dir, `*?[`) {
		return errors.New("the path holds one of the characters * ? [, which TensorFlow takes for a pattern when it looks for variables; move the model to a path without them")
	}
	for _, pattern := range []string{variablesPrefix + ".index", variablesPrefix + ".data-00000-of-*"} {
		path := filepath.Join(dir, filepath.FromSlash(pattern))
		if matches, err := fs.Glob(os.DirFS(dir), pattern); err != nil || len(matches) == 0 {
			return fmt.Errorf("file %s is missing; export the model again", path)
		}
	}
	return nil
}

// endpoint finds an input or output of the signature and checks its dtype and
// number of dimensions.
func endpoint(kind string, infos map[string]*pb.TensorInfo, name string, dtype typespb.DataType, rank int) (*pb.TensorInfo, error) {
	info, ok := infos[name]
	if !ok {
		return nil, fmt.Errorf("signature %s has no %s %s, only %s", SignatureImages, kind, name, list(infos))
	}
	if info.Dtype != dtype {
		return nil, fmt.Errorf("signature %s: %s %s is %v: expected %v", SignatureImages, kind, name, info.Dtype, dtype)
	}
	if info.GetTensorShape().GetUnknownRank() || len(info.GetTensorShape().GetDim()) != rank {
		return nil, fmt.Errorf("signature %s: %s %s has the shape %s: expected %d dimensions", SignatureImages, kind, name, shapeString(info), rank)
	}
	return info, nil
}

func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "nothing"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

func shapeString(info *pb.TensorInfo) string {
	if info.GetTensorShape().GetUnknownRank() {
		return "unknown"
	}
	var dims []string
	for _, d := range info.GetTensorShape().GetDim() {
		dims = append(dims, strconv.FormatInt(d.Size, 10))
	}
	return "[" + strings.Join(dims, ", ") + "]"
}

// Metadata is what galaxy wrote beside the model; nil for a model of another
// program.
func (m *Model) Metadata() *Metadata { return m.metadata }
