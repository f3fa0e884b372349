package fits

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLookup(t *testing.T) {
	long := cards("LONG    = 'first &'") + cards("CONTINUE  'second&'") + cards("CONTINUE  '' / a comment")
	for line, want := range map[string]any{
		"KEY     =                    T / a comment": true,
		"KEY     = F":                         false,
		"KEY     = 12":                        int64(12),
		"KEY     =+12/comment":                int64(12),
		"KEY     = 9223372036854775808":       float64(1 << 63),
		"KEY     = -1.5D-3":                   -1.5e-3,
		"KEY     = 1.":                        1.0,
		"KEY     = 'a / b' / c":               "a / b",
		"KEY     = 'it''s'":                   "it's",
		"KEY     = '  left  '":                "  left",
		"KEY     = ''":                        "",
		"KEY     = 'no end":                   "no end",
		"KEY     =":                           nil,
		"KEY     = / only a comment":          nil,
		"KEY     = (1.0, 2.0)":                "(1.0, 2.0)",
		"KEY     = NaN":                       "NaN",
		"KEY     = 0x10":                      "0x10",
		"KEY     = 1e999":                     "1e999",
		"HIERARCH KEY = 3":                    int64(3),
		"HIERARCH Long key = 'x' / y":         nil,
		"KEY     = 'no CONTINUE after this&'": "no CONTINUE after this&",
	} {
		h := Header{cards: []byte(cards("COMMENT KEY     = 7", line, "KEY = 99"))}
		if strings.HasPrefix(line, "HIERARCH L") {
			if got, _ := h.Lookup("long KEY"); got != "x" {
				t.Errorf("%s: %#v", line, got)
			}
			continue
		}
		got, ok := h.Lookup("KEY")
		if !ok || got != want {
			t.Errorf("%s: %#v, %t, expected %#v", line, got, ok, want)
		}
	}
	h := Header{cards: []byte(long)}
	if got, _ := h.Lookup("LONG"); got != "first second" {
		t.Errorf("CONTINUE: %q", got)
	}
}

