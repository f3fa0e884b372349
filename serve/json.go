package serve

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"galaxy/data/imagefile"
	"galaxy/savedmodel"
)

// A jsonRequest is the body of a REST request to predict. In row form instances has a value or an
// object for each image, and in column form inputs has all of them. The other is nil.
// (https://www.tensorflow.org/tfx/serving/api_rest)
type jsonRequest struct {
	signature         string
	instances, inputs jsontext.Value
}

// row reports whether the answer is in row form too.
func (r *jsonRequest) row() bool { return r.instances != nil }

// parseJSON reads the body of a request, whose values stay in it.
func parseJSON(body []byte) (r jsonRequest, err error) {
	values := map[string]*jsontext.Value{"instances": &r.instances, "inputs": &r.inputs}
	err = object(body, func(name string, value jsontext.Value) error {
		if name == "signature_name" {
			text, err := jsontext.AppendUnquote(nil, value)
			if err != nil {
				return fmt.Errorf("signature_name is %s: expected a string", clip(value))
			}
			r.signature = string(text)
		} else if v, ok := values[name]; ok {
			*v = value
		}
		return nil // others are ignored, as TensorFlow Serving does
	})
	switch {
	case err != nil:
		return r, invalid("the body is no request: %s", syntax(err))
	case r.instances != nil && r.inputs != nil:
		return r, invalid("the body has both 'instances' (the row form) and 'inputs' (the column form): expected one of them")
	case r.instances == nil && r.inputs == nil:
		return r, invalid("the body has neither 'instances' (the row form) nor 'inputs' (the column form): expected one of them")
	}
	return r, nil
}

// object calls member with the members of the JSON object that text is. The values are parts of text.
func object(text []byte, member func(name string, value jsontext.Value) error) error {
	return members(text, '{', func(d *jsontext.Decoder) error {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		value, err := next(d, text)
		if err != nil {
			return err
		}
		return member(key, value)
	})
}

// array calls element with the elements of the JSON array that text is, which are parts of text.
func array(text []byte, element func(value jsontext.Value) error) error {
	return members(text, '[', func(d *jsontext.Decoder) error {
		value, err := next(d, text)
		if err != nil {
			return err
		}
		return element(value)
	})
}

// members calls read for each member of the object or element of the array that text is.
func members(text []byte, open jsontext.Kind, read func(d *jsontext.Decoder) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(text)) // a Buffer's bytes are used in place, and not changed
	if kind := d.PeekKind(); kind != open && kind > 0 {
		return fmt.Errorf("%s: expected %s", clip(text), map[jsontext.Kind]string{'{': "an object in JSON, {…}", '[': "a list, […]"}[open])
	}
	if _, err := d.ReadToken(); errors.Is(err, io.EOF) {
		return errors.New("it is empty: expected JSON")
	} else if err != nil {
		return err
	}
	for kind := d.PeekKind(); kind != '}' && kind != ']'; kind = d.PeekKind() {
		if err := read(d); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON: expected its end")
	}
	return nil
}

// syntax returns the text of an error about JSON, without the name of its parser.
func syntax(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the JSON ends too early: is the request complete?"
	}
	if wrong := (*jsontext.SyntacticError)(nil); errors.As(err, &wrong) {
		return "no valid JSON: " + strings.TrimPrefix(wrong.Error(), "jsontext: ")
	}
	return message(err)
}

// next reads a value, and returns the part of text that it is.
func next(d *jsontext.Decoder, text []byte) (jsontext.Value, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(d.InputOffset())
	return text[end-len(value) : end], nil
}

// clip shortens JSON for a message.
func clip(value []byte) string {
	const most = 60
	value = bytes.TrimSpace(value)
	if len(value) > most {
		return strings.ToValidUTF8(string(value[:most]), "") + "…"
	}
	return strings.ToValidUTF8(string(value), "�")
}

