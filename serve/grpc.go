package serve

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	tensorpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_go_proto"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"galaxy/data/imagefile"
	"galaxy/internal/tfserving"
)

// grpcServer returns the server of TensorFlow Serving's gRPC services and gRPC's own of health.
func (s *Server) grpcServer() *grpc.Server {
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(s.cfg.MaxBody), grpc.MaxSendMsgSize(math.MaxInt32), grpc.MaxConcurrentStreams(256), grpc.ConnectionTimeout(s.cfg.Timeout),
		// A request that trickles in ends with its time too: a handler's own limit would start too late.
		grpc.InTapHandle(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
			ctx, cancel := context.WithTimeout(ctx, 2*s.cfg.Timeout)
			context.AfterFunc(ctx, cancel) // which the end of the request calls
			return ctx, nil
		}),
	)
	tfserving.RegisterPredictionServiceServer(g, predictionService{s: s})
	tfserving.RegisterModelServiceServer(g, modelService{s: s})
	healthpb.RegisterHealthServer(g, health.NewServer())
	return g
}

type predictionService struct {
	tfserving.UnimplementedPredictionServiceServer
	s *Server
}

type modelService struct {
	tfserving.UnimplementedModelServiceServer
	s *Server
}

// rpc calls answer for the model of a request, counts it, and gives its error a code.
func rpc[A any](s *Server, method string, spec *tfserving.ModelSpec, answer func(version int64) (A, error)) (a A, err error) {
	begin := time.Now()
	if err = s.checkName(spec.GetName()); err == nil {
		version := spec.GetVersion().GetValue()
		switch {
		case spec.GetVersionLabel() != "":
			err = invalid("labels of versions are not supported, because one version is in use at a time: expected a version's number, or neither")
		case version < 0:
			err = invalid("version %d: expected 1 or more", version)
		default:
			a, err = answer(version)
		}
	}
	s.metrics.answered("grpc", method, begin, err)
	if err != nil {
		return a, statusOf(err).Err()
	}
	return a, nil
}

// Predict implements TensorFlow Serving's call.
func (p predictionService) Predict(ctx context.Context, r *tfserving.PredictRequest) (*tfserving.PredictResponse, error) {
	return rpc(p.s, "predict", r.GetModelSpec(), func(version int64) (*tfserving.PredictResponse, error) {
		v, release, err := p.s.use(version)
		if err != nil {
			return nil, err
		}
		defer release()
		return p.s.grpcPredict(ctx, v, r)
	})
}

// GetModelMetadata implements TensorFlow Serving's call.
func (p predictionService) GetModelMetadata(_ context.Context, r *tfserving.GetModelMetadataRequest) (*tfserving.GetModelMetadataResponse, error) {
	return rpc(p.s, "metadata", r.GetModelSpec(), func(version int64) (*tfserving.GetModelMetadataResponse, error) {
		const field = "signature_def"
		if len(r.MetadataField) == 0 || slices.ContainsFunc(r.MetadataField, func(f string) bool { return f != field }) {
			return nil, invalid("metadata fields %q: expected %s", clip([]byte(strings.Join(r.MetadataField, ", "))), field)
		}
		v, release, err := p.s.use(version)
		if err != nil {
			return nil, err
		}
		defer release()
		signatures, err := anypb.New(&tfserving.SignatureDefMap{SignatureDef: v.model.definitions()})
		if err != nil {
			return nil, err
		}
		return &tfserving.GetModelMetadataResponse{ModelSpec: p.s.spec(v, ""), Metadata: map[string]*anypb.Any{field: signatures}}, nil
	})
}

// GetModelStatus implements TensorFlow Serving's call.
func (m modelService) GetModelStatus(_ context.Context, r *tfserving.GetModelStatusRequest) (*tfserving.GetModelStatusResponse, error) {
	return rpc(m.s, "status", r.GetModelSpec(), m.s.status)
}

// spec names a version.
func (s *Server) spec(v *version, signature string) *tfserving.ModelSpec {
	return &tfserving.ModelSpec{
		Name: s.cfg.Name, SignatureName: signature,
		VersionChoice: &tfserving.ModelSpec_Version{Version: wrapperspb.Int64(v.number)},
	}
}

// grpcPredict answers a request to predict.
func (s *Server) grpcPredict(ctx context.Context, v *version, r *tfserving.PredictRequest) (*tfserving.PredictResponse, error) {
	arrived := s.arrive(v)
	defer arrived()
	sig, err := v.model.signature(r.GetModelSpec().GetSignatureName())
	if err != nil {
		return nil, err
	}
	wanted, err := filter(v.model, r.OutputFilter)
	if err != nil {
		return nil, err
	}
	in, err := inputOf(r, sig, v.model.Shape, s.cfg.MaxItems)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	a, err := s.predict(ctx, v, in, arrived)
	if err != nil {
		return nil, err
	}
	answer := &tfserving.PredictResponse{ModelSpec: s.spec(v, sig.name), Outputs: map[string]*tensorpb.TensorProto{}}
	for _, o := range a.outputs() {
		if wanted[o.name] {
			answer.Outputs[o.name] = floats(o.values, in.n)
		}
	}
	if a.errs != nil {
		texts := &tensorpb.TensorProto{Dtype: typespb.DataType_DT_STRING, TensorShape: shapeOf(in.n)}
		for _, err := range a.errs {
			texts.StringVal = append(texts.StringVal, []byte(message(err)))
		}
		answer.Outputs[outputErrors] = texts
	}
	return answer, nil
}