// Every way in which a file can be wrong has an error that says where, what was expected and what came.
func TestErrors(t *testing.T) {
	image := imageHDU(16, []int{4, 3}, make([]byte, 24))
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":            {nil, `byte 0: expected a FITS file, which starts with "SIMPLE  =", got ""`},
		"an LFS pointer":   {[]byte("version https://git-lfs"), `got "version h"`},
		"no END":           {bytes.ReplaceAll(image, []byte("END "), []byte("ENDE")), "header at byte 0: expected an END card before byte 5760"},
		"header cut":       {image[:400], "expected an END card before byte 400"},
		"no BITPIX":        {hdu(nil, "SIMPLE = T", "NAXIS = 0"), "HDU 0: header at byte 0: expected 8, 16, 32, 64, -32 or -64 in a card BITPIX, got no such card"},
		"BITPIX 12":        {imageHDU(12, []int{2, 2}, nil), `card 2 (byte 80): expected 8, 16, 32, 64, -32 or -64, got "BITPIX  =                   12"`},
		"NAXIS a text":     {hdu(nil, "SIMPLE = T", "BITPIX = 8", "NAXIS = 'two'"), "card 3 (byte 160): expected a whole number from 0 to 999"},
		"NAXIS1 negative":  {imageHDU(8, []int{-2, 2}, nil), "card 4 (byte 240): expected a whole number from 0"},
		"NAXIS2 missing":   {hdu(nil, "SIMPLE = T", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 3"), "in a card NAXIS2, got no such card"},
		"a billion":        {imageHDU(-64, []int{1e9, 1e9}, nil), "more bytes than a file can have"},
		"a billion pixels": {imageHDU(-64, []int{1e9, 1}, nil), "expected data from byte 2880 to byte 8000002880, got a file of 2880 bytes: it is truncated"},
		"over the limit":   {imageHDU(8, []int{1000, 1000}, make([]byte, 1e6)), "expected at most 131072 pixels (the limit), got 1000 × 1000"},
		"truncated":        {image[:2880+20], "expected data from byte 2880 to byte 2904, got a file of 2900 bytes"},
		"BSCALE a text":    {imageHDU(8, []int{1, 1}, []byte{0}, "BSCALE = 'x'"), "expected a number, got \"BSCALE  = 'x'\""},
		"BLANK a fraction": {imageHDU(8, []int{1, 1}, []byte{0}, "BLANK = 1.5"), "expected a whole number"},
		"one axis":         {imageHDU(8, []int{5}, make([]byte, 5)), "expected an image with 2 or 3 axes, got 1: [5]"},
		"only a table":     {append(empty(), tableHDU(4, 1, make([]byte, 4), "TFIELDS = 1", "TFORM1 = 'J'", "EXTNAME = 'CAT'")...), "expected an HDU of the kind 'image', got HDU 0: no data; HDU 1 (CAT): binary table"},
		"rubbish after it": {append(empty(), bytes.Repeat([]byte("x"), 6000)...), "then 6000 bytes that are no HDU"},
		"groups":           {hdu(nil, "SIMPLE = T", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 0", "NAXIS2 = 5", "GROUPS = T", "PCOUNT = 0", "GCOUNT = 1"), "random groups"},
		"bad gzip":         {[]byte("\x1f\x8b\x08 not gzip at all"), "expand the file by gzip"},
		"bad bzip2":        {[]byte("BZh9 not bzip2"), "expand the file by bzip2"},
		"zeros":            {gzipped(make([]byte, testLimit+1)), "byte 0: expected a FITS file"},
		"a bomb":           {gzipped(append(imageHDU(8, []int{10, 10}, nil), make([]byte, testLimit)...)), "expected at most 1048576 bytes (the limit), got more"},
		"a bomb's header":  {gzipped(append([]byte("SIMPLE  ="), make([]byte, testLimit)...)), "expected at most 1048576 bytes (the limit), got more"},
		"a bomb's axes":    {gzipped(imageHDU(8, []int{1 << 11, 1 << 11}, nil)), "HDU 0: expand the file by gzip: expected at most 1048576 bytes (the limit), got more"},
		"SIMPLE is F":      {bytes.Replace(imageHDU(8, []int{1, 1}, []byte{1}), []byte("T"), []byte("F"), 1), "HDU 0: card 1: SIMPLE is F"},
		"a cut gzip":       {gzipped(image)[:60], "expand the file by gzip: unexpected EOF"},
	} {
		if err := readFirst(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}

// readFirst reads the first image of a file.
func readFirst(file []byte) error {
	f, err := openBytes(file)
	if err != nil {
		return err
	}
	h, err := f.First(Image)
	if err != nil {
		return err
	}
	_, err = readAll(h)
	return err
}

func gzipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return z.Bytes()
}

// Padding after the last HDU may lack; axes of length 1 are dropped; planes are counted from 0.
func TestPlanes(t *testing.T) {
	for _, c := range []struct{ axes, shape []int }{
		{[]int{2, 3, 2}, []int{2, 3, 2}},
		{[]int{2, 6}, []int{2, 6, 1}},
		{[]int{3, 4, 1, 1}, []int{3, 4, 1}},
		{[]int{1, 3, 4, 1}, []int{3, 4, 1}},
		{[]int{3, 2, 1, 2}, []int{3, 2, 2}},
		{[]int{12, 1, 1}, []int{12, 1, 1}},
		{[]int{1, 12}, []int{1, 12, 1}},
	} {
		file := imageHDU(8, c.axes, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})[:block+12]
		h := must[*File](t)(openBytes(file)).HDUs[0]
		width, height, planes, err := h.Shape()
		if err != nil || !slices.Equal([]int{width, height, planes}, c.shape) {
			t.Fatalf("%v: %d × %d, %d planes, %v; expected %v", c.axes, width, height, planes, err, c.shape)
		}
		n := width * height
		buffer := make([]float64, 1, n+5)
		for plane := range planes {
			got := must[[]float64](t)(h.ReadPlane(buffer, plane))
			if len(got) != n || got[0] != float64(1+plane*n) || got[n-1] != float64(n+plane*n) || &got[0] != &buffer[0] {
				t.Errorf("%v, plane %d: %v", c.axes, plane, got)
			}
		}
		for _, plane := range []int{-1, planes} {
			if _, err := h.ReadPlane(nil, plane); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("plane %d: expected one from 0 to %d", plane, planes-1)) {
				t.Errorf("%v, plane %d: %v", c.axes, plane, err)
			}
		}
	}
}

// Some programs write whole numbers as floating point.
func TestWholeNumbersAsFloats(t *testing.T) {
	file := hdu([]byte{0, 7, 255, 0}, "SIMPLE = T", "BITPIX = 16.", "NAXIS = 2.0", "NAXIS1 = 2E0", "NAXIS2 = 1", "BLANK = -256.")
	got := must[[]float64](t)(readAll(must[*File](t)(openBytes(file)).HDUs[0]))
	if len(got) != 2 || got[0] != 7 || !math.IsNaN(got[1]) {
		t.Errorf("%v, expected 7 and NaN", got)
	}
}

// What the limit allows is read from a file whose reader fails; the error is not io.EOF.
func TestReadFails(t *testing.T) {
	file := imageHDU(8, []int{2, 2}, []byte{1, 2, 3, 4})
	broken := errors.New("the disk is gone")
	r := &failing{bytes.NewReader(file), 2880, broken}
	f := must[*File](t)(Open(r, int64(len(file)), testLimit))
	if _, err := f.HDUs[0].ReadPlane(nil, 0); !errors.Is(err, broken) {
		t.Errorf("%v, expected %v", err, broken)
	}
	r.err = io.EOF
	if _, err := f.HDUs[0].ReadPlane(nil, 0); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Errorf("%v, expected an unexpected EOF", err)
	}
}

// failing is a reader whose reads from a byte on fail.
type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f *failing) ReadAt(b []byte, at int64) (int, error) {
	if at >= f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(b, at)
}

