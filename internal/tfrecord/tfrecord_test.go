package tfrecord_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"galaxy/internal/tfrecord"
)

// What TensorFlow's own writer makes of the payload "abc": tf.io.TFRecordWriter(path).write(b"abc").
const abc = "0300000000000000b099490e6162636e57f121"

// Records come back as they were; a changed byte or a missing end is an error.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payloads := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 1, 5).Draw(t, "payloads")
		var all []byte
		for _, p := range payloads {
			all = tfrecord.Append(all, p)
		}
		read := func(b []byte) (got [][]byte, err error) {
			for len(b) > 0 {
				var p []byte
				if p, b, err = tfrecord.Next(b); err != nil {
					return got, err
				}
				got = append(got, p)
			}
			return got, nil
		}
		got, err := read(all)
		if err != nil || len(got) != len(payloads) {
			t.Fatalf("%d records of %d: %v", len(got), len(payloads), err)
		}
		for i, p := range payloads {
			if !bytes.Equal(got[i], p) {
				t.Fatalf("record %d is %x, expected %x", i, got[i], p)
			}
		}
		damaged := bytes.Clone(all)
		damaged[rapid.IntRange(0, len(all)-1).Draw(t, "place")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := read(damaged); err == nil {
			t.Fatal("a damaged record is read")
		}
		last := tfrecord.Append(nil, payloads[0])
		if _, err := read(last[:rapid.IntRange(1, len(last)-1).Draw(t, "end")]); err == nil {
			t.Fatal("a truncated record is read")
		}
	})
}

func TestAppend(t *testing.T) {
	if got := hex.EncodeToString(tfrecord.Append(nil, []byte("abc"))); got != abc {
		t.Errorf("got %s, expected %s", got, abc)
	}
}
