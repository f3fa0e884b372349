package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// file returns a file's bytes with this header and so many bytes of data.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func read(b []byte) (*File, error) { return Read(bytes.NewReader(b), int64(len(b))) }

// broken are files that must be rejected, with a part of the message.
var broken = []struct {
	file []byte
	want string
}{
	{nil, "it has 0 bytes"},
	{[]byte("1234567"), "it has 7 bytes"},
	{file(`{`, 0), "unexpected EOF"},
	{file(``, 0), "expected a JSON object"},
	{file(` {}`, 0), "expected a JSON object"},
	{file(`[]`, 0), "expected a JSON object"},
	{file(`{}x`, 0), "expected spaces"},
	{file(`{}`, 1), "no tensor has the rest"},
	{binary.LittleEndian.AppendUint64(nil, 5), "truncated"},
	{binary.LittleEndian.AppendUint64(nil, maxHeader+1), "expected at most 100000000"},
	{binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "expected at most 100000000"},
	{[]byte("PK\x03\x04\x14\x00\x08\x08 a zip, as torch.save writes"), "it is no safetensors file"},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 3), "truncated"},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 5), "no tensor has the rest"},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "duplicate"},
	{file(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "duplicate"},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 8), `"b" begins at byte 2 of the data, inside`},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "inside the tensor before it"},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12), "no tensor has the bytes between"},
	{file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "of shape [2] has 64 bits"},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), "where its bytes begin and end"},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, 4), "where its bytes begin and end"},
	{file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}}`, 4), "where its bytes begin and end"},
	{file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), `tensor "a"`},
	{file(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4), `tensor "a"`},
	{file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), "no shape"},
	{file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0), "larger than any file"},
	{file(`{"a":{"dtype":"F32","shape":[9223372036854775807,0],"data_offsets":[0,0]}}`, 0), "larger than any file"},
	{file(`{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, 1), "has 12 bits"},
	{file(`{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, 4), `dtype "F31"`},
	{file(`{"a":{"dtype":"F32","shape":[`+strings.Repeat("1,", 5000)+`1],"data_offsets":[0,4]}}`, 4), "expected at most 4096"},
	{file(`{"a":7}`, 4), `tensor "a"`},
	{file("{\"\xff\":{}}", 0), "UTF-8"},
	{file(`{"__metadata__":{"a":7}}`, 0), "texts by name"},
	{file(strings.Repeat(`{"a":`, 20000), 0), "depth"},
}

func TestBrokenFiles(t *testing.T) {
	for i, c := range broken {
		if _, err := read(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d, %.60q: %v, expected %q", i, c.file, err, c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := os.WriteFile(path, file(`{`, 0), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path: path, filepath.Dir(path): "expected a file", path + "x": "no such file"} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

// What the format allows beside the ordinary.
func TestUnusualFiles(t *testing.T) {
	for header, data := range map[string]int{
		`{}`:                                  0,
		`{} `:                                 0,
		`{"__metadata__":{"format":"pt"}}   `: 0,
		`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`:                              4,
		`{"a":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]}}`:                           0,
		`{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}`:                         3,
		`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":"of a later version"}}`: 4,
		`{"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]},"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"é\"\n":{"dtype":"F32","shape":[0],"data_offsets":[2,2]}}`: 6,
	} {
		f, err := read(file(header, data))
		if err != nil {
			t.Errorf("%s: %v", header, err)
			continue
		}
		for _, tensor := range f.Tensors {
			if tensor.DType == "F6_E2M3" {
				if _, err := f.Floats(tensor); err == nil || !strings.Contains(err.Error(), "expected floats") {
					t.Errorf("%s: %v", header, err)
				}
				continue
			}
			if values, err := f.Floats(tensor); err != nil || int64(len(values)) != tensor.Elements() {
				t.Errorf("%s: %d values, %v", header, len(values), err)
			}
		}
	}
}

// A file that shrinks after its header was checked is an error.
func TestShrunkFile(t *testing.T) {
	b := file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8)
	f, err := Read(bytes.NewReader(b[:len(b)-1]), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Floats(f.Tensors[0]); err == nil || !strings.Contains(err.Error(), `read tensor "a"`) {
		t.Error(err)
	}
}

// nearest is the twin of the rounding: of the finite numbers of a sorted table, by bits, the one
// nearest to x, and of two the one whose last bit is 0.
func nearest(table map[uint16]float64, x float64) uint16 {
	var best uint16
	apart := math.Inf(1)
	for bits, y := range table {
		if d := math.Abs(x - y); d < apart || d == apart && bits&1 == 0 {
			best, apart = bits, d
		}
	}
	return best
}

