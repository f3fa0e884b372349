package fits

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// AppendImage appends an HDU with an image, in float32, to a file and returns the longer file: the primary
// HDU to an empty file, and otherwise an IMAGE extension. name is its EXTNAME, "" for none. The pixels are
// in the order of the file, the bottom row first, plane by plane; NaN are undefined. There are as many
// planes as complete ones in pixels. Without any the HDU is empty, as the first one of many files is.
func AppendImage(file []byte, name string, pixels []float32, width, height int) []byte {
	var axes []int
	if n := width * height; n > 0 && len(pixels) >= n {
		axes = []int{width, height, len(pixels) / n}
		pixels = pixels[:n*axes[2]]
		if axes[2] == 1 {
			axes = axes[:2]
		}
	} else {
		pixels = nil
	}
	start := len(file)
	card := func(key, value string) {
		file = fmt.Appendf(file, "%-80s", fmt.Sprintf("%-8s= %20s", key, value))
	}
	if start == 0 {
		card("SIMPLE", "T")
	} else {
		card("XTENSION", "'IMAGE   '          ")
	}
	card("BITPIX", "-32")
	card("NAXIS", fmt.Sprint(len(axes)))
	for i, n := range axes {
		card(fmt.Sprint("NAXIS", i+1), fmt.Sprint(n))
	}
	if start > 0 {
		card("PCOUNT", "0")
		card("GCOUNT", "1")
	}
	if name != "" {
		card("EXTNAME", fmt.Sprintf("%-20s", "'"+strings.ReplaceAll(name, "'", "''")+"'"))
	}
	file = fmt.Appendf(file, "%-80s", "END")
	for (len(file)-start)%block != 0 {
		file = append(file, ' ')
	}
	for _, v := range pixels {
		file = binary.BigEndian.AppendUint32(file, math.Float32bits(v))
	}
	for (len(file)-start)%block != 0 {
		file = append(file, 0)
	}
	return file
}
