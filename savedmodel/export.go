package savedmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	graphpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/graph_go_proto"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	"google.golang.org/protobuf/proto"

	"galaxy/data/imagefile"
	"galaxy/graph"
	"galaxy/graph/images"
	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/durable"
)

// Names that clients of a model use.
const (
	// Tag is the tag of the meta graph.
	Tag = "serve"
	// SignatureImages and SignatureJPEGs name the two signatures.
	SignatureImages = "serving_default"
	SignatureJPEGs  = "serving_jpeg"
	// InputImages and InputJPEGs name their inputs.
	InputImages = "images"
	InputJPEGs  = "jpegs"
	// OutputLogits and OutputProbabilities name the outputs of both.
	OutputLogits        = "logits"
	OutputProbabilities = "probabilities"
)

// Files of a SavedModel, fixed by its format.
const (
	modelFile = "saved_model.pb"
	// CardFile is the model card's.
	CardFile        = "README.md"
	variablesPrefix = "variables/variables"
)

// Config holds the settings of Export.
type Config struct {
	// Out is the folder to make; it must not exist.
	Out string
	// Checkpoint is the path prefix of the TensorFlow bundle with the weights:
	// PREFIX.index and PREFIX.data-…. Values other than the network's are
	// ignored.
	Checkpoint string
	// Model is the network's training configuration, except that Precision may
	// differ.
	Model network.Config
	// Posterior turns logits into probabilities.
	Posterior graph.Posterior
	// Crop is the central square of a JPEG that is downscaled to Model.Size; at least Model.Size
	// if it is in pixels.
	Crop imagefile.Crop
	// Frozen makes the weights constants and folds batch norm.
	Frozen bool
	// Calibration holds images, uint8 [N, Size, Size, channels], for a frozen model with blocks in
	// network.Int8, whose ranges are measured on them; nil exports the complete model in
	// Model.Precision.
	Calibration []byte
	// Card is the model card, Markdown; nil writes none. People may change it: it has no checksum.
	Card []byte
	// Metadata is written with the model; its Bands and Stretch decide whether the model serves JPEGs. Export itself fills in TensorFlow,
	// Size, Crop, Precision, Needs, Frozen and SHA256.
	Metadata Metadata
}

// Export writes a SavedModel of a checkpoint's weights to cfg.Out, as described in the
// package's documentation. An existing Out, weights that do not fit cfg.Model, and weights
// that are not finite are errors. After an error, or when ctx ends, there is no Out.
func Export(ctx context.Context, cfg Config) error {
	if err := export(ctx, cfg); err != nil {
		return fmt.Errorf("export SavedModel %s: %w", cfg.Out, err)
	}
	return nil
}

func export(ctx context.Context, cfg Config) error {
	if n := len(cfg.Metadata.Answers); n != cfg.Model.Outputs {
		return fmt.Errorf("%d names of answers: expected one for each of the %d outputs", n, cfg.Model.Outputs)
	}
	if n := cfg.Metadata.Bands.Channels(); n != cfg.Model.Shape().Channels {
		return fmt.Errorf("%d bands (%v): expected one for each of the %d channels", n, cfg.Metadata.Bands, cfg.Model.Shape().Channels)
	}
	if cfg.Calibration != nil && !cfg.Frozen {
		return fmt.Errorf("precision %s is for frozen models", network.Int8)
	}
	if !cfg.Frozen {
		if err := session.CheckPath(cfg.Out); err != nil {
			return err
		}
	}
	return durable.Folder(cfg.Out, func(dir string) error { return write(ctx, dir, cfg) })
}