// drawInts draws integers of bitpix bits, with runs and extremes.
func drawInts(t *rapid.T, bitpix, n int) []int64 {
	low, high := int64(0), int64(255)
	if bitpix > 8 {
		low, high = math.MinInt64>>(64-bitpix), math.MaxInt64>>(64-bitpix)
	}
	values := make([]int64, n)
	wild := rapid.Bool().Draw(t, "wild")
	for i := range values {
		switch {
		case wild:
			values[i] = rapid.Int64Range(low, high).Draw(t, "value")
		default:
			values[i] = rapid.Int64Range(3, 12).Draw(t, "small value")
		}
	}
	return values
}

// slowValue is what the standard and astropy make of a stored integer.
func slowValue(v int64, bitpix int, scale, zero float64, blank *int64) float64 {
	switch {
	case blank != nil && v == *blank:
		return math.NaN()
	case scale == 1 && zero == 1<<63 && bitpix == 64:
		return float64(uint64(v) + 1<<63)
	case bitpix <= 16:
		x := float32(v)
		if scale != 1 {
			x *= float32(scale)
		}
		if zero != 0 {
			x += float32(zero)
		}
		return float64(x)
	}
	x := float64(v)
	if scale != 1 {
		x *= scale
	}
	if zero != 0 {
		x += zero
	}
	return x
}

func TestIntegersProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bitpix := rapid.SampledFrom([]int{8, 16, 32, 64}).Draw(t, "BITPIX")
		axes := []int{rapid.IntRange(1, 9).Draw(t, "width"), rapid.IntRange(2, 9).Draw(t, "height"), rapid.IntRange(1, 3).Draw(t, "planes")}
		if axes[0] == 1 {
			axes[0] = 2
		}
		values := drawInts(t, bitpix, axes[0]*axes[1]*axes[2])
		scale := rapid.SampledFrom([]float64{1, 1, 0.1, -2, 0.14077320041}).Draw(t, "BSCALE")
		zero := rapid.SampledFrom([]float64{0, 0, 1, -128, 32768, 1 << 31, 1 << 63, 4615.19}).Draw(t, "BZERO")
		more := []string{fmt.Sprintf("BSCALE = %v", scale), fmt.Sprintf("BZERO = %v", zero)}
		var blank *int64
		if rapid.Bool().Draw(t, "has BLANK") {
			blank = &values[0]
			more = append(more, fmt.Sprintf("BLANK = %d", *blank))
		}
		file := imageHDU(bitpix, axes, stored(bitpix, values), more...)
		if rapid.Bool().Draw(t, "gzip") {
			file = gzipped(file)
		}
		f, err := openBytes(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(f.HDUs[0])
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if want := slowValue(v, bitpix, scale, zero, blank); !sameBits(got[i], want) {
				t.Fatalf("value %d, stored as %d: %v, expected %v", i, v, got[i], want)
			}
		}
	})
}

