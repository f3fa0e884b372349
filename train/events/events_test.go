package events

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/galeone/tensorflow/tensorflow/go/core/framework/summary_go_proto"
	"github.com/galeone/tensorflow/tensorflow/go/core/framework/types_go_proto"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"galaxy/internal/tfrecord"
)

// point is a scalar as read back.
type point struct {
	Step  int64
	Wall  float64
	Tag   string
	Value float32
}

// read decodes an event file: the Event by hand, since the
// bindings have none, the Summary with TensorFlow's own generated code.
func read(t testing.TB, path string) []point {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var points []point
	for i, rest := 0, file; len(rest) > 0; i++ {
		var payload []byte
		if payload, rest, err = tfrecord.Next(rest); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}

		var p point
		var version string
		var summary summary_go_proto.Summary
		for len(payload) > 0 {
			field, kind, n := protowire.ConsumeTag(payload)
			if n < 0 {
				t.Fatalf("record %d: %v", i, protowire.ParseError(n))
			}
			payload = payload[n:]
			switch {
			case field == 1 && kind == protowire.Fixed64Type:
				var bits uint64
				bits, n = protowire.ConsumeFixed64(payload)
				p.Wall = math.Float64frombits(bits)
			case field == 2 && kind == protowire.VarintType:
				var step uint64
				step, n = protowire.ConsumeVarint(payload)
				p.Step = int64(step)
			case field == 3 && kind == protowire.BytesType:
				version, n = protowire.ConsumeString(payload)
			case field == 5 && kind == protowire.BytesType:
				var message []byte
				message, n = protowire.ConsumeBytes(payload)
				if err := proto.Unmarshal(message, &summary); err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
			default:
				t.Fatalf("record %d: field %d of kind %d", i, field, kind)
			}
			if n < 0 {
				t.Fatalf("record %d: %v", i, protowire.ParseError(n))
			}
			payload = payload[n:]
		}
		if first := i == 0; first != (version == fileVersion) || first != (len(summary.Value) == 0) {
			t.Fatalf("record %d has version %q and %d values", i, version, len(summary.Value))
		}
		for _, v := range summary.Value {
			tensor := v.GetTensor()
			if tensor.GetDtype() != types_go_proto.DataType_DT_FLOAT || len(tensor.GetTensorShape().GetDim()) != 0 ||
				v.GetMetadata().GetPluginData().GetPluginName() != "scalars" || len(v.ProtoReflect().GetUnknown()) != 0 {
				t.Fatalf("record %d: value %v is no scalar", i, v)
			}
			p.Tag = v.GetTag()
			p.Value = math.Float32frombits(binary.LittleEndian.Uint32(tensor.GetTensorContent()))
			points = append(points, p)
		}
	}
	return points
}

var wall = time.Date(2026, 11, 24, 3, 12, 40, 500_000_000, time.UTC)

const wallSeconds = 1795489960.5

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.out.tfevents.0.test")
	w, err := OpenAppend(path, 0)
	must(t, err)
	must(t, w.Scalars(1, wall, Scalar{"train/loss", 0.5}, Scalar{"train/learning_rate", 1e-3}))
	must(t, w.Scalars(2, wall))
	must(t, w.Scalars(1<<40, wall, Scalar{"größe", math.Inf(1)}))
	must(t, w.Sync())
	size := w.Size()
	must(t, w.Close())
	info, err := os.Stat(path)
	must(t, err)
	if info.Size() != size {
		t.Errorf("Size is %d, the file has %d bytes", size, info.Size())
	}
	want := []point{
		{1, wallSeconds, "train/loss", 0.5},
		{1, wallSeconds, "train/learning_rate", 1e-3},
		{1 << 40, wallSeconds, "größe", float32(math.Inf(1))},
	}
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// The bytes that TensorFlow 2.21's tf.summary.scalar("loss", 0.5, step=7) wrote
// at this time, so that the format is TensorFlow's, not only what this
// package's reader accepts.
func TestBytesOfTensorFlow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.out.tfevents.0.test")
	w, err := OpenAppend(path, 0)
	must(t, err)
	start := w.Size()
	const written = "\x2e\x00\x00\x00\x00\x00\x00\x00\xc5\xcbW\xfa" +
		"\t,\xf5?\xf1@\xc1\xdaA\x10\x07*!\n\x1f\n\x04lossB\n\x08\x01\x12\x00\"\x04\x00\x00\x00?J\x0b\n\t\n\x07scalars" +
		"wT\xb3l"
	seconds := math.Float64frombits(binary.LittleEndian.Uint64([]byte(written[13:])))
	whole, part := math.Modf(seconds)
	must(t, w.Scalars(7, time.Unix(int64(whole), int64(math.Round(part*1e9))), Scalar{"loss", 0.5}))
	must(t, w.Close())
	file, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff([]byte(written), file[start:]); diff != "" {
		t.Errorf("record (-TensorFlow +ours):\n%s", diff)
	}
}

func TestAppendCutsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.out.tfevents.0.test")
	var want []point
	w, err := OpenAppend(path, 0) // creates
	must(t, err)
	checkpoint := int64(0)
	for step := range int64(6) {
		must(t, w.Scalars(step, wall, Scalar{"loss", float64(step)}))
		if step == 3 {
			checkpoint = w.Size()
		}
	}
	must(t, w.Close())

	w, err = OpenAppend(path, checkpoint)
	must(t, err)
	if w.Size() != checkpoint {
		t.Errorf("size after cutting is %d, want %d", w.Size(), checkpoint)
	}
	must(t, w.Scalars(4, wall, Scalar{"loss", 40}))
	must(t, w.Close())
	for step, v := range []float32{0, 1, 2, 3, 40} {
		want = append(want, point{int64(step), wallSeconds, "loss", v})
	}
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}

	w, err = OpenAppend(path, 0) // start again
	must(t, err)
	must(t, w.Close())
	if got := read(t, path); len(got) != 0 {
		t.Errorf("a file begun anew holds %v", got)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.out.tfevents.0.test")
	w, err := OpenAppend(path, 0)
	must(t, err)
	if err := w.Scalars(1, wall, Scalar{"", 1}); err == nil {
		t.Error("an empty tag is accepted")
	}
	must(t, w.Scalars(1, wall, Scalar{"loss", 1}))
	size := w.Size()
	must(t, w.Close())
	must(t, w.Close())
	if err := w.Scalars(1, wall, Scalar{"loss", 1}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("writing to a closed file: %v", err)
	}
	if _, err := OpenAppend(filepath.Join(dir, "none"), size); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("appending to no file: %v", err)
	}
	before, err := os.ReadFile(path)
	must(t, err)
	for _, wrong := range []int64{-1, 1, size - 1, size + 1, size + 100} {
		if _, err := OpenAppend(path, wrong); err == nil || !strings.Contains(err.Error(), "put the old file back") {
			t.Errorf("appending at %d of %d: %v", wrong, size, err)
		}
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("a refused OpenAppend changed the file")
	}
}

func TestAnyScalars(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		path := filepath.Join(dir, "events.out.tfevents.0.test")
		w, err := OpenAppend(path, 0)
		must(t, err)
		var want []point
		for range rapid.IntRange(0, 5).Draw(r, "events") {
			step := rapid.Int64().Draw(r, "step")
			var scalars []Scalar
			for range rapid.IntRange(0, 3).Draw(r, "scalars") {
				s := Scalar{rapid.StringN(1, 20, -1).Draw(r, "tag"), rapid.Float64().Draw(r, "value")}
				scalars = append(scalars, s)
				want = append(want, point{step, wallSeconds, s.Tag, float32(s.Value)})
			}
			must(t, w.Scalars(step, wall, scalars...))
		}
		size := w.Size()
		must(t, w.Close())
		if diff := cmp.Diff(want, read(t, path)); diff != "" {
			r.Fatalf("read back (-want +got):\n%s", diff)
		}
		w, err = OpenAppend(path, size)
		must(t, err)
		must(t, w.Close())
	})
}

// checkBoundary reads bytes that may be anything.
func FuzzCheckBoundary(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	w, err := OpenAppend(path, 0)
	must(f, err)
	must(f, w.Scalars(3, wall, Scalar{"loss", 1}))
	must(f, w.Close())
	seed, err := os.ReadFile(path)
	must(f, err)
	f.Add(seed, int64(len(seed)))
	f.Add(seed, int64(len(seed)-1))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, file []byte, size int64) {
		if checkBoundary(bytes.NewReader(file), size) == nil && (size < 0 || size > int64(len(file))) {
			t.Errorf("%d is accepted in %d bytes", size, len(file))
		}
	})
}