// write fills dir, a new folder.
func write(ctx context.Context, dir string, cfg Config) error {
	if err := os.Mkdir(filepath.Join(dir, filepath.Dir(metadataFile)), 0o777); err != nil {
		return err
	}
	inf, err := graph.NewInferenceGraph(cfg.Model, cfg.Posterior, nil)
	if err != nil {
		return err
	}
	inference, err := inf.Open(session.Config{})
	if err != nil {
		return err
	}
	defer inference.Close()
	if err := inference.Restore(cfg.Checkpoint); err != nil {
		return err
	}
	weights, err := inference.Weights()
	if err != nil {
		return err
	}
	if err := checkWeights(weights, inf.Variables); err != nil {
		return fmt.Errorf("checkpoint %s: %w", cfg.Checkpoint, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case cfg.Calibration != nil:
		ranges, err := graph.Calibrate(cfg.Model, weights, cfg.Calibration, session.Config{})
		if err != nil {
			return err
		}
		if inf, err = graph.NewQuantizedGraph(cfg.Model, cfg.Posterior, weights, ranges); err != nil {
			return err
		}
	case cfg.Frozen:
		if inf, err = graph.NewInferenceGraph(cfg.Model, cfg.Posterior, weights); err != nil {
			return err
		}
	default:
		prefix := filepath.Join(dir, filepath.FromSlash(variablesPrefix))
		if err := os.Mkdir(filepath.Dir(prefix), 0o777); err != nil {
			return err
		}
		if err := inference.Save(prefix); err != nil {
			return err
		}
	}
	model, err := modelProto(inf, cfg)
	if err != nil {
		return err
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(model)
	if err != nil {
		return fmt.Errorf("encode %s: %w", modelFile, err)
	}
	if err := os.WriteFile(filepath.Join(dir, modelFile), encoded, 0o666); err != nil {
		return err
	}
	if err := writeWarmup(dir, cfg, servesJPEGs(cfg)); err != nil {
		return err
	}
	if err := writeMetadata(dir, cfg); err != nil {
		return err
	}
	if cfg.Card != nil {
		if err := os.WriteFile(filepath.Join(dir, CardFile), cfg.Card, 0o666); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// checkWeights returns an error for a variable whose size differs from the network's or that
// has a value that is not finite.
func checkWeights(weights network.Weights, variables []network.Variable) error {
	for _, v := range variables {
		values := weights[v.Name]
		if len(values) != v.Elements() {
			return fmt.Errorf("variable %s has %d values: expected %d, of shape %v; it is another network's", v.Name, len(values), v.Elements(), v.Shape)
		}
		for _, x := range values {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("variable %s holds %v; choose a checkpoint from before the loss went wrong", v.Name, x)
			}
		}
	}
	return nil
}

// servesJPEGs reports whether the model has SignatureJPEGs.
func servesJPEGs(cfg Config) bool {
	return cfg.Metadata.Bands.Picture() && cfg.Metadata.Stretch.IsZero()
}

// modelProto adds the nodes for serving to inf's graph and returns its SavedModel.
func modelProto(inf *graph.InferenceGraph, cfg Config) (*pb.SavedModel, error) {
	g := inf.Graph
	var jpegs, decoded tf.Output
	pictures := servesJPEGs(cfg)
	if pictures {
		var err error
		if jpegs, decoded, err = images.DecodeJPEGs(g, "jpeg", cfg.Crop, cfg.Model.Shape()); err != nil {
			return nil, err
		}
	}
	var saver *pb.SaverDef
	if len(inf.Variables) > 0 {
		// A saver needs a tensor that is ready when everything is saved.
		s := op.NewScopeWithGraph(g)
		saved := op.Identity(s.SubScope("saved").WithControlDependencies(inf.Save), inf.Prefix)
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("add saver: %w", err)
		}
		saver = &pb.SaverDef{
			FilenameTensorName: tensorName(inf.Prefix),
			SaveTensorName:     tensorName(saved),
			RestoreOpName:      inf.Restored.Name(),
			Version:            pb.SaverDef_V2,
		}
	}
	def, err := session.Def(g)
	if err != nil {
		return nil, err
	}
	outputs := map[string]*pb.TensorInfo{
		OutputLogits:        tensorInfo(inf.Logits),
		OutputProbabilities: tensorInfo(inf.Probabilities),
	}
	signature := func(input string, x tf.Output) *pb.SignatureDef {
		return &pb.SignatureDef{
			Inputs:     map[string]*pb.TensorInfo{input: tensorInfo(x)},
			Outputs:    outputs,
			MethodName: "tensorflow/serving/predict",
		}
	}
	signatures := map[string]*pb.SignatureDef{SignatureImages: signature(InputImages, inf.Images)}
	if pictures {
		if err := setDefault(def, inf.Images, decoded); err != nil {
			return nil, err
		}
		signatures[SignatureJPEGs] = signature(InputJPEGs, jpegs)
	}
	return &pb.SavedModel{
		SavedModelSchemaVersion: 1,
		MetaGraphs: []*pb.MetaGraphDef{{
			MetaInfoDef: &pb.MetaGraphDef_MetaInfoDef{
				Tags:              []string{Tag},
				TensorflowVersion: tf.Version(),
			},
			GraphDef:     def,
			SaverDef:     saver,
			SignatureDef: signatures,
		}},
	}, nil
}

// setDefault makes the placeholder x take the value of y if it is not fed, so
// that one network serves two inputs. It changes the proto because a graph's
// nodes cannot change their type.
func setDefault(def *graphpb.GraphDef, x, y tf.Output) error {
	for _, n := range def.Node {
		if n.Name == x.Op.Name() && n.Op == "Placeholder" {
			n.Op = "PlaceholderWithDefault"
			n.Input = []string{tensorName(y)}
			return nil
		}
	}
	return fmt.Errorf("graph has no placeholder %s", x.Op.Name())
}

func tensorName(x tf.Output) string { return fmt.Sprintf("%s:%d", x.Op.Name(), x.Index) }

func tensorInfo(x tf.Output) *pb.TensorInfo {
	shape := x.Shape()
	dims := new(shapepb.TensorShapeProto)
	for i := range shape.NumDimensions() {
		dims.Dim = append(dims.Dim, &shapepb.TensorShapeProto_Dim{Size: shape.Size(i)})
	}
	return &pb.TensorInfo{
		Encoding:    &pb.TensorInfo_Name{Name: tensorName(x)},
		Dtype:       typespb.DataType(x.DataType()),
		TensorShape: dims,
	}
}

func writeMetadata(dir string, cfg Config) error {
	m := cfg.Metadata
	m.TensorFlow = tf.Version()
	m.Arch, m.Padding, m.Size, m.Crop = cfg.Model.Arch, cfg.Model.Padding, cfg.Model.Size, cfg.Crop
	m.Precision, m.Frozen = cfg.Model.Precision, cfg.Frozen
	if cfg.Calibration != nil {
		m.Precision = network.Int8
	}
	m.Needs = needs(m.Precision, cfg.Model.Precision)
	m.SHA256 = map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			m.SHA256[filepath.ToSlash(name)], err = checksum(path)
		}
		return err
	})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode metadata: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, filepath.FromSlash(metadataFile)), append(text, '\n'), 0o666)
}
