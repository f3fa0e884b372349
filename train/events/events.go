// Package events writes scalars as TensorBoard event files.
//
//	w, err := events.OpenAppend("run/events.out.tfevents.0.galaxy", 0)
//	err = w.Scalars(step, time.Now(), events.Scalar{Tag: "loss", Value: 0.3})
//	size := w.Size() // record it in a checkpoint, after w.Sync
//	err = w.Close()
//	…
//	w, err = events.OpenAppend(path, size) // resume from that checkpoint
//
// # Format
//
// An event file is a sequence of TFRecords (internal/tfrecord). A payload is
// an Event message (tensorflow/core/util/event.proto): the first holds
// file_version "brain.Event:2", every other a step and a Summary. A scalar is
// written as TensorFlow 2's tf.summary.scalar writes it, as a float32 tensor of
// rank 0 whose metadata names the plugin "scalars".
//
// TensorFlow's own summary ops are not used because they stamp the time, the
// host and the process into what they write, and because their files cannot be
// cut back to a checkpoint, which leaves doubled points after a resume.
//
// TensorBoard reads any file whose name contains "tfevents", and follows it
// while it grows: every call of Scalars is one write of one complete record.
package events

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"galaxy/internal/durable"
	"galaxy/internal/tfrecord"
)

// fileVersion is in the first event of a file; readers reject other values.
const fileVersion = "brain.Event:2"

// A Scalar is a point of the curve that Tag names. TensorBoard groups tags by
// the part before the first slash. The value is written as a float32.
type Scalar struct {
	Tag   string
	Value float64
}

// Writer appends to an event file. It is not safe for concurrent use. After a
// write error the file may end in half a record; OpenAppend with an earlier Size
// repairs it.
type Writer struct {
	file *os.File
	size int64
}

// OpenAppend cuts an event file back to size bytes, a value that Size once
// returned, and appends there. With size 0 it starts the file again, and creates
// it if needed. If the file is shorter, or no record ends at size, the size belongs to
// another file: that is an error, and the file is not changed.
func OpenAppend(path string, size int64) (_ *Writer, err error) {
	flags := os.O_RDWR
	if size == 0 {
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(path, flags, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open event file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := checkBoundary(bufio.NewReader(file), size); err != nil {
		return nil, fmt.Errorf("append to event file %s at byte %d: %w; it was cut or replaced since that size was recorded: put the old file back, or remove it to start it again", path, size, err)
	}
	if err := file.Truncate(size); err != nil {
		return nil, fmt.Errorf("cut event file: %w", err)
	}
	if _, err := file.Seek(size, io.SeekStart); err != nil {
		return nil, fmt.Errorf("append to event file: %w", err)
	}
	w := &Writer{file: file, size: size}
	if size == 0 {
		if err := w.begin(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// begin writes the event that every file starts with. TensorBoard uses its
// time as the start of the run.
func (w *Writer) begin() error {
	event := appendTime(nil, time.Now())
	event = protowire.AppendTag(event, 3, protowire.BytesType) // file_version
	event = protowire.AppendString(event, fileVersion)
	return w.record(event)
}

// Scalars writes the values of one step as one event. wall is the time of the
// measurement. NaN and infinities are written as they are; TensorBoard marks them.
// An empty tag is an error; no scalars write nothing.
func (w *Writer) Scalars(step int64, wall time.Time, scalars ...Scalar) error {
	if len(scalars) == 0 {
		return nil
	}
	var summary []byte
	for _, s := range scalars {
		if s.Tag == "" {
			return errors.New("write event: a scalar has no tag")
		}
		summary = appendMessage(summary, 1, value(s))
	}
	event := appendTime(nil, wall)
	event = protowire.AppendTag(event, 2, protowire.VarintType) // step
	event = protowire.AppendVarint(event, uint64(step))
	event = appendMessage(event, 5, summary)
	return w.record(event)
}

// value encodes a Summary.Value.
func value(s Scalar) []byte {
	const float = 1 // DT_FLOAT
	var tensor []byte
	tensor = protowire.AppendTag(tensor, 1, protowire.VarintType) // dtype
	tensor = protowire.AppendVarint(tensor, float)
	tensor = appendMessage(tensor, 2, nil)                       // tensor_shape: rank 0
	tensor = protowire.AppendTag(tensor, 4, protowire.BytesType) // tensor_content
	tensor = protowire.AppendBytes(tensor, binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(s.Value))))

	var plugin []byte
	plugin = protowire.AppendTag(plugin, 1, protowire.BytesType) // plugin_name
	plugin = protowire.AppendString(plugin, "scalars")

	var v []byte
	v = protowire.AppendTag(v, 1, protowire.BytesType) // tag
	v = protowire.AppendString(v, s.Tag)
	v = appendMessage(v, 8, tensor)
	return appendMessage(v, 9, appendMessage(nil, 1, plugin)) // metadata.plugin_data
}

// appendTime appends an Event's wall_time, in seconds.
func appendTime(b []byte, t time.Time) []byte {
	b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, math.Float64bits(float64(t.Unix())+float64(t.Nanosecond())/1e9))
}

func appendMessage(b []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), message)
}

// Size returns the length of the file in bytes, all of it complete records.
func (w *Writer) Size() int64 { return w.size }

// Sync waits until everything written is on the disk.
func (w *Writer) Sync() error {
	if err := durable.SyncFile(w.file); err != nil {
		return fmt.Errorf("write event file: %w", err)
	}
	return nil
}

// Close closes the file. It does not Sync.
func (w *Writer) Close() error {
	if err := w.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("close event file: %w", err)
	}
	return nil
}

// record writes one TFRecord.
func (w *Writer) record(payload []byte) error {
	b := tfrecord.Append(nil, payload)
	if _, err := w.file.Write(b); err != nil {
		return fmt.Errorf("write event file: %w", err)
	}
	w.size += int64(len(b))
	return nil
}

// checkBoundary returns an error unless r starts with complete records of size bytes
// in total.
func checkBoundary(r io.Reader, size int64) error {
	if size < 0 {
		return errors.New("the size is negative")
	}
	for at := int64(0); at < size; {
		length, err := tfrecord.ReadHeader(r)
		if errors.Is(err, tfrecord.ErrHeader) {
			return fmt.Errorf("no record at byte %d", at)
		}
		if err != nil {
			return fmt.Errorf("read record at byte %d: %w", at, err)
		}
		if rest := size - at - tfrecord.HeaderSize - tfrecord.FooterSize; rest < 0 || length > uint64(rest) {
			return fmt.Errorf("the record at byte %d goes beyond the size", at)
		}
		payload := int64(length) + tfrecord.FooterSize
		if _, err := io.CopyN(io.Discard, r, payload); err != nil {
			return fmt.Errorf("read record at byte %d: %w", at, err)
		}
		at += tfrecord.HeaderSize + payload
	}
	return nil
}