// outputErrors is the output with the texts of errors, string [n], which is there if a file of several is
// broken.
const outputErrors = "errors"

// filter returns the outputs that a request wants: all if it names none.
func filter(m *Model, names []string) (map[string]bool, error) {
	wanted, all := map[string]bool{}, m.outputs()
	if len(names) == 0 {
		names = all
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, invalid("output_filter: the model has no output %q: expected %s", clip([]byte(name)), strings.Join(all, " or "))
		}
		wanted[name] = true
	}
	return wanted, nil
}

// inputOf returns the input of a signature, of at most so many images, of a request. Its bytes may be the
// request's own.
func inputOf(r *tfserving.PredictRequest, sig signature, shape imagefile.Shape, most int) (in input, err error) {
	for name := range r.Inputs {
		if name != sig.input {
			return in, invalid("the signature %s has no input %q: expected %q", sig.name, clip([]byte(name)), sig.input)
		}
	}
	t := r.Inputs[sig.input]
	if t == nil {
		return in, invalid("the request has no input %q, a tensor", sig.input)
	}
	dims := []int{shape.Size, shape.Size, shape.Channels}
	dtype := typespb.DataType_DT_UINT8
	if sig.files {
		dims, dtype = nil, typespb.DataType_DT_STRING
	}
	if t.Dtype != dtype {
		return in, invalid("input %s is %v: expected %v", sig.input, t.Dtype, dtype)
	}
	if in.n, err = rows(t.TensorShape, dims); err != nil {
		return in, invalid("input %s: %v", sig.input, err)
	}
	switch {
	case in.n < 1:
		return in, invalid("input %s has no images: expected 1 to %d", sig.input, most)
	case in.n > most:
		return in, tooMany(most)
	case sig.files:
		if in.files = t.StringVal; len(in.files) != in.n {
			return in, invalid("input %s has %d strings: expected as many as its shape has, %d", sig.input, len(in.files), in.n)
		}
	default:
		in.images, err = bytesOf(t, in.n*shape.Bytes())
	}
	return in, err
}

// rows returns the first dimension of a shape, whose others have to be dims.
func rows(shape *shapepb.TensorShapeProto, dims []int) (int, error) {
	got := shape.GetDim()
	ok := !shape.GetUnknownRank() && len(got) == 1+len(dims) && got[0].GetSize() >= 0 && got[0].GetSize() <= math.MaxInt32
	for i, d := range dims {
		ok = ok && got[1+i].GetSize() == int64(d)
	}
	if !ok {
		var sizes []int64
		for _, d := range got[:min(len(got), 8)] {
			sizes = append(sizes, d.GetSize())
		}
		return 0, fmt.Errorf("the shape is %v: expected %v after the number of images", sizes, dims)
	}
	return int(got[0].GetSize()), nil
}

// bytesOf returns the n values of a uint8 tensor. They are in its contents, or one by one, and then the last
// stands for all that are missing (tensorflow/core/framework/tensor.proto).
func bytesOf(t *tensorpb.TensorProto, n int) ([]byte, error) {
	if len(t.IntVal) == 0 {
		if len(t.TensorContent) != n {
			return nil, invalid("the tensor has %d bytes: expected as many as its shape has, %d", len(t.TensorContent), n)
		}
		return t.TensorContent, nil
	}
	if len(t.IntVal) > n {
		return nil, invalid("the tensor has %d values: expected as many as its shape has, %d", len(t.IntVal), n)
	}
	values := make([]byte, n)
	for i := range values {
		v := t.IntVal[min(i, len(t.IntVal)-1)]
		if v < 0 || v > math.MaxUint8 {
			return nil, invalid("the tensor has the value %d: expected 0 to 255", v)
		}
		values[i] = byte(v)
	}
	return values, nil
}

// floats returns values, [n, …] in row-major order, as a tensor.
func floats(values []float32, n int) *tensorpb.TensorProto {
	content := make([]byte, 0, 4*len(values))
	for _, v := range values {
		content = binary.LittleEndian.AppendUint32(content, math.Float32bits(v))
	}
	return &tensorpb.TensorProto{Dtype: typespb.DataType_DT_FLOAT, TensorShape: shapeOf(n, len(values)/n), TensorContent: content}
}

func shapeOf(dims ...int) *shapepb.TensorShapeProto {
	s := new(shapepb.TensorShapeProto)
	for _, d := range dims {
		s.Dim = append(s.Dim, &shapepb.TensorShapeProto_Dim{Size: int64(d)})
	}
	return s
}
