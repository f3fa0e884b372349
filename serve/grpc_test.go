package serve_test

import (
	"context"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	tensorpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_go_proto"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"galaxy/internal/tfserving"
	"galaxy/serve"
)

// dial connects to a gRPC server until the test ends.
func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// tensor returns a tensor of a shape.
func tensor(dtype typespb.DataType, dims ...int64) *tensorpb.TensorProto {
	x := &tensorpb.TensorProto{Dtype: dtype, TensorShape: new(shapepb.TensorShapeProto)}
	for _, d := range dims {
		x.TensorShape.Dim = append(x.TensorShape.Dim, &shapepb.TensorShapeProto_Dim{Size: d})
	}
	return x
}

func request(signature, input string, x *tensorpb.TensorProto) *tfserving.PredictRequest {
	r := &tfserving.PredictRequest{ModelSpec: &tfserving.ModelSpec{Name: "galaxy", SignatureName: signature}}
	if x != nil {
		r.Inputs = map[string]*tensorpb.TensorProto{input: x}
	}
	return r
}

// pixels are two images, whose first pixels are 1 and 4.
func pixels() *tensorpb.TensorProto {
	x := tensor(typespb.DataType_DT_UINT8, 2, side, side, 3)
	x.TensorContent = make([]byte, 2*bytes1)
	x.TensorContent[0], x.TensorContent[bytes1] = 1, 4
	return x
}

func files(all ...[]byte) *tensorpb.TensorProto {
	x := tensor(typespb.DataType_DT_STRING, int64(len(all)))
	x.StringVal = all
	return x
}

// values returns a tensor of floats as a client reads it.
func values(t *testing.T, x *tensorpb.TensorProto) (all []float32) {
	t.Helper()
	if x.GetDtype() != typespb.DataType_DT_FLOAT || len(x.TensorShape.Dim) != 2 || int64(len(x.TensorContent)) != 4*x.TensorShape.Dim[0].Size*x.TensorShape.Dim[1].Size {
		t.Fatalf("tensor %v", x)
	}
	for i := 0; i < len(x.TensorContent); i += 4 {
		b := x.TensorContent[i:]
		all = append(all, math.Float32frombits(uint32(b[0])|uint32(b[1])<<8|uint32(b[2])<<16|uint32(b[3])<<24))
	}
	return all
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	_, address := start(t, m, func(c *serve.Config) { c.MaxItems = 3 })
	conn := dial(t, address)
	client, ctx := tfserving.NewPredictionServiceClient(conn), context.Background()

	few := tensor(typespb.DataType_DT_UINT8, 1, side, side, 3)
	few.IntVal = []int32{4, 7} // the last stands for the rest
	withFilter := request("", "images", pixels())
	withFilter.OutputFilter = []string{"probabilities"}
	for name, test := range map[string]struct {
		request *tfserving.PredictRequest
		want    map[string][]float32
		errors  string
	}{
		"images": {request("", "images", pixels()), map[string][]float32{"logits": {1, 3, 4, 3}, "probabilities": {.5, .25, .2, .25}}, ""},
		"filter": {withFilter, map[string][]float32{"probabilities": {.5, .25, .2, .25}}, ""},
		"values": {request("serving_default", "images", few), map[string][]float32{"logits": {4, 3}, "probabilities": {.2, .25}}, ""},
		"files":  {request("serving_jpeg", "jpegs", files(picture(4), picture(1))), map[string][]float32{"logits": {4, 3, 1, 3}, "probabilities": {.2, .25, .5, .25}}, ""},
		"broken": {request("serving_jpeg", "jpegs", files(picture(4), nil)), map[string][]float32{"logits": {4, 3, nan, nan}, "probabilities": {.2, .25, nan, nan}}, "image 1: the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := client.Predict(ctx, test.request)
			if err != nil {
				t.Fatal(err)
			}
			for output, want := range test.want {
				for i, v := range values(t, got.Outputs[output]) {
					if v != want[i] && !(math.IsNaN(float64(v)) && math.IsNaN(float64(want[i]))) {
						t.Errorf("%s[%d] is %v, expected %v", output, i, v, want[i])
					}
				}
			}
			if e := got.Outputs["errors"]; (e != nil) != (test.errors != "") || e != nil && string(e.StringVal[1]) != test.errors {
				t.Errorf("errors: %v, expected %q", e, test.errors)
			} else if e == nil && len(got.Outputs) != len(test.want) {
				t.Errorf("%d outputs, expected %d", len(got.Outputs), len(test.want))
			}
			if got.ModelSpec.GetVersion().GetValue() != 1 || got.ModelSpec.Name != "galaxy" {
				t.Errorf("answered by %v", got.ModelSpec)
			}
		})
	}

	state, err := tfserving.NewModelServiceClient(conn).GetModelStatus(ctx, &tfserving.GetModelStatusRequest{ModelSpec: &tfserving.ModelSpec{Name: "galaxy"}})
	if err != nil || len(state.ModelVersionStatus) != 1 || state.ModelVersionStatus[0].State != tfserving.ModelVersionStatus_AVAILABLE {
		t.Errorf("%v %v", state, err)
	}
	meta, err := client.GetModelMetadata(ctx, &tfserving.GetModelMetadataRequest{ModelSpec: &tfserving.ModelSpec{Name: "galaxy"}, MetadataField: []string{"signature_def"}})
	if err != nil {
		t.Fatal(err)
	}
	var signatures tfserving.SignatureDefMap
	if err := meta.Metadata["signature_def"].UnmarshalTo(&signatures); err != nil || signatures.SignatureDef["serving_jpeg"].Inputs["jpegs"].Dtype != typespb.DataType_DT_STRING {
		t.Errorf("%v %v", &signatures, err)
	}
	_, err = client.GetModelMetadata(ctx, &tfserving.GetModelMetadataRequest{ModelSpec: &tfserving.ModelSpec{Name: "galaxy"}, MetadataField: []string{"x"}})
	wantStatus(t, err, codes.InvalidArgument, `metadata fields "x"`)
}