// Every half has the value of the standard's formula (IEEE 754-2019, 3.4), and comes back.
func TestHalves(t *testing.T) {
	positive := map[uint16]float64{}
	for bits := range 1 << 16 {
		h := uint16(bits)
		sign, exponent, fraction := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
		want := sign * math.Ldexp(1+fraction/1024, exponent-15)
		switch {
		case exponent == 0:
			want = sign * math.Ldexp(fraction/1024, -14)
		case exponent == 31 && fraction == 0:
			want = sign * math.Inf(1)
		case exponent == 31:
			want = math.NaN()
		}
		got := halfToFloat(h)
		if float64(got) != want && !(got != got && want != want) {
			t.Fatalf("%#04x is %v, expected %v", h, got, want)
		}
		if back := floatToHalf(got); back != h && !(got != got && back&0x7fff > 0x7c00) {
			t.Fatalf("%#04x comes back as %#04x", h, back)
		}
		if h < 0x7c00 {
			positive[h] = want
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		x := float32(math.Ldexp(0.5+r.Float64()/2, r.IntN(42)-26))
		if r.IntN(2) == 0 { // half-way between two, exactly
			h := uint16(r.IntN(0x7bff))
			x = (halfToFloat(h) + halfToFloat(h+1)) / 2
		}
		want := nearest(positive, float64(x))
		if x >= 65520 {
			want = 0x7c00
		}
		if got := floatToHalf(x); got != want {
			t.Errorf("%v becomes %#04x, expected %#04x", x, got, want)
		}
		if got := floatToHalf(-x); got != want|0x8000 {
			t.Errorf("%v becomes %#04x, expected %#04x", -x, got, want|0x8000)
		}
	}
}

func TestBFloats(t *testing.T) {
	for x, want := range map[float32]uint16{
		1: 0x3f80, 1 + 1./256: 0x3f80, 1 + 3./256: 0x3f82, -(1 + 1.5/256): 0xbf81, math.MaxFloat32: 0x7f80, 0: 0,
		float32(math.Inf(-1)): 0xff80, math.SmallestNonzeroFloat32: 0,
	} {
		if got := floatToBFloat(x); got != want {
			t.Errorf("%v becomes %#04x, expected %#04x", x, got, want)
		}
	}
	if got := floatToBFloat(math.Float32frombits(0x7f800001)); got&0x7fff <= 0x7f80 {
		t.Errorf("not a number becomes %#04x", got)
	}
}

// What is written is read again, by name, with values rounded to the dtype.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Values
		for name := range rapid.MapOf(rapid.StringN(1, 8, -1), rapid.Bool()).Draw(t, "names") {
			v := Values{Name: strings.ToValidUTF8(name, "?"), DType: rapid.SampledFrom([]DType{F32, F16, BF16}).Draw(t, "dtype"), Shape: rapid.SliceOfN(rapid.Int64Range(0, 4), 0, 4).Draw(t, "shape")}
			if v.Name == metadataKey || slices.ContainsFunc(all, func(w Values) bool { return w.Name == v.Name }) {
				continue
			}
			n := int(Tensor{Shape: v.Shape}.Elements())
			v.Values = rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "values")
			all = append(all, v)
		}
		metadata := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata")
		var out bytes.Buffer
		if err := Write(&out, all, metadata); err != nil {
			t.Fatal(err)
		}
		f, err := read(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(f.Metadata, metadata) || len(f.Tensors) != len(all) || (int64(out.Len())-f.data.Size())%8 != 0 {
			t.Fatalf("%v and %d tensors, expected %v and %d", f.Metadata, len(f.Tensors), metadata, len(all))
		}
		for _, v := range all {
			i := slices.IndexFunc(f.Tensors, func(t Tensor) bool { return t.Name == v.Name })
			if i < 0 || !slices.Equal(f.Tensors[i].Shape, v.Shape) || f.Tensors[i].DType != v.DType {
				t.Fatalf("%q is not there, or another: %v", v.Name, f.Tensors)
			}
			got, err := f.Floats(f.Tensors[i])
			if err != nil {
				t.Fatal(err)
			}
			for j, x := range v.Values {
				want := decoders[v.DType](encoders[v.DType](nil, x))
				if math.Float32bits(got[j]) != math.Float32bits(want) {
					t.Fatalf("%q, value %d is %v, expected %v", v.Name, j, got[j], want)
				}
			}
		}
	})
}

func TestWriteErrors(t *testing.T) {
	for want, v := range map[string]Values{
		"has 1 values: expected 2":    {Name: "a", DType: F32, Shape: []int64{2}, Values: []float32{1}},
		"F64 cannot be written":       {Name: "a", DType: F64},
		"dtype F31 cannot be written": {Name: "a", DType: "F31"},
	} {
		if err := Write(new(bytes.Buffer), []Values{v}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

// FuzzRead: no file makes the reader panic, or accepts tensors that lie outside the data.
func FuzzRead(f *testing.F) {
	for _, c := range broken {
		if len(c.file) < 1000 {
			f.Add(c.file)
		}
	}
	var out bytes.Buffer
	err := Write(&out, []Values{{"a", F32, []int64{2}, []float32{1, 2}}, {"b", F16, []int64{1, 3}, []float32{1, 2, 3}}, {"n", I64, nil, []float32{7}}}, map[string]string{"format": "pt"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := read(b)
		if err != nil {
			return
		}
		total := int64(0)
		for _, tensor := range file.Tensors {
			total += tensor.end - tensor.begin
			if values, err := file.Floats(tensor); err == nil && int64(len(values)) != tensor.Elements() {
				t.Errorf("%v: %d values", tensor, len(values))
			}
		}
		if total != file.data.Size() {
			t.Errorf("tensors of %d bytes, data of %d", total, file.data.Size())
		}
	})
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "safetensors")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "weights.safetensors")
	var out bytes.Buffer
	if err := Write(&out, []Values{{Name: "fc.bias", DType: BF16, Shape: []int64{2}, Values: []float32{0.5, -2}}}, nil); err != nil {
		fmt.Println(err)
		return
	}
	if err := os.WriteFile(path, out.Bytes(), 0o666); err != nil {
		fmt.Println(err)
		return
	}
	f, err := Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	values, err := f.Floats(f.Tensors[0])
	fmt.Println(f.Tensors[0].Name, f.Tensors[0].DType, f.Tensors[0].Shape, values, err)
	// Output: fc.bias BF16 [2] [0.5 -2] <nil>
}