// inputOf makes the input of a signature, of at most so many images, of a request.
func (r *jsonRequest) inputOf(sig signature, shape imagefile.Shape, most int) (in input, err error) {
	part, value := "instances", r.instances
	if !r.row() {
		part = "inputs"
		value, err = unnamed(r.inputs, sig.input)
	}
	if err == nil {
		err = array(value, func(value jsontext.Value) (err error) {
			if in.n == most {
				return tooMany(most)
			}
			if r.row() {
				value, err = unnamed(value, sig.input)
			}
			if err == nil {
				err = in.add(value, sig, shape)
			}
			if err != nil {
				return fmt.Errorf("image %d: %w", in.n, err)
			}
			in.n++
			return nil
		})
	}
	switch {
	case err != nil:
		return in, invalid("%s: %s", part, syntax(err))
	case in.n == 0:
		return in, invalid("%s: no images: expected 1 to %d", part, most)
	}
	return in, nil
}

// add appends an image or a file in JSON.
func (in *input) add(value jsontext.Value, sig signature, shape imagefile.Shape) (err error) {
	if !sig.files {
		if isB64(value) {
			return fmt.Errorf("a file: the signature %s takes images as lists [%d][%d][%d], and %s takes files, with signature_name", sig.name, shape.Size, shape.Size, shape.Channels, savedmodel.SignatureJPEGs)
		}
		in.images, err = appendPixels(in.images, value, shape)
		return err
	}
	file, err := fileOf(value)
	in.files = append(in.files, file)
	return err
}

func tooMany(most int) error {
	return invalid("the request has more than %d images: send them in several requests (the service's max-items sets this)", most)
}

// unnamed returns the value of the input of a signature: text itself, or the only member of the object that it is.
func unnamed(text jsontext.Value, input string) (jsontext.Value, error) {
	if text.Kind() != '{' || isB64(text) {
		return text, nil
	}
	return named(text, input)
}

// named returns the only member of an object, the input of a signature.
func named(text []byte, input string) (value jsontext.Value, err error) {
	err = object(text, func(name string, v jsontext.Value) error {
		if name != input {
			return fmt.Errorf("the signature has no input %q: expected %q", clip([]byte(name)), input)
		}
		value = v
		return nil
	})
	if err == nil && value == nil {
		err = fmt.Errorf("expected the input %q", input)
	}
	return value, err
}

const b64 = "b64"

// isB64 reports whether a value is binary data, {"b64": "…"}.
func isB64(text jsontext.Value) bool {
	if text.Kind() != '{' {
		return false
	}
	found := false
	err := object(text, func(name string, _ jsontext.Value) error {
		if name != b64 {
			return errors.New("another name")
		}
		found = true
		return nil
	})
	return err == nil && found
}

// fileOf returns the bytes of a file: {"b64": "…"}, or a string that is taken as it is.
func fileOf(value jsontext.Value) (file []byte, err error) {
	encoded := value.Kind() == '{'
	if encoded {
		if value, err = named(value, b64); err != nil {
			return nil, err
		}
	}
	if value.Kind() != '"' {
		return nil, fmt.Errorf(`%s: expected a file as {"b64": "…"}`, clip(value))
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil || !encoded {
		return text, err
	}
	coding := base64.StdEncoding
	if len(text)%4 != 0 && !bytes.ContainsAny(text, "=\r\n") {
		coding = base64.RawStdEncoding // of clients that leave the padding out
	}
	n, err := coding.Decode(text, text) // in place: what is written is behind what is read
	if err != nil {
		return nil, fmt.Errorf("b64: %w", err)
	}
	return text[:n], nil
}

// appendPixels appends an image, nested lists [Size][Size][Channels] of integers from 0 to 255, to dst.
// value is valid JSON.
func appendPixels(dst []byte, value jsontext.Value, shape imagefile.Shape) ([]byte, error) {
	expected := [...]int{1, shape.Size, shape.Size, shape.Channels}
	var counts [len(expected)]int // of what is complete, by depth
	depth := 0
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',':
		case c == '[' && depth < len(expected)-1:
			depth++
			counts[depth] = 0
		case c == ']':
			if counts[depth] != expected[depth] {
				return dst, wrongShape(counts[depth], depth, shape)
			}
			depth--
			counts[depth]++
		case c >= '0' && c <= '9' && depth == len(expected)-1:
			pixel := 0
			for ; i < len(value) && value[i] >= '0' && value[i] <= '9' && pixel <= math.MaxUint8; i++ {
				pixel = 10*pixel + int(value[i]-'0')
			}
			if pixel > math.MaxUint8 || i < len(value) && (value[i] == '.' || value[i] == 'e' || value[i] == 'E') {
				return dst, wrongPixel(value, i)
			}
			i--
			if counts[depth]++; counts[depth] > expected[depth] {
				return dst, wrongShape(counts[depth], depth, shape)
			}
			dst = append(dst, byte(pixel))
		case depth == len(expected)-1:
			return dst, wrongPixel(value, i)
		default:
			return dst, fmt.Errorf("%s has a value where a list is expected: an image is lists [%d][%d][%d]", [...]string{"the image", "the image", "a row"}[depth], shape.Size, shape.Size, shape.Channels)
		}
		if counts[depth] > expected[depth] {
			return dst, wrongShape(counts[depth], depth, shape)
		}
	}
	return dst, nil
}