// encodeTile is one tile in a method; items are bytes of a value.
func encodeTile(t *rapid.T, method string, values []int64, bitpix, items, riceBlock int) []byte {
	raw := stored(8*items, values)
	switch method {
	case "RICE_1":
		return riceEncode(values, items, riceBlock, func(folded []uint64) int {
			largest := slices.Max(folded)
			if largest == 0 && rapid.Bool().Draw(t, "no differences") {
				return -1
			}
			// Any number of low bits is right; too few would make long codes.
			k := rapid.IntRange(0, 25).Draw(t, "low bits")
			for largest>>k > 64 {
				k++
			}
			return k
		})
	case "PLIO_1":
		return plioEncode(values)
	case "GZIP_1":
		return gzipped(raw)
	case "GZIP_2":
		shuffled := make([]byte, 0, len(raw))
		for b := range items {
			for i := range values {
				shuffled = append(shuffled, raw[i*items+b])
			}
		}
		return gzipped(shuffled)
	}
	return raw
}

// cut calls visit with the pixels of each tile, in the order of the table's rows.
func cut(axes, tile [3]int, visit func(indices []int)) {
	for z := 0; z < axes[2]; z += tile[2] {
		for y := 0; y < axes[1]; y += tile[1] {
			for x := 0; x < axes[0]; x += tile[0] {
				var indices []int
				for k := z; k < min(z+tile[2], axes[2]); k++ {
					for j := y; j < min(y+tile[1], axes[1]); j++ {
						for i := x; i < min(x+tile[0], axes[0]); i++ {
							indices = append(indices, (k*axes[1]+j)*axes[0]+i)
						}
					}
				}
				visit(indices)
			}
		}
	}
}

// tileHDU is the table of an image in tiles: descriptors, then the heap.
func tileHDU(method string, bitpix int, axes, tile [3]int, cells [][]byte, more ...string) []byte {
	var rows, heap []byte
	for _, cell := range cells {
		rows = append(rows, bigEndian([]int64{int64(len(cell)), int64(len(heap))})...)
		heap = append(heap, cell...)
	}
	lines := []string{"TFIELDS = 1", "TTYPE1 = 'COMPRESSED_DATA'", "TFORM1 = '1QB'", "ZIMAGE = T", fmt.Sprintf("ZBITPIX = %d", bitpix), fmt.Sprintf("ZCMPTYPE = '%s'", method)}
	lines = append(lines, axisCards("Z", axes[:]...)...)
	for i, n := range tile {
		lines = append(lines, fmt.Sprintf("ZTILE%d = %d", i+1, n))
	}
	if len(cells) > 0 && method == "PLIO_1" {
		lines[2] = "TFORM1 = '1QI'"
		for i := range cells {
			copy(rows[16*i:], bigEndian(int64(len(cells[i])/2)))
		}
	}
	return append(empty(), tableHDU(16, len(cells), append(rows, heap...), append(lines, more...)...)...)
}

func TestTilesProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		method := rapid.SampledFrom([]string{"RICE_1", "RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS"}).Draw(t, "method")
		bitpix := rapid.SampledFrom([]int{8, 16, 32, 64}).Draw(t, "ZBITPIX")
		if method == "RICE_1" || method == "PLIO_1" {
			bitpix = min(bitpix, 32)
		}
		var axes, tile [3]int
		n := 1
		for i := range axes {
			axes[i] = rapid.IntRange(2, 9).Draw(t, "axis")
			tile[i] = rapid.IntRange(1, 11).Draw(t, "tile")
			n *= axes[i]
		}
		values := drawInts(t, bitpix, n)
		if method == "PLIO_1" {
			for i := range values {
				values[i] &= 0x7ffffff
				values[i] &= 1<<(bitpix-1) - 1
			}
		}
		riceBlock := rapid.SampledFrom([]int{16, 32, 5}).Draw(t, "BLOCKSIZE")
		var cells [][]byte
		cut(axes, tile, func(indices []int) {
			var one []int64
			for _, i := range indices {
				one = append(one, values[i])
			}
			cells = append(cells, encodeTile(t, method, one, bitpix, bitpix/8, riceBlock))
		})
		file := tileHDU(method, bitpix, axes, tile, cells, "ZNAME1 = 'BLOCKSIZE'", fmt.Sprintf("ZVAL1 = %d", riceBlock), "ZNAME2 = 'BYTEPIX'", fmt.Sprintf("ZVAL2 = %d", bitpix/8), "BSCALE = 0.5")
		f, err := openBytes(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(f.HDUs[1])
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if want := slowValue(v, bitpix, 0.5, 0, nil); !sameBits(got[i], want) {
				t.Fatalf("value %d, stored as %d: %v, expected %v", i, v, got[i], want)
			}
		}
	})
}

