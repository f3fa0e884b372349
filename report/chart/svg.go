package chart

import (
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// markup writes elements that are well-formed as XML and as HTML. Names of elements and attributes are
// constants of this package; every value and text is escaped here and nowhere else.
type markup struct {
	b    strings.Builder
	open []string
}

// start opens an element. attributes are names and values in turn; a value is a string, an int, or a float64
// in the drawing's units. An attribute with an empty string is omitted.
func (m *markup) start(name string, attributes ...any) {
	m.tag(name, attributes)
	m.b.WriteByte('>')
	m.open = append(m.open, name)
}

func (m *markup) tag(name string, attributes []any) {
	m.b.WriteByte('<')
	m.b.WriteString(name)
	for i := 0; i+1 < len(attributes); i += 2 {
		var value string
		switch v := attributes[i+1].(type) {
		case string:
			value = v
		case int:
			value = strconv.Itoa(v)
		case float64:
			value = units(v)
		}
		if value == "" {
			continue
		}
		m.b.WriteByte(' ')
		m.b.WriteString(attributes[i].(string))
		m.b.WriteString(`="`)
		m.b.WriteString(escape(value))
		m.b.WriteByte('"')
	}
}

// end closes the element that was opened last.
func (m *markup) end() {
	last := len(m.open) - 1
	m.b.WriteString("</" + m.open[last] + ">")
	m.open = m.open[:last]
}

// shape writes an element of SVG without content.
func (m *markup) shape(name string, attributes ...any) {
	m.tag(name, attributes)
	m.b.WriteString("/>")
}

// leaf writes an element that contains text only.
func (m *markup) leaf(name, text string, attributes ...any) {
	m.start(name, attributes...)
	m.b.WriteString(escape(text))
	m.end()
}

func (m *markup) html() template.HTML { return template.HTML(m.b.String()) } //nolint:gosec // escaped as it was written

// escape makes a text safe in an element and in an attribute. Bytes that are not UTF-8 and characters that XML
// forbids become U+FFFD.
func escape(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, s))
}

// units formats a coordinate with one decimal, a tenth of a pixel or finer on common screens.
func units(v float64) string {
	v = math.Round(v*10) / 10
	if v == 0 {
		v = 0 // not -0
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// width estimates how many units a text takes in a sans-serif font of that size. Browsers have different
// fonts, so the estimate is on the wide side.
func width(s string, size float64) float64 {
	var ems float64
	for _, r := range s {
		ems += runeWidth(r)
	}
	return ems * size
}

func runeWidth(r rune) float64 {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100: // CJK, emoji
		return 1.1
	case unicode.IsUpper(r) || r == 'm' || r == 'w' || r == '%' || r == '@':
		return 0.78
	}
	return 0.57
}

// cut shortens a text to the room, in units, with an ellipsis.
func cut(s string, size, room float64) string {
	if width(s, size) <= room {
		return s
	}
	room -= size // the ellipsis
	var used float64
	for i, r := range s {
		if used += runeWidth(r) * size; used > room {
			return strings.TrimSpace(s[:i]) + "…"
		}
	}
	return s
}

// cutMiddle returns s, or as much of both its ends as fits into room units: names often differ at their ends.
func cutMiddle(s string, size, room float64) string {
	if width(s, size) <= room {
		return s
	}
	runes := []rune(s)
	for n := len(runes) - 1; n > 1; n-- {
		if short := string(runes[:(n+1)/2]) + "…" + string(runes[len(runes)-n/2:]); width(short, size) <= room {
			return short
		}
	}
	return "…"
}
