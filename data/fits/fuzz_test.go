package fits

import (
	"os"
	"path/filepath"
	"testing"
)

// seeds adds HDUs of testdata, each in a file of its own and expanded, because no change to a
// compressed file gets past its checksum; and small files of each kind.
func seeds(f *testing.F) {
	f.Helper()
	paths, err := filepath.Glob("testdata/*.fits.*")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		file := must[*File](f)(openBytes(must[[]byte](f)(os.ReadFile(path))))
		for i := 0; i < len(file.HDUs); i += 3 {
			h := file.HDUs[i]
			one := make([]byte, padded(h.end)-h.at)
			if err := readAt(file.r, one, h.at); err != nil {
				f.Fatal(err)
			}
			if i > 0 {
				one = append(empty(), one...)
			}
			f.Add(one)
		}
	}
	f.Add(gzipped(imageHDU(8, []int{4, 3}, make([]byte, 12))))
	f.Add(imageHDU(16, []int{4, 3}, make([]byte, 24), "BZERO = 32768", "BLANK = 0", "LONG = 'a&'", "CONTINUE  'b'"))
	f.Add(imageHDU(-64, []int{2, 1, 2}, make([]byte, 32)))
	axes, tile := [3]int{4, 3, 2}, [3]int{3, 2, 1}
	for _, method := range []string{"RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS"} {
		var cells [][]byte
		cut(axes, tile, func(indices []int) {
			values := make([]int64, len(indices))
			cell := stored(32, values)
			switch method {
			case "RICE_1":
				cell = riceEncode(values, 4, 32, func([]uint64) int { return 2 })
			case "PLIO_1":
				cell = plioEncode(values)
			case "GZIP_1", "GZIP_2":
				cell = gzipped(cell)
			}
			cells = append(cells, cell)
		})
		f.Add(tileHDU(method, 32, axes, tile, cells))
		f.Add(tileHDU(method, -32, axes, tile, cells, "ZSCALE = 0.5", "ZQUANTIZ = 'SUBTRACTIVE_DITHER_2'", "ZDITHER0 = 7"))
	}
	f.Add(append(empty(), tableHDU(25, 2, make([]byte, 50), "TFIELDS = 5", "TFORM1 = 'K'", "TFORM2 = '5A'", "TFORM3 = '9X'", "TFORM4 = '2E'", "TFORM5 = 'I'", "TNULL5 = 0", "TZERO1 = 1")...))
}

// FuzzOpen reads all images of a file.
func FuzzOpen(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		opened, err := openBytes(file)
		if err != nil {
			return
		}
		for _, h := range opened.HDUs {
			width, height, planes, err := h.Shape()
			if err != nil {
				continue
			}
			for plane := range min(planes, 3) {
				pixels, err := h.ReadPlane(nil, plane)
				if cap(pixels) > testLimit/8*5/4 {
					t.Fatalf("%d values in spite of the limit", cap(pixels))
				}
				if err == nil && len(pixels) != width*height {
					t.Fatalf("%d values for %d × %d", len(pixels), width, height)
				}
			}
		}
	})
}

// FuzzTable reads all tables of a file.
func FuzzTable(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		opened, err := openBytes(file)
		if err != nil {
			return
		}
		for _, h := range opened.HDUs {
			table, err := h.Table()
			if err != nil {
				continue
			}
			for row := range min(table.Rows, 50) {
				for column := range table.Columns {
					text, err := table.Text(row, column)
					value, err2 := table.Value(row, column)
					if (err == nil) != (err2 == nil) || err == nil && value == nil && text != "" {
						t.Fatalf("%q %v, %v %v", text, err, value, err2)
					}
					_, _ = table.Float(row, column) // of a text it is an error
				}
			}
		}
	})
}