// The standard's appendix I gives the 10,000th seed of its random numbers.
func TestRandomNumbers(t *testing.T) {
	r := randomNumbers()
	if want := float32(1043618065. / 2147483647.); r[randoms-1] != want {
		t.Errorf("the last is %v, expected %v", r[randoms-1], want)
	}
}

// Quantised pixels by the formula of the standard, with a tile so long that the sequence of random
// numbers restarts.
func TestDitherRestarts(t *testing.T) {
	const n = 30_000
	values := make([]int64, n)
	for i := range values {
		values[i] = int64(i%7 - 3)
	}
	cells := [][]byte{gzipped(stored(32, values))}
	file := tileHDU("GZIP_1", -64, [3]int{n, 1, 1}, [3]int{n, 1, 1}, cells, "ZQUANTIZ = 'SUBTRACTIVE_DITHER_1'", "ZDITHER0 = 10000", "ZSCALE = 0.3", "ZZERO = -1.25")
	f := must[*File](t)(openBytes(file))
	got := must[[]float64](t)(f.HDUs[1].ReadPlane(nil, 0))
	r := randomNumbers()
	row, next := randoms-1, int(r[randoms-1]*500)
	for i, v := range values {
		want := (float64(v) - float64(r[next]) + 0.5) * 0.3
		want -= 1.25
		if got[i] != want {
			t.Fatalf("pixel %d: %v, expected %v", i, got[i], want)
		}
		if next++; next == randoms {
			row = (row + 1) % randoms
			next = int(r[row] * 500)
		}
	}
}

func TestTileErrors(t *testing.T) {
	axes, tile := [3]int{4, 2, 1}, [3]int{4, 2, 1}
	good := [][]byte{gzipped(make([]byte, 8*2))}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"HCOMPRESS_1":      {tileHDU("HCOMPRESS_1", 16, axes, tile, good), "expected RICE_1, GZIP_1, GZIP_2 or PLIO_1, got \"ZCMPTYPE= 'HCOMPRESS_1'\"; the program funpack"},
		"unknown":          {tileHDU("ZSTD", 16, axes, tile, good), "got \"ZCMPTYPE= 'ZSTD'"},
		"too few rows":     {tileHDU("GZIP_1", 16, axes, [3]int{2, 2, 1}, good), "expected 2 rows, one for each tile"},
		"no data":          {tileHDU("GZIP_1", 16, axes, tile, [][]byte{nil}), "HDU 1: tile 1: expected data in one of the columns"},
		"not gzip":         {tileHDU("GZIP_1", 16, axes, tile, [][]byte{{1, 2, 3}}), "tile 1: GZIP_1 of 8 pixels"},
		"too much":         {tileHDU("GZIP_1", 16, axes, tile, [][]byte{gzipped(make([]byte, 999))}), "expected 1, 2, 4 or 8 bytes a pixel, got 65 in all"},
		"RICE_1 cut":       {tileHDU("RICE_1", 16, axes, tile, [][]byte{{0, 0, 0, 1, 255}}), "RICE_1 of 8 pixels: expected more than the 5 bytes"},
		"PLIO_1 empty":     {tileHDU("PLIO_1", 16, axes, tile, [][]byte{{0, 0}}), "PLIO_1 of 8 pixels: expected a header of 3 words"},
		"PLIO_1 too long":  {tileHDU("PLIO_1", 16, axes, tile, [][]byte{{0, 0, 0, 7, 127, 255}}), "expected 32767 words"},
		"PLIO_1 operation": {tileHDU("PLIO_1", 16, axes, tile, [][]byte{{0, 0, 0, 7, 0, 4, 0xf0, 0}}), "expected an operation from 0 to 7, got 15"},
		"no scale":         {tileHDU("RICE_1", -32, axes, tile, [][]byte{make([]byte, 99)}), "expected a scale (ZSCALE)"},
		"BYTEPIX 3":        {tileHDU("RICE_1", 16, axes, tile, good, "ZNAME1 = 'BYTEPIX'", "ZVAL1 = 3"), "expected a BYTEPIX of 1, 2 or 4, got \"ZVAL1"},
		"no ZDITHER0":      {tileHDU("GZIP_1", -32, axes, tile, good, "ZQUANTIZ = 'SUBTRACTIVE_DITHER_1'"), "expected a whole number from 1 to 10000 in a card ZDITHER0"},
		"ZQUANTIZ":         {tileHDU("GZIP_1", -32, axes, tile, good, "ZQUANTIZ = 'DITHER_9'"), "expected NO_DITHER, SUBTRACTIVE_DITHER_1 or SUBTRACTIVE_DITHER_2"},
		"over the limit":   {tileHDU("GZIP_1", 16, [3]int{2, 2, 1 << 40}, [3]int{2, 2, 1 << 40}, good), "expected tiles of at most 131072 pixels (the limit)"},
	} {
		if err := readFirst(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}

func TestFirstTableAndOthers(t *testing.T) {
	file := must[[]byte](t)(os.ReadFile("testdata/tables.fits.gz"))
	f := must[*File](t)(openBytes(file))
	if h := must[*HDU](t)(f.First(Table)); h.Index != 1 || h.Name != "ALL" {
		t.Errorf("the first table is %s", h)
	}
	for i, want := range []string{"expected a binary table, got: no data", "", "got an ASCII table (XTENSION 'TABLE'), which is not read"} {
		if _, err := f.HDUs[i].Table(); want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("HDU %d: %v, expected %q", i, err, want)
		}
	}
}

