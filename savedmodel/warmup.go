package savedmodel

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	tensorpb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_go_proto"
	shapepb "github.com/galeone/tensorflow/tensorflow/go/core/framework/tensor_shape_go_proto"
	typespb "github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	"google.golang.org/protobuf/proto"

	"galaxy/data/imagefile"
	"galaxy/internal/durable"
	"galaxy/internal/tfrecord"
	"galaxy/internal/tfserving"
)

// warmupFile holds requests, TFRecords of PredictionLog, that a server answers before clients' requests: the
// first prediction takes longer than the others
// (https://www.tensorflow.org/tfx/serving/saved_model_warmup).
const warmupFile = "assets.extra/tf_serving_warmup_requests"

// Limits of warmupFile: TensorFlow Serving reads 1,000 records at most.
const (
	maxWarmups     = 1000
	maxWarmupBytes = 256 << 20
)

// writeWarmup writes a request for each signature of a model: one black image.
func writeWarmup(dir string, cfg Config, files bool) error {
	shape := cfg.Model.Shape()
	requests := []*tfserving.PredictRequest{warmup(SignatureImages, InputImages, &tensorpb.TensorProto{
		Dtype: typespb.DataType_DT_UINT8, TensorContent: make([]byte, shape.Bytes()),
		TensorShape: dims(1, shape.Size, shape.Size, shape.Channels),
	})}
	if files {
		file, err := blackJPEG(cfg.Crop, shape.Size)
		if err != nil {
			return fmt.Errorf("warm-up requests: %w", err)
		}
		requests = append(requests, warmup(SignatureJPEGs, InputJPEGs, &tensorpb.TensorProto{
			Dtype: typespb.DataType_DT_STRING, StringVal: [][]byte{file}, TensorShape: dims(1),
		}))
	}
	var records []byte
	for _, r := range requests {
		log := &tfserving.PredictionLog{LogType: &tfserving.PredictionLog_PredictLog{PredictLog: &tfserving.PredictLog{Request: r}}}
		payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(log)
		if err != nil {
			return fmt.Errorf("encode warm-up requests: %w", err)
		}
		records = tfrecord.Append(records, payload)
	}
	return os.WriteFile(filepath.Join(dir, filepath.FromSlash(warmupFile)), records, 0o666)
}

// warmup returns a request. It names no model: the name is the server's choice, and servers replace it.
func warmup(signature, input string, images *tensorpb.TensorProto) *tfserving.PredictRequest {
	return &tfserving.PredictRequest{
		ModelSpec: &tfserving.ModelSpec{SignatureName: signature},
		Inputs:    map[string]*tensorpb.TensorProto{input: images},
	}
}

func dims(sizes ...int) *shapepb.TensorShapeProto {
	s := new(shapepb.TensorShapeProto)
	for _, size := range sizes {
		s.Dim = append(s.Dim, &shapepb.TensorShapeProto_Dim{Size: int64(size)})
	}
	return s
}

// blackJPEG returns a JPEG from which the crop cuts a square of size pixels or more.
func blackJPEG(crop imagefile.Crop, size int) ([]byte, error) {
	side := int(crop)
	if crop <= 1 {
		side = int(math.Ceil(float64(size)/float64(crop))) + 1
	}
	var file bytes.Buffer
	err := jpeg.Encode(&file, image.NewRGBA(image.Rect(0, 0, side, side)), nil)
	return file.Bytes(), err
}

// Warmups returns the warm-up requests of the SavedModel in dir, none if it has no file of them. Requests other than
// to predict are left out.
func Warmups(dir string) (requests []*tfserving.PredictRequest, err error) {
	path := filepath.Join(dir, filepath.FromSlash(warmupFile))
	records, err := durable.ReadFile(path, maxWarmupBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for n := 0; err == nil && len(records) > 0 && n < maxWarmups; n++ {
		var payload []byte
		var log tfserving.PredictionLog
		if payload, records, err = tfrecord.Next(records); err == nil {
			err = proto.Unmarshal(payload, &log)
		}
		if request := log.GetPredictLog().GetRequest(); err == nil && request != nil {
			requests = append(requests, request)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read warm-up requests %s: %w; export the model again, or remove the file", path, err)
	}
	return requests, nil
}
