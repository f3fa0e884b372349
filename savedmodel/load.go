package savedmodel

import (
	"cmp"
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
	"google.golang.org/protobuf/proto"

	"galaxy/data/imagefile"
	"galaxy/graph"
	"galaxy/graph/session"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
)

// LoadConfig holds what a model must fit, the names of its tensors, and how it is run. The
// zero value accepts every model that Export writes.
type LoadConfig struct {
	// Size is the height and width of its images, pixels; 0 accepts any model
	// whose signature records its size.
	Size int
	// Outputs is its expected number of outputs; 0 accepts any model.
	Outputs int
	// Session configures the session that runs the graph.
	Session session.Config

	// Signature names the signature to run; "" is SignatureImages.
	Signature string
	// Input names its input of images; "" is InputImages, or the only input.
	Input string
	// Logits and Probabilities name its outputs. "" is OutputLogits and
	// OutputProbabilities, if they exist. If neither exists or is named, the
	// only output is used as probabilities.
	Logits, Probabilities string
	// Pixels is the range of values that a float32 input expects, which
	// signatures do not record. For a uint8 input it must be empty.
	Pixels graph.Pixels
}

// Model is a loaded SavedModel. Its methods may be called concurrently. Its
// session ends with Close, or when the Model is garbage collected.
type Model struct {
	graph.Predictor
	metadata *Metadata
	warning  string
	close    func() error
}

// Load opens a SavedModel from Export or another program. It needs the tag "serve"
// (Keras' model.export writes it) and a signature from images, uint8 or float32 [-1,
// size, size, channels], to logits, probabilities or both, float32 [-1, outputs]; size may be
// -1. An error names the missing or damaged file, or the property in which a model
// differs.
//
// A SavedModel is a program: load only models you trust.
func Load(dir string, cfg LoadConfig) (*Model, error) {
	m, err := load(dir, cfg)
	if err != nil {
		return nil, fmt.Errorf("load SavedModel %s: %w", dir, err)
	}
	return m, nil
}