// The eight operations of PLIO_1 by hand, from the standard's list, and the short header of old files.
func TestPLIOByHand(t *testing.T) {
	const zeros, set, up, down, highs, last, upOne, downOne = 0 << 12, 1 << 12, 2 << 12, 3 << 12, 4 << 12, 5 << 12, 6 << 12, 7 << 12
	instructions := []uint16{zeros | 2, highs | 2, up | 4, last | 3, set | 5, 1, upOne | 2, downOne | 3, down | 1, highs | 9}
	want := []int64{0, 0, 1, 1, 0, 0, 5, 4096 + 7, 4096 + 4, 4096 + 3, 4096 + 3}
	long := append([]uint16{0, 7, 0xffff - 99, uint16(7 + len(instructions)), 0, 0, 0}, instructions...)
	short := append([]uint16{0, 0, uint16(3 + len(instructions))}, instructions...)
	for _, words := range [][]uint16{long, short} {
		got := make([]int64, len(want))
		if err := plio(got, bigEndian(words)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v %v, expected %v", got, err, want)
		}
	}
}

// A tile is a row of pixels unless ZTILEn says otherwise, and a column of no bytes is no column.
func TestTileDefaults(t *testing.T) {
	cells := [][]byte{gzipped([]byte{1, 2, 3}), gzipped([]byte{4, 5, 6})}
	file := tileHDU("GZIP_1", 8, [3]int{3, 2, 1}, [3]int{3, 1, 1}, cells)
	file = bytes.ReplaceAll(file, []byte("ZTILE"), []byte("XTILE"))
	h := must[*File](t)(openBytes(file)).HDUs[1]
	if got := must[[]float64](t)(h.ReadPlane(nil, 0)); !slices.Equal(got, []float64{1, 2, 3, 4, 5, 6}) {
		t.Error(got)
	}
	file = bytes.ReplaceAll(file, []byte("'1QB'"), []byte("'0QB'"))
	if err := readFirst(file); err == nil || !strings.Contains(err.Error(), "expected a column COMPRESSED_DATA of variable length, got none") {
		t.Error(err)
	}
}

// What follows random groups is found.
func TestAfterRandomGroups(t *testing.T) {
	groups := hdu(nil, "SIMPLE = T", "BITPIX = 16", "NAXIS = 3", "NAXIS1 = 0", "NAXIS2 = 10", "NAXIS3 = 20", "GROUPS = T", "PCOUNT = 5", "GCOUNT = 3000")
	data := make([]byte, 3000*2*(5+10*20))
	groups = append(groups, pad(data, 0)...)
	image := hdu([]byte{9}, "XTENSION= 'IMAGE'", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 1", "NAXIS2 = 1", "PCOUNT = 0", "GCOUNT = 1")
	file := append(groups, image...)
	f := must[*File](t)(Open(bytes.NewReader(file), int64(len(file)), testLimit))
	h := must[*HDU](t)(f.First(Image))
	if got := must[[]float64](t)(h.ReadPlane(nil, 0)); f.HDUs[0].Kind != Groups || h.Index != 1 || got[0] != 9 {
		t.Errorf("%s, then %s: %v", f.HDUs[0].Kind, h, got)
	}
}
