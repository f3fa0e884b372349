package fits

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const (
	block = 2880 // headers and data are padded to a multiple of it
	card  = 80

	// maxHeader bounds the search for the END card. Headers of a few thousand cards exist.
	maxHeader = 32 << 20
)

// Header is the header of an HDU.
type Header struct {
	cards []byte // without END
	at    int64  // offset in the file
}

// readHeader reads the header at an offset and returns the offset of what follows.
func (f *File) readHeader(at int64) (Header, int64, error) {
	var b []byte
	for step := int64(2 * block); ; step *= 2 {
		have := int64(len(b))
		if err := f.expand(at + have + step); err != nil {
			return Header{}, 0, err
		}
		n := min(step, f.size-at-have, maxHeader-have)
		if n <= 0 && have < maxHeader && f.expander != nil && !f.expander.ended {
			return Header{}, 0, f.tooLarge()
		}
		if n <= 0 {
			return Header{}, 0, fmt.Errorf("header at byte %d: expected an END card before byte %d, got none: the file is truncated or no FITS file", at, at+have)
		}
		b = append(b, make([]byte, n)...)
		if err := readAt(f.r, b[have:], at+have); err != nil {
			return Header{}, 0, fmt.Errorf("header at byte %d: %w", at, err)
		}
		for i := have / card * card; i+card <= int64(len(b)); i += card {
			if string(b[i:i+8]) == "END     " {
				return Header{b[:i:i], at}, at + padded(i+card), nil
			}
		}
	}
}

// readAt fills b. Unlike io.ReaderAt's, its error is never io.EOF, which callers may take for
// the end of their own input.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at byte %d: %w", len(b), at, err)
}

// padded rounds n up to blocks; n is at most math.MaxInt64 - block.
func padded(n int64) int64 { return (n + block - 1) / block * block }

// Lookup returns the value of the first card with a keyword: a string, bool, int64 or float64,
// or nil where the card has no value. Case does not matter. The keyword of a HIERARCH card is
// what follows that word ("ESO DET DIT"). A long string is put together from its CONTINUE cards. What is
// none of the standard's values is returned as a string, as it is written.
func (h *Header) Lookup(key string) (value any, ok bool) {
	i := h.find(key)
	if i < 0 {
		return nil, false
	}
	return h.value(i), true
}

// find returns the offset of a keyword's card in h.cards, or -1.
func (h *Header) find(key string) int {
	key = strings.TrimPrefix(strings.ToUpper(key), "HIERARCH ")
	var name [9]byte
	copy(name[:], "        =")
	if len(key) <= 8 {
		copy(name[:], key)
	}
	for i := 0; i < len(h.cards); i += card {
		c := h.cards[i : i+card]
		if string(c[:9]) == string(name[:]) && len(key) <= 8 {
			return i
		}
		if long, is := bytes.CutPrefix(c, []byte("HIERARCH ")); is {
			long, _, has := bytes.Cut(long, []byte("="))
			if has && strings.EqualFold(string(bytes.TrimSpace(long)), key) {
				return i
			}
		}
	}
	return -1
}

// value returns the value of the card at offset i.
func (h *Header) value(i int) any {
	_, text, _ := strings.Cut(string(h.cards[i:i+card]), "=")
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "'") {
		return h.text(i, text)
	}
	text, _, _ = strings.Cut(text, "/")
	text = strings.TrimSpace(text)
	switch text {
	case "":
		return nil
	case "T":
		return true
	case "F":
		return false
	}
	if strings.Trim(text, "+-.0123456789EeDd") != "" {
		return text
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if x, err := strconv.ParseFloat(strings.NewReplacer("D", "E", "d", "e").Replace(text), 64); err == nil {
		return x
	}
	return text
}

// text returns the string that starts with quoted, with those of the CONTINUE cards after the
// card at offset i.
func (h *Header) text(i int, quoted string) string {
	var all strings.Builder
	for {
		part := unquote(quoted)
		more, goesOn := strings.CutSuffix(part, "&")
		i += card
		if !goesOn || i >= len(h.cards) || !bytes.HasPrefix(h.cards[i:], []byte("CONTINUE")) {
			all.WriteString(part)
			return all.String()
		}
		all.WriteString(more)
		quoted = strings.TrimSpace(string(h.cards[i+8 : i+card]))
	}
}

// unquote returns a string in quotes without them, and without what follows. Two quotes are
// one that belongs to it. Spaces at its end have no meaning.
func unquote(s string) string {
	var b strings.Builder
	for s = strings.TrimPrefix(s, "'"); ; {
		before, after, found := strings.Cut(s, "'")
		b.WriteString(before)
		if !found || !strings.HasPrefix(after, "'") {
			return strings.TrimRight(b.String(), " ")
		}
		b.WriteByte('\'')
		s = after[1:]
	}
}

// wrong is the error of a keyword that has not the value that was expected.
func (h *Header) wrong(key, expected string) error {
	i := h.find(key)
	if i < 0 {
		return fmt.Errorf("header at byte %d: expected %s in a card %s, got no such card", h.at, expected, key)
	}
	return fmt.Errorf("card %d (byte %d): expected %s, got %q", i/card+1, h.at+int64(i), expected, strings.TrimSpace(string(h.cards[i:i+card])))
}

// integer returns a whole number from low to high, which some programs write as 7. or 7.0. A card
// that is not there has the number otherwise, which is an error where it is out of that range.
func (h *Header) integer(key string, low, high, otherwise int64) (int64, error) {
	n, is := otherwise, true
	if value, ok := h.Lookup(key); ok {
		n, is = value.(int64)
		if x, isFloat := value.(float64); isFloat && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			n, is = int64(x), true
		}
	}
	if !is || n < low || n > high {
		return 0, h.wrong(key, fmt.Sprintf("a whole number from %d to %d", low, high))
	}
	return n, nil
}

// number returns a number; a card that is not there has the number otherwise.
func (h *Header) number(key string, otherwise float64) (float64, error) {
	value, ok := h.Lookup(key)
	if !ok {
		return otherwise, nil
	}
	switch x := value.(type) {
	case int64:
		return float64(x), nil
	case float64:
		return x, nil
	}
	return 0, h.wrong(key, "a number")
}

// string returns a text, which is "" if the card is not there or has none.
func (h *Header) string(key string) string {
	value, _ := h.Lookup(key)
	s, _ := value.(string)
	return s
}

// bool reports whether a card has the value T.
func (h *Header) bool(key string) bool {
	value, _ := h.Lookup(key)
	return value == true
}