func load(dir string, cfg LoadConfig) (*Model, error) {
	if err := cfg.Pixels.Validate(); err != nil {
		return nil, err
	}
	// Read before TensorFlow does: it would report a missing variable at the
	// first prediction only.
	sig, err := readSignature(dir, cfg)
	if err != nil {
		return nil, err
	}
	m := &Model{Predictor: graph.Predictor{Shape: sig.shape, Outputs: sig.outputs, Pixels: cfg.Pixels}}
	if m.metadata, err = ReadMetadata(dir); err != nil {
		return nil, err
	}
	if m.metadata != nil {
		if m.warning, err = m.metadata.check(hasNeed(cfg.Session)); err != nil {
			return nil, err
		}
	}
	options, err := cfg.Session.Options()
	if err != nil {
		return nil, err
	}
	model, err := tf.LoadSavedModel(dir, []string{Tag}, options)
	if err != nil {
		return nil, err
	}
	m.Graph, m.Run, m.close = model.Graph, model.Session.Run, model.Session.Close
	for _, o := range []struct {
		tensor string
		output *tf.Output
	}{{sig.images, &m.Images}, {sig.logits, &m.Logits}, {sig.probabilities, &m.Probabilities}} {
		if *o.output, err = output(model.Graph, o.tensor); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// signature holds the signature to run: the names of its tensors (empty for missing
// outputs) and their sizes.
type signature struct {
	images, logits, probabilities string
	shape                         imagefile.Shape
	outputs                       int
}

// readSignature reads the signature to run, checked against cfg.
func readSignature(dir string, cfg LoadConfig) (signature, error) {
	meta, err := readMetaGraph(dir)
	if err != nil {
		return signature{}, err
	}
	name := cmp.Or(cfg.Signature, SignatureImages)
	def, ok := meta.SignatureDef[name]
	if !ok {
		return signature{}, usage.Errorf("it has no signature %s, only %s; name one of them ({signature}), or export it with galaxy", name, list(meta.SignatureDef))
	}
	var sig signature
	if err := sig.read(def, cfg); err != nil {
		return signature{}, fmt.Errorf("signature %s: %w", name, err)
	}
	if cfg.Size != 0 && cfg.Size != sig.shape.Size {
		return signature{}, fmt.Errorf("it takes images of %[1]d×%[1]d pixels, the data has %[2]d×%[2]d; prepare the data at size %[1]d or choose another model", sig.shape.Size, cfg.Size)
	}
	if cfg.Outputs != 0 && cfg.Outputs != sig.outputs {
		return signature{}, fmt.Errorf("it gives %d answers: expected %d; choose another model", sig.outputs, cfg.Outputs)
	}
	return sig, nil
}

func (s *signature) read(def *pb.SignatureDef, cfg LoadConfig) error {
	input := cfg.Input
	if input == "" {
		input = InputImages
		if _, ok := def.Inputs[input]; !ok && len(def.Inputs) == 1 {
			input = list(def.Inputs)
		}
	}
	if err := s.readInput(def.Inputs, input, cfg); err != nil {
		return err
	}
	logits, probabilities := cfg.Logits, cfg.Probabilities
	if _, ok := def.Outputs[OutputLogits]; ok && logits == "" {
		logits = OutputLogits
	}
	if _, ok := def.Outputs[OutputProbabilities]; ok && probabilities == "" {
		probabilities = OutputProbabilities
	}
	if logits == "" && probabilities == "" {
		if len(def.Outputs) != 1 {
			return usage.Errorf("it has no output %s or %s, only %s; name the one that is ({probabilities} or {logits})", OutputLogits, OutputProbabilities, list(def.Outputs))
		}
		probabilities = list(def.Outputs)
	}
	for _, o := range []struct {
		name   string
		tensor *string
	}{{logits, &s.logits}, {probabilities, &s.probabilities}} {
		if o.name == "" {
			continue
		}
		if err := s.readOutput(def.Outputs, o.name, o.tensor); err != nil {
			return err
		}
	}
	return nil
}

// readInput checks the images: their dtype against the requested pixels, and their
// shape.
func (s *signature) readInput(inputs map[string]*pb.TensorInfo, name string, cfg LoadConfig) error {
	info, err := endpoint("input", inputs, name, 4)
	if err != nil {
		return err
	}
	switch float := info.Dtype == typespb.DataType_DT_FLOAT; {
	case !float && info.Dtype != typespb.DataType_DT_UINT8:
		return fmt.Errorf("input %s is %v: expected DT_UINT8 or DT_FLOAT", name, info.Dtype)
	case !float && cfg.Pixels != graph.PixelsBytes:
		return fmt.Errorf("input %s is uint8: its pixels are 0 to 255, not %s; leave the range out", name, cfg.Pixels)
	case float && cfg.Pixels == graph.PixelsBytes:
		return usage.Errorf("input %s is float32, and the signature does not tell in which range it expects pixels: say ({pixels}) %s, %s or %s",
			name, graph.Pixels255, graph.PixelsUnit, graph.PixelsSigned)
	}
	dims := info.TensorShape.Dim
	size := dims[1].Size
	if size == -1 { // a network for any size
		if cfg.Size == 0 {
			return usage.Errorf("input %s takes images of any size; say of which, as by {size}", name)
		}
		size = int64(cfg.Size)
	}
	if dims[0].Size != -1 || size < 1 || size > maxSize || dims[2].Size != dims[1].Size || dims[3].Size < 1 || dims[3].Size > imagefile.MaxBands {
		return fmt.Errorf("input %s has the shape %s: expected [-1, size, size, channels] with 1 to %d channels", name, shapeString(info), imagefile.MaxBands)
	}
	s.images, s.shape = info.GetName(), imagefile.Shape{Size: int(size), Channels: int(dims[3].Size)}
	return nil
}

// readOutput checks an output's dtype and shape, and that all have one width.
func (s *signature) readOutput(outputs map[string]*pb.TensorInfo, name string, tensor *string) error {
	info, err := endpoint("output", outputs, name, 2)
	if err != nil {
		return err
	}
	if info.Dtype != typespb.DataType_DT_FLOAT {
		return fmt.Errorf("output %s is %v: expected DT_FLOAT", name, info.Dtype)
	}
	width := info.TensorShape.Dim[1].Size
	if width < 1 || width > maxSize || s.outputs != 0 && int(width) != s.outputs {
		return fmt.Errorf("output %s has the shape %s: expected [-1, outputs], of logits and probabilities alike", name, shapeString(info))
	}
	*tensor, s.outputs = info.GetName(), int(width)
	return nil
}

// maxSize keeps an image's bytes far from overflowing, whatever a file contains.
const maxSize = 1 << 16

// output finds the tensor "operation:index", none for "".
func output(g *tf.Graph, tensor string) (tf.Output, error) {
	if tensor == "" {
		return tf.Output{}, nil
	}
	name, index, _ := strings.Cut(tensor, ":")
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 {
		return tf.Output{}, fmt.Errorf("tensor %q of the signature: expected operation:index", tensor)
	}
	o := g.Operation(name)
	if o == nil {
		return tf.Output{}, fmt.Errorf("op %s not found", name)
	}
	if o.NumOutputs() <= i {
		return tf.Output{}, fmt.Errorf("op %s has %d outputs, the signature names number %d", name, o.NumOutputs(), i)
	}
	return o.Output(i), nil
}

// maxModelBytes is the largest size of a protocol buffer.
const maxModelBytes = 2<<30 - 1

// readMetaGraph reads the meta graph to serve and checks that its variables'
// files exist.
func readMetaGraph(dir string) (*pb.MetaGraphDef, error) {
	path := filepath.Join(dir, modelFile)
	encoded, err := durable.ReadFile(path, maxModelBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no file %s: expected the folder of a SavedModel, as galaxy export writes it", path)
	}
	if err != nil {
		return nil, err
	}
	model := new(pb.SavedModel)
	if err := proto.Unmarshal(encoded, model); err != nil {
		return nil, fmt.Errorf("file %s is damaged or no SavedModel; export the model again", path)
	}
	var found []string
	for _, meta := range model.MetaGraphs {
		tags := meta.GetMetaInfoDef().GetTags()
		if slices.Equal(tags, []string{Tag}) {
			return meta, checkVariables(dir, meta)
		}
		found = append(found, "["+strings.Join(tags, ", ")+"]")
	}
	if len(found) == 0 { // an empty file too is a message without fields
		return nil, fmt.Errorf("file %s has no graph: it is damaged or no SavedModel; export the model again", path)
	}
	return nil, fmt.Errorf("file %s has no meta graph tagged [%s], only %s", path, Tag, strings.Join(found, ", "))
}

// checkVariables reports missing files of variables.
func checkVariables(dir string, meta *pb.MetaGraphDef) error {
	if meta.GetSaverDef() == nil {
		return nil
	}
	if err := session.CheckPath(dir); err != nil {
		return err
	}
	for _, pattern := range []string{variablesPrefix + ".index", variablesPrefix + ".data-00000-of-*"} {
		path := filepath.Join(dir, filepath.FromSlash(pattern))
		if matches, err := fs.Glob(os.DirFS(dir), pattern); err != nil || len(matches) == 0 {
			return fmt.Errorf("file %s is missing; export the model again", path)
		}
	}
	if err := session.CheckBundle(filepath.Join(dir, filepath.FromSlash(variablesPrefix))); err != nil {
		return fmt.Errorf("%w; export the model again", err)
	}
	return nil
}

// Variables returns the path prefix of the TensorFlow bundle with the weights of the SavedModel in
// dir, checked, and the columns that it predicts, nil for a third-party model. A frozen model has
// no such weights: that is an error.
func Variables(dir string) (prefix string, columns []string, err error) {
	meta, err := ReadMetadata(dir)
	if err == nil {
		_, err = readMetaGraph(dir)
	}
	if err != nil {
		return "", nil, fmt.Errorf("SavedModel %s: %w", dir, err)
	}
	prefix = filepath.Join(dir, filepath.FromSlash(variablesPrefix))
	if _, err := os.Stat(prefix + ".index"); errors.Is(err, fs.ErrNotExist) {
		return "", nil, usage.Errorf("SavedModel %s: its weights are constants with folded batch norm, which cannot be trained further: export the run without {frozen}", dir)
	}
	if meta != nil {
		columns = meta.Answers
	}
	return prefix, columns, nil
}

// endpoint finds an input or output of the signature and checks its number of
// dimensions.
func endpoint(kind string, infos map[string]*pb.TensorInfo, name string, rank int) (*pb.TensorInfo, error) {
	info, ok := infos[name]
	if !ok {
		return nil, fmt.Errorf("it has no %s %s, only %s", kind, name, list(infos))
	}
	if info.GetName() == "" {
		return nil, fmt.Errorf("%s %s is no single tensor: expected a dense one", kind, name)
	}
	if info.GetTensorShape().GetUnknownRank() || len(info.GetTensorShape().GetDim()) != rank {
		return nil, fmt.Errorf("%s %s has the shape %s: expected %d dimensions", kind, name, shapeString(info), rank)
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

// Warning returns what a user should know about how the model runs here, "" for nothing.
func (m *Model) Warning() string { return m.warning }

// Metadata returns the metadata that galaxy wrote with the model; nil for a third-party
// model.
func (m *Model) Metadata() *Metadata { return m.metadata }

// Close ends the session, after the predictions under way, and frees the weights. The Model must not be used afterwards.
func (m *Model) Close() error { return m.close() }
