package table

import (
	"errors"
	"strconv"
	"strings"
)

var errDecimal = errors.New("expected a decimal number")

// ParseNumber returns the number that a cell holds: decimal digits with a point and an exponent, as 18, -0.5 or 1e-3,
// or NaN. Go's other literals are errors, because tables mean something else by them: 1_0, 0x1p3, inf.
func ParseNumber(text string) (float64, error) {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
		case strings.EqualFold(text, "nan"):
			return strconv.ParseFloat(text, 64)
		default:
			return 0, errDecimal
		}
	}
	return strconv.ParseFloat(text, 64)
}