// dripConn is a connection on which the bytes after the first ones go one by one.
type dripConn struct {
	net.Conn
	fast  int
	ended <-chan struct{}
}

func (c *dripConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		part := p[n : n+1]
		if c.fast > 0 {
			part = p[n:min(len(p), n+c.fast)]
		} else {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-c.ended:
				return n, net.ErrClosed
			}
		}
		var wrote int
		wrote, err = c.Conn.Write(part)
		n, c.fast = n+wrote, c.fast-wrote
	}
	return n, err
}

// A gRPC request that comes byte by byte ends with its time.
func TestSlowGRPC(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	_, address := start(t, m, func(c *serve.Config) { c.Timeout = 200 * time.Millisecond })
	ended := make(chan struct{})
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		inner, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		return &dripConn{inner, 2000, ended}, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer close(ended)
	_, err = tfserving.NewPredictionServiceClient(conn).Predict(t.Context(), request("serving_jpeg", "jpegs", files(make([]byte, 1<<16))))
	wantStatus(t, err, codes.DeadlineExceeded, "")
}

var nan = float32(math.NaN())

func wantStatus(t *testing.T, err error, code codes.Code, message string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), message) {
		t.Errorf("%v, expected %v and %q", err, code, message)
	}
}

// Requests that cannot be answered have a code and a sentence.
func TestBadGRPC(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	_, address := start(t, m, func(c *serve.Config) { c.MaxItems, c.MaxBody = 3, 1<<20 })
	client := tfserving.NewPredictionServiceClient(dial(t, address))
	with := func(change func(*tfserving.PredictRequest)) *tfserving.PredictRequest {
		r := request("", "images", pixels())
		change(r)
		return r
	}
	u8 := func(dims ...int64) *tensorpb.TensorProto { return tensor(typespb.DataType_DT_UINT8, dims...) }
	large := u8(1, side, side, 3)
	large.IntVal = []int32{256}
	more := u8(1, side, side, 3)
	more.IntVal = make([]int32, bytes1+1)
	for name, test := range map[string]struct {
		request *tfserving.PredictRequest
		code    codes.Code
		message string
	}{
		"nothing":       {new(tfserving.PredictRequest), codes.NotFound, "Latest()"},
		"another model": {with(func(r *tfserving.PredictRequest) { r.ModelSpec.Name = "<b>" }), codes.NotFound, "<b>"},
		"another version": {with(func(r *tfserving.PredictRequest) {
			r.ModelSpec.VersionChoice = &tfserving.ModelSpec_Version{Version: wrapperspb.Int64(7)}
		}), codes.NotFound, "Specific(galaxy, 7)"},
		"no version": {with(func(r *tfserving.PredictRequest) {
			r.ModelSpec.VersionChoice = &tfserving.ModelSpec_Version{Version: wrapperspb.Int64(-1)}
		}), codes.InvalidArgument, "version -1"},
		"a label": {with(func(r *tfserving.PredictRequest) {
			r.ModelSpec.VersionChoice = &tfserving.ModelSpec_VersionLabel{VersionLabel: "x"}
		}), codes.InvalidArgument, "labels"},
		"signature":     {with(func(r *tfserving.PredictRequest) { r.ModelSpec.SignatureName = "x" }), codes.InvalidArgument, "not found in signature def"},
		"output":        {with(func(r *tfserving.PredictRequest) { r.OutputFilter = []string{"x"} }), codes.InvalidArgument, `no output "x"`},
		"input":         {request("", "x", pixels()), codes.InvalidArgument, `no input "x"`},
		"no input":      {request("", "", nil), codes.InvalidArgument, `no input "images"`},
		"dtype":         {request("", "images", files(nil)), codes.InvalidArgument, "DT_STRING: expected DT_UINT8"},
		"shape":         {request("", "images", u8(1, side, side)), codes.InvalidArgument, "the shape is [1 4 4]: expected [4 4 3]"},
		"no shape":      {request("", "images", &tensorpb.TensorProto{Dtype: typespb.DataType_DT_UINT8}), codes.InvalidArgument, "the shape is []"},
		"negative":      {request("", "images", u8(-1, side, side, 3)), codes.InvalidArgument, "the shape is"},
		"an exabyte":    {request("", "images", u8(math.MaxInt64, side, side, 3)), codes.InvalidArgument, "the shape is"},
		"a million":     {request("", "images", u8(1e6, side, side, 3)), codes.InvalidArgument, "more than 3 images"},
		"none":          {request("", "images", u8(0, side, side, 3)), codes.InvalidArgument, "no images"},
		"few bytes":     {request("", "images", u8(1, side, side, 3)), codes.InvalidArgument, "0 bytes: expected as many as its shape has, 48"},
		"a large value": {request("", "images", large), codes.InvalidArgument, "the value 256"},
		"more values":   {request("", "images", more), codes.InvalidArgument, "49 values"},
		"few strings":   {request("serving_jpeg", "jpegs", tensor(typespb.DataType_DT_STRING, 2)), codes.InvalidArgument, "0 strings"},
		"a huge image":  {request("serving_jpeg", "jpegs", files(huge())), codes.InvalidArgument, "60000×60000"},
		"too large":     {request("serving_jpeg", "jpegs", files(make([]byte, 1<<20))), codes.ResourceExhausted, "larger than max"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Predict(context.Background(), test.request)
			wantStatus(t, err, test.code, test.message)
			if strings.Contains(status.Convert(err).Message(), "rpc error") {
				t.Errorf("%v names a code twice", err)
			}
		})
	}
}