// wrongShape is the error about a list of so many elements, at a depth of 1 (the image) to 3 (a pixel).
func wrongShape(got, depth int, shape imagefile.Shape) error {
	what := [...]string{"the list of images has %d images", "the image has %d rows", "a row has %d pixels", "a pixel has %d channels"}[depth]
	expected := [...]int{1, shape.Size, shape.Size, shape.Channels}[depth]
	return fmt.Errorf(what+": expected %d; an image is lists [%d][%d][%d]", got, expected, shape.Size, shape.Size, shape.Channels)
}

// wrongPixel is the error about the value before or at a position.
func wrongPixel(text []byte, at int) error {
	from := bytes.LastIndexAny(text[:at], "[, ") + 1
	to := at + bytes.IndexAny(text[at:], ",]")
	return fmt.Errorf("%s: expected pixels as integers from 0 to 255", clip(text[from:max(from, to)]))
}

// appendAnswers appends the body of the answer to a request: in row form an object, or a list
// if there is one output, for each image, and in column form a list for each output. The numbers of a
// broken file are null; then 'errors' has a text for each image, empty for a good one.
func appendAnswers(b []byte, a answers, n int, row bool) []byte {
	outputs := a.outputs()
	if row {
		b = append(b, `{"predictions":[`...)
		for i := range n {
			b = appendComma(b, i)
			b = appendOutputs(b, outputs, func(b []byte, o output) []byte { return appendRow(b, o.values, i, n) })
		}
		b = append(b, ']')
	} else {
		b = append(b, `{"outputs":`...)
		b = appendOutputs(b, outputs, func(b []byte, o output) []byte {
			b = append(b, '[')
			for i := range n {
				b = appendRow(appendComma(b, i), o.values, i, n)
			}
			return append(b, ']')
		})
	}
	if a.errs != nil {
		b = append(b, `,"errors":[`...)
		for i, err := range a.errs {
			b, _ = jsontext.AppendQuote(appendComma(b, i), message(err)) // which replaces what is no UTF-8
		}
		b = append(b, ']')
	}
	return append(b, '}', '\n')
}

func appendComma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

// appendOutputs appends an object with the outputs, or the only one.
func appendOutputs(b []byte, outputs []output, appendOne func(b []byte, o output) []byte) []byte {
	if len(outputs) == 1 {
		return appendOne(b, outputs[0])
	}
	b = append(b, '{')
	for i, o := range outputs {
		b = append(strconv.AppendQuote(appendComma(b, i), o.name), ':')
		b = appendOne(b, o)
	}
	return append(b, '}')
}

// appendRow appends row i of n. The digits are as many as tell a float32 from all others.
func appendRow(b []byte, values []float32, i, n int) []byte {
	width := len(values) / n
	b = append(b, '[')
	for j, v := range values[i*width : (i+1)*width] {
		b = appendComma(b, j)
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendFloat(b, x, 'g', -1, 32)
		}
	}
	return append(b, ']')
}
