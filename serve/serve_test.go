package serve_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/internal/tfserving"
	"galaxy/labels"
	"galaxy/serve"
)

const (
	side   = 4
	bytes1 = side * side * 3 // of an image
)

// pair is a schema of two columns.
func pair(t testing.TB) *labels.Schema {
	t.Helper()
	s, err := labels.New(labels.Definition{
		Name: "pair", Values: labels.Fractions,
		Questions: []labels.Question{{Text: "<script>alert(1)</script>?", Answers: []labels.Answer{{Name: "a", Text: "<b>A</b>"}, {Name: "b", Text: "B"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fake is a network whose logits are the first pixel of an image and the version, and whose probabilities are 1 ÷
// (1 + these).
type fake struct {
	version  float32
	noLogits bool
	// hold, if set, is received from before each batch, once the first one (of the warm-up) was
	// predicted; held counts the batches that came so far.
	hold    chan struct{}
	held    atomic.Int64
	largest atomic.Int64
	closed  atomic.Bool
	running atomic.Int64
}

func (f *fake) Predict(images []byte) (logits, probabilities []float32, err error) {
	if f.running.Add(1) > 1 || f.closed.Load() {
		return nil, nil, errors.New("the network was called twice at once, or after Close")
	}
	defer f.running.Add(-1)
	if f.hold != nil && images[0] != 0 { // the warm-up's are black
		f.held.Add(1)
		<-f.hold
	}
	n := len(images) / bytes1
	f.largest.Store(max(f.largest.Load(), int64(n)))
	for i := range n {
		row := []float32{float32(images[i*bytes1]), f.version}
		if row[0] == 255 {
			row[0] = float32(math.NaN())
		}
		logits = append(logits, row...)
		probabilities = append(probabilities, 1/(1+row[0]), 1/(1+row[1]))
	}
	if f.noLogits {
		logits = nil
	}
	return logits, probabilities, nil
}

// corner is a decoder that takes the upper left corner of a PNG, and one pixel of a JPEG.
type corner struct{}

func (corner) Decode(dst []byte, file imagefile.File) error {
	if file.JPEG() {
		m, err := jpeg.Decode(bytes.NewReader(file.Encoded))
		if err == nil {
			r, _, _, _ := m.At(file.Width/2, file.Height/2).RGBA()
			dst[0] = byte(r >> 8)
		}
		return err
	}
	if _, err := imagefile.Crop(side).Square(file.Width, file.Height); err != nil {
		return err
	}
	pixels, err := file.Pixels(nil, image.Rect(0, 0, side, side), 3)
	copy(dst, pixels)
	return err
}

// network returns a network and a model of it.
func network(t testing.TB, version float32) (*fake, *serve.Model) {
	f := &fake{version: version}
	return f, &serve.Model{
		Predictor: f, Shape: imagefile.Shape{Size: side, Channels: 3}, Target: pair(t), Decoder: corner{},
		Close: func() error { f.closed.Store(true); return nil },
	}
}

// start serves a model, with other settings by change, until the test ends. It returns the base of URLs and the address of gRPC.
func start(t testing.TB, m *serve.Model, change func(*serve.Config)) (rest, rpc string) {
	t.Helper()
	cfg := serve.Default(t.TempDir(), func(string) (*serve.Model, error) { return m, nil })
	if change != nil {
		change(&cfg)
	}
	s, err := serve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rest, rpc, stop := run(t, s)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return rest, rpc
}

// run lets a server serve until stop is called.
func run(t testing.TB, s *serve.Server) (rest, rpc string, stop func() error) {
	t.Helper()
	var listeners [2]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listeners[0], listeners[1]) }()
	return "http://" + listeners[0].Addr().String(), listeners[1].Addr().String(), func() error {
		cancel()
		return <-ended
	}
}

// picture returns a PNG whose first pixel has a value.
func picture(first byte) []byte {
	m := image.NewRGBA(image.Rect(0, 0, side+1, side+2))
	for i := range m.Pix {
		m.Pix[i] = []byte{7, 8, 9, 255}[i%4]
	}
	m.Set(0, 0, color.RGBA{first, 1, 2, 255})
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func b64(file []byte) string { return base64.StdEncoding.EncodeToString(file) }

// lists returns an image whose first pixel has a value as nested lists in JSON.
func lists(first byte) string {
	pixel := "[7,8,9]"
	row := "[" + strings.Repeat(pixel+",", side-1) + pixel + "]"
	all := "[" + strings.Repeat(row+",", side-1) + row + "]"
	return strings.Replace(all, "7", strconv.Itoa(int(first)), 1)
}

// post sends a body, and returns the status and the answer.
func post(t testing.TB, url, body string) (int, string) {
	t.Helper()
	r, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return read(t, r)
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, r)
}

// ask sends a request without a body, and returns the status, the type and the text of its answer.
func ask(t *testing.T, method, url string) (code int, kind, text string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	code, text = read(t, r)
	return code, r.Header.Get("Content-Type"), text
}

func read(t testing.TB, r *http.Response) (int, string) {
	t.Helper()
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// What REST clients get for requests in all forms.
func TestREST(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	url, _ := start(t, m, nil)
	file := func(first byte) string { return `{"b64":"` + b64(picture(first)) + `"}` }
	const jpeg = `"signature_name":"serving_jpeg",`
	for name, test := range map[string]struct{ body, answer string }{
		"rows":            {`{"instances":[` + lists(1) + `, ` + lists(4) + `]}`, `{"predictions":[{"logits":[1,3],"probabilities":[0.5,0.25]},{"logits":[4,3],"probabilities":[0.2,0.25]}]}`},
		"named rows":      {`{"instances":[{"images":` + lists(1) + `}]}`, `{"predictions":[{"logits":[1,3],"probabilities":[0.5,0.25]}]}`},
		"columns":         {`{"inputs":[` + lists(1) + `,` + lists(4) + `]}`, `{"outputs":{"logits":[[1,3],[4,3]],"probabilities":[[0.5,0.25],[0.2,0.25]]}}`},
		"named columns":   {`{"inputs":{"images":[` + lists(1) + `]},"signature_name":"serving_default","other":{}}`, `{"outputs":{"logits":[[1,3]],"probabilities":[[0.5,0.25]]}}`},
		"files":           {`{` + jpeg + `"instances":[` + file(1) + `]}`, `{"predictions":[{"logits":[1,3],"probabilities":[0.5,0.25]}]}`},
		"named files":     {`{"instances":[{"jpegs":` + file(1) + `}],` + jpeg[:len(jpeg)-1] + `}`, `{"predictions":[{"logits":[1,3],"probabilities":[0.5,0.25]}]}`},
		"column of files": {`{` + jpeg + `"inputs":{"jpegs":[` + file(4) + `]}}`, `{"outputs":{"logits":[[4,3]],"probabilities":[[0.2,0.25]]}}`},
		"without padding": {`{` + jpeg + `"inputs":[{"b64":"` + strings.TrimRight(b64(picture(4)), "=") + `"}]}`, `{"outputs":{"logits":[[4,3]],"probabilities":[[0.2,0.25]]}}`},
		"escaped slashes": {`{` + jpeg + `"inputs":[{"b64":"` + strings.ReplaceAll(b64(picture(4)), "/", `\/`) + `"}]}`, `{"outputs":{"logits":[[4,3]],"probabilities":[[0.2,0.25]]}}`},
		"a broken file": {`{` + jpeg + `"instances":[` + file(1) + `,{"b64":"PGI+"},` + file(4) + `]}`,
			`{"predictions":[{"logits":[1,3],"probabilities":[0.5,0.25]},{"logits":[null,null],"probabilities":[null,null]},{"logits":[4,3],"probabilities":[0.2,0.25]}],"errors":["","image 1: the file is a text file; expected an image: JPEG, PNG, TIFF, WebP or BMP",""]}`},
		"an answer that is no number": {`{"inputs":[` + lists(1) + `,` + lists(255) + `]}`, `{"outputs":{"logits":[[1,3],[null,null]],"probabilities":[[0.5,0.25],[null,null]]},"errors":["","the model's answer is not finite"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/v1/models/galaxy:predict", "/v1/models/galaxy/versions/1:predict"} {
				if code, got := post(t, url+path, test.body); code != http.StatusOK || got != test.answer+"\n" {
					t.Errorf("%d %s, expected %s", code, got, test.answer)
				}
			}
		})
	}
	code, status := get(t, url+"/v1/models/galaxy")
	if want := `{"model_version_status":[{"version":"1","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}}]}`; code != http.StatusOK || compact(t, status) != want {
		t.Errorf("%d %s, expected %s", code, status, want)
	}
	code, metadata := get(t, url+"/v1/models/galaxy/versions/1/metadata")
	for _, want := range []string{`"model_spec":{"name":"galaxy","version":"1","signature_name":""}`, `"serving_jpeg":{"inputs":{"jpegs":{"name":"jpegs:0","dtype":"DT_STRING","tensor_shape":{"dim":[{"size":"-1","name":""}]`} {
		if code != http.StatusOK || !strings.Contains(compact(t, metadata), want) {
			t.Errorf("%d %s, expected %s", code, metadata, want)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, _ := get(t, url+path); code != http.StatusOK {
			t.Errorf("%s is %d", path, code)
		}
	}
	_, text := get(t, url+"/metrics")
	for _, want := range []string{
		`galaxy_requests_total{api="rest",code="OK",method="predict"} 22`, `galaxy_images_total{result="broken"} 2`, "galaxy_model_version 1", "galaxy_queue_images 0",
		`galaxy_model_loads_total{result="good"} 1`, "galaxy_batch_images_bucket", `galaxy_request_seconds_bucket{api="rest",method="predict"`, "galaxy_body_bytes 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

// A model of one output answers with lists in place of objects.
func TestOneOutput(t *testing.T) {
	t.Parallel()
	f, m := network(t, 3)
	f.noLogits, m.Decoder = true, nil
	url, _ := start(t, m, nil)
	for body, want := range map[string]string{
		`{"instances":[` + lists(1) + `,` + lists(4) + `]}`: `{"predictions":[[0.5,0.25],[0.2,0.25]]}`,
		`{"inputs":[` + lists(1) + `]}`:                     `{"outputs":[[0.5,0.25]]}`,
		`{"signature_name":"serving_jpeg","instances":[1]}`: `{"error":"Serving signature name: \"serving_jpeg\" not found in signature def; expected serving_default"}`,
	} {
		if _, got := post(t, url+"/v1/models/galaxy:predict", body); got != want+"\n" {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

// A model of counts has one more output, and the metadata has the columns of both.
func TestConcentrations(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	m.Columns = []string{"a_fraction", "b_fraction", "a_dirichlet", "b_dirichlet"}
	m.Concentrations = func(logits, probabilities []float32) (all []float32, err error) {
		for i, p := range probabilities {
			all = append(all, p*(logits[i]+1)*8)
		}
		return all, nil
	}
	url, address := start(t, m, nil)
	for body, want := range map[string]string{
		`{"instances":[` + lists(1) + `]}`: `{"predictions":[{"logits":[1,3],"probabilities":[0.5,0.25],"concentrations":[8,8]}]}`,
		`{"inputs":[` + lists(1) + `,` + lists(255) + `]}`: `{"outputs":{"logits":[[1,3],[null,null]],"probabilities":[[0.5,0.25],[null,null]],"concentrations":[[8,8],[null,null]]},` +
			`"errors":["","the model's answer is not finite"]}`,
		`{"signature_name":"serving_jpeg","inputs":[{"b64":"PGI+"},{"b64":"` + b64(picture(4)) + `"}]}`: `{"outputs":{"logits":[[null,null],[4,3]],"probabilities":[[null,null],[0.2,0.25]],"concentrations":[[null,null],[8,8]]},` +
			`"errors":["image 0: the file is a text file; expected an image: JPEG, PNG, TIFF, WebP or BMP",""]}`,
	} {
		if _, got := post(t, url+"/v1/models/galaxy:predict", body); got != want+"\n" {
			t.Errorf("%s, expected %s", got, want)
		}
	}
	_, metadata := get(t, url+"/v1/models/galaxy/metadata")
	for _, want := range []string{
		`"columns":{"concentrations":["a_dirichlet","b_dirichlet"],"probabilities":["a_fraction","b_fraction"]}`, `"concentrations":{"name":"concentrations:0","dtype":"DT_FLOAT"`,
	} {
		if !strings.Contains(compact(t, metadata), want) {
			t.Errorf("%s, expected %s", metadata, want)
		}
	}
	r := request("", "images", pixels())
	r.OutputFilter = []string{"concentrations"}
	got, err := tfserving.NewPredictionServiceClient(dial(t, address)).Predict(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if all := values(t, got.Outputs["concentrations"]); len(got.Outputs) != 1 || !slices.Equal(all, []float32{8, 8, 8, 8}) {
		t.Errorf("gRPC: %v", got.Outputs)
	}
}

// What files a model of other bands takes is said where another one comes.
func TestBands(t *testing.T) {
	t.Parallel()
	const (
		grey   = ", or PNG, TIFF, WebP or BMP in grey"
		colour = ", or PNG, TIFF, WebP or BMP in colour"
		cube   = " in one file (images with these EXTNAMEs, or a cube of these "
	)
	for _, test := range []struct {
		bands    string
		file     []byte
		has      string
		expected string
	}{
		{"grey", flat(2), "the FITS file has no band grey: it has HDU 0 of 4×4 pixels and 2 planes", "FITS with one plane" + grey},
		{"grey", picture(1), "the image has 3 channels", "FITS with one plane" + grey},
		{"hdu1", flat(1), "the FITS file has no band hdu1: it has HDU 0 of 4×4 pixels", "FITS with hdu1 in one file" + grey},
		{"g,r,z", flat(2), "the FITS file has no band g: it has HDU 0 of 4×4 pixels and 2 planes", "FITS with the bands g,r,z" + cube + "3 planes)" + colour},
		{"u,g,r,z", picture(1), "the image has 3 channels", "FITS with the bands u,g,r,z" + cube + "4 planes)"},
		{"u,g,r,z", grey8(), "a JPEG has been stretched already, and is not stretched again", "FITS with the bands u,g,r,z" + cube + "4 planes)"},
		{"u,g,r,z", flat(4), "", ""},
	} {
		bands, err := imagefile.ParseBands(test.bands)
		if err != nil {
			t.Fatal(err)
		}
		_, m := network(t, 3)
		m.Bands, m.Stretch, m.Decoder = bands, stretch.Default, planes{}
		url, _ := start(t, m, nil)
		code, got := post(t, url+"/v1/models/galaxy:predict", `{"signature_name":"serving_jpeg","instances":[{"b64":"`+b64(test.file)+`"}]}`)
		if test.has == "" {
			if code != http.StatusOK || !strings.Contains(got, `"logits":[4,3]`) {
				t.Errorf("%s: %d %s", test.bands, code, got)
			}
			continue
		}
		if want := `{"error":"image 0: ` + test.has + "; expected " + test.expected + "\"}\n"; code != http.StatusBadRequest || got != want {
			t.Errorf("%s: %d %s, expected %s", test.bands, code, got, want)
		}
		if _, page := get(t, url+"/"); !strings.Contains(page, "up to 8: "+test.expected+", each") {
			t.Errorf("%s: the page does not say %q", test.bands, test.expected)
		}
	}
}

// planes is a decoder that takes the number of planes.
type planes struct{}

func (planes) Decode(dst []byte, file imagefile.File) error {
	dst[0] = byte(len(file.Planes))
	return nil
}

// flat returns a FITS file of 4 × 4 pixels in n planes.
func flat(n int) []byte {
	card := func(name, value string) string { return fmt.Sprintf("%-8s= %20s%50s", name, value, "") }
	header := card("SIMPLE", "T") + card("BITPIX", "8") + card("NAXIS", "3") + card("NAXIS1", "4") + card("NAXIS2", "4") + card("NAXIS3", strconv.Itoa(n)) + "END"
	return []byte(fmt.Sprintf("%-2880s", header) + strings.Repeat("\x01", 2880))
}

// Probabilities satisfy the sum rules, if that is wanted.
func TestProject(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	m.Project = true
	url, _ := start(t, m, nil)
	if _, got := post(t, url+"/v1/models/galaxy:predict", `{"inputs":[`+lists(3)+`]}`); got != `{"outputs":{"logits":[[3,3]],"probabilities":[[0.5,0.5]]}}`+"\n" {
		t.Error(got)
	}
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return b.String()
}

// grey8 returns a JPEG of 8 × 8 pixels.
func grey8() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// huge returns a JPEG whose header claims 60,000 × 60,000 pixels.
func huge() []byte {
	b := grey8()
	frame := bytes.Index(b, []byte{0xff, 0xc0})
	copy(b[frame+5:], []byte{0xea, 0x60, 0xea, 0x60})
	return b
}

// Requests that cannot be answered have a status and a sentence.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	url, _ := start(t, m, func(c *serve.Config) { c.MaxItems, c.MaxBody, c.MaxPixels = 2, 100_000, 25 })
	const predict, jpeg = "/v1/models/galaxy:predict", `{"signature_name":"serving_jpeg","instances":`
	var small bytes.Buffer
	if err := png.Encode(&small, image.NewGray(image.Rect(0, 0, 2, 3))); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path, body string
		code       int
		message    string
	}{
		"nothing":             {predict, "", 400, "it is empty: expected JSON"},
		"no JSON":             {predict, "<html>", 400, "the body is no request: no valid JSON: invalid character '<'"},
		"half":                {predict, `{"instances":[`, 400, "the JSON ends too early"},
		"a list":              {predict, `[1]`, 400, "[1]: expected an object in JSON"},
		"more":                {predict, `{"instances":[` + lists(1) + `]} {}`, 400, "something follows the JSON"},
		"twice":               {predict, `{"instances":[],"instances":[]}`, 400, "duplicate"},
		"deep":                {predict, `{"instances":` + strings.Repeat("[", 20000), 400, "depth"},
		"both":                {predict, `{"instances":[],"inputs":[]}`, 400, "has both"},
		"neither":             {predict, `{"Instances":[]}`, 400, "neither"},
		"none":                {predict, `{"instances":[]}`, 400, "no images: expected 1 to 2"},
		"no list":             {predict, `{"instances":7}`, 400, "7: expected a list"},
		"signature":           {predict, `{"signature_name":"<script>","instances":[]}`, 400, `Serving signature name: "<script>" not found in signature def; expected serving_default or serving_jpeg`},
		"signature's type":    {predict, `{"signature_name":7,"instances":[]}`, 400, "signature_name is 7: expected a string"},
		"input":               {predict, `{"inputs":{"image":[]}}`, 400, `no input "image": expected "images"`},
		"no input":            {predict, `{"inputs":{}}`, 400, `expected the input "images"`},
		"shape":               {predict, `{"instances":[[[[1,2,3]]]]}`, 400, "instances: image 0: a row has 1 pixels: expected 4; an image is lists [4][4][3]"},
		"wide":                {predict, `{"instances":[[[[1,2,3],[1,2,3],[1,2,3],[1,2,3],[1,2,3]]]]}`, 400, "a row has 5 pixels: expected 4; an image is lists [4][4][3]"},
		"shallow":             {predict, `{"instances":[[1]]}`, 400, "image 0: the image has a value where a list is expected: an image is lists [4][4][3]"},
		"one list":            {predict, `{"instances":[[[1,2,3]]]}`, 400, "image 0: a row has a value where a list is expected"},
		"a short pixel":       {predict, `{"instances":[[[[1,2]]]]}`, 400, "a pixel has 2 channels: expected 3"},
		"one row":             {predict, `{"instances":[` + lists(1)[:strings.Index(lists(1), "]]")+2] + `]]}`, 400, "the image has 1 rows: expected 4"},
		"FITS":                {predict, jpeg + `[{"b64":"` + b64(flat(1)) + `"}]}`, 400, "image 0: a FITS file: this model was not trained on FITS; expected JPEG, PNG, TIFF, WebP or BMP"},
		"a small image":       {predict, jpeg + `[{"b64":"` + b64(small.Bytes()) + `"}]}`, 400, "image 0: the image is 2×3 pixels; expected at least 4×4: the service's crop sets this"},
		"deeper":              {predict, `{"instances":[[[[[1]]]]]}`, 400, "expected pixels as integers"},
		"a large pixel":       {predict, `{"instances":[` + lists(1)[:5] + `256]]]]}`, 400, "256: expected pixels as integers from 0 to 255"},
		"a negative pixel":    {predict, `{"instances":[[[[-1]]]]}`, 400, "-1: expected pixels"},
		"half a pixel":        {predict, `{"instances":[[[[0.5]]]]}`, 400, "0.5: expected pixels"},
		"a text":              {predict, `{"instances":[[[["1"]]]]}`, 400, `"1": expected pixels`},
		"a file":              {predict, `{"instances":[{"b64":"AAAA"}]}`, 400, "a file: the signature serving_default takes images as lists [4][4][3], and serving_jpeg takes files"},
		"no file":             {predict, jpeg + `[7]}`, 400, "7: expected a file"},
		"base64":              {predict, jpeg + `[{"b64":"*"}]}`, 400, "b64: illegal base64"},
		"base64's type":       {predict, jpeg + `[{"b64":7}]}`, 400, "7: expected a file"},
		"too many":            {predict, `{"instances":[` + lists(1) + "," + lists(1) + "," + lists(1) + `]}`, 400, "more than 2 images"},
		"a million":           {predict, `{"instances":[1` + strings.Repeat(",1", 40_000) + `]}`, 400, "image 0"},
		"too large":           {predict, `{"instances":"` + strings.Repeat("x", 100_000) + `"}`, 413, "larger than 100000 bytes"},
		"a broken file alone": {predict, jpeg + `[{"b64":"AAAA"}]}`, 400, "image 0: the file is a file of zeros"},
		"a huge image":        {predict, jpeg + `[{"b64":"` + b64(huge()) + `"}]}`, 400, "60000×60000"},
		"too many pixels":     {predict, jpeg + `[{"b64":"` + b64(picture(1)) + `"}]}`, 400, "5×6 pixels; expected at most 25"},
		"another model":       {"/v1/models/<b>:predict", "{}", 404, "Servable not found for request: Latest(<b>)"},
		"another version":     {"/v1/models/galaxy/versions/2:predict", "{}", 404, "Specific(galaxy, 2)"},
		"a label":             {"/v1/models/galaxy/labels/stable:predict", "{}", 400, "labels of versions"},
		"a version's name":    {"/v1/models/galaxy/versions/x:predict", "{}", 400, "Malformed request: POST"},
		"another verb":        {"/v1/models/galaxy:explain", "{}", 400, "Malformed request"},
		"classify":            {"/v1/models/galaxy:classify", "{}", 501, "no signature to classify"},
		"no verb":             {"/v1/models/galaxy", "{}", 400, "Malformed request"},
		"another path":        {"/v1/modelsetc/passwd", "{}", 400, "Malformed request"},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.URL.Opaque = strings.TrimPrefix(url, "http:") + test.path // as it is
			r, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			code, text := read(t, r)
			var answer map[string]string
			if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer) != 1 {
				t.Fatalf("%v: %s", err, text)
			}
			if code != test.code || !strings.Contains(answer["error"], test.message) || strings.Contains(answer["error"], "rpc error") || strings.Contains(answer["error"], "jsontext") {
				t.Errorf("%d %s, expected %d and %q", code, answer["error"], test.code, test.message)
			}
			if kind := r.Header.Get("Content-Type"); kind != "application/json" {
				t.Errorf("the answer is %s", kind)
			}
		})
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions} { // as TensorFlow Serving
		if code, _, _ := ask(t, method, url+predict); code != 400 {
			t.Errorf("%s: %d", method, code)
		}
	}
	for _, path := range []string{"/", "/v1/models/galaxy", "/v1/models/galaxy/metadata", "/v1/models/galaxy/versions/7", "/metrics", "/readyz"} {
		code, kind, _ := ask(t, http.MethodGet, url+path)
		if got, gotKind, body := ask(t, http.MethodHead, url+path); got != code || gotKind != kind || body != "" {
			t.Errorf("HEAD %s: %d %s %q, GET: %d %s", path, got, gotKind, body, code, kind)
		}
	}
}

// Clients that promise 2 GB, or send a byte now and then, get an answer, and others are served meanwhile.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	url, _ := start(t, m, func(c *serve.Config) { c.Timeout, c.MaxBody = 5*time.Second, 4096 })
	for length, want := range map[int]string{
		2 << 30: "413 Request Entity Too Large",
		100:     "504 Gateway Timeout",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/models/galaxy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{", length)
		if code, got := post(t, url+"/v1/models/galaxy:predict", `{"inputs":[`+lists(1)+`]}`); code != http.StatusOK {
			t.Errorf("beside a slow client: %d %s", code, got)
		}
		answer, err := io.ReadAll(conn) // until the server ends it
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) {
			t.Errorf("%d bytes: %v, %s", length, err, answer)
		}
	}
}

// Bodies of unknown length end at the limit, compressed ones are refused, and a million files cost no more than reading them.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	_, m := network(t, 3)
	url, _ := start(t, m, func(c *serve.Config) { c.MaxBody = 16 << 20 })
	for name, test := range map[string]struct {
		body    io.Reader
		coding  string
		code    int
		message string
	}{
		"without end": {io.MultiReader(strings.NewReader(`{"instances":"`), spaces{}), "", 413, "larger than 16777216 bytes"},
		"compressed":  {strings.NewReader("x"), "gzip", 400, `Content-Encoding \"gzip\": expected none`},
		"a million":   {strings.NewReader(`{"signature_name":"serving_jpeg","instances":[{"b64":""}` + strings.Repeat(`,{"b64":""}`, 1e6-1) + `]}`), "", 400, "more than 256 images"},
	} {
		request, err := http.NewRequest(http.MethodPost, url+"/v1/models/galaxy:predict", test.body)
		if err != nil {
			t.Fatal(err)
		}
		if test.coding != "" {
			request.Header.Set("Content-Encoding", test.coding)
		}
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if code, got := read(t, r); code != test.code || !strings.Contains(got, test.message) {
			t.Errorf("%s: %d %s, expected %d and %q", name, code, got, test.code, test.message)
		}
	}
}

// spaces has no end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A client that goes away leaves nothing behind, and no batch is predicted for it.
func TestClientGone(t *testing.T) {
	t.Parallel()
	f, m := network(t, 3)
	f.hold = make(chan struct{})
	url, _ := start(t, m, nil)
	body := func(first byte) io.Reader { return strings.NewReader(`{"inputs":[` + lists(first) + `]}`) }
	answered := make(chan string, 1)
	go func() {
		r, err := http.Post(url+"/v1/models/galaxy:predict", "", body(1))
		if err != nil {
			answered <- err.Error()
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		answered <- fmt.Sprint(string(text), err)
	}()
	for f.held.Load() == 0 { // until the network is busy with the first one
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/models/galaxy:predict", body(4))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() {
		r, err := http.DefaultClient.Do(request)
		if err == nil {
			r.Body.Close()
		}
		gone <- err
	}()
	until := func(want string) {
		for {
			if _, text := get(t, url+"/metrics"); strings.Contains(text, want) {
				return
			}
		}
	}
	until("galaxy_queue_images 2")
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that went away got %v", err)
	}
	until(`galaxy_requests_total{api="rest",code="Canceled",method="predict"} 1`)
	until("galaxy_queue_images 1")
	close(f.hold)
	if got := <-answered; !strings.Contains(got, "[[1,3]]") {
		t.Errorf("the other client got %s", got)
	}
	if code, got := post(t, url+"/v1/models/galaxy:predict", `{"inputs":[`+lists(4)+`]}`); code != http.StatusOK || f.held.Load() != 2 {
		t.Errorf("%d %s after %d batches, expected 2", code, got, f.held.Load())
	}
}

// Beyond the queue's room requests fail at once; an answer that does not come in time is an error.
func TestQueue(t *testing.T) {
	t.Parallel()
	f, m := network(t, 3)
	f.hold = make(chan struct{})
	url, _ := start(t, m, func(c *serve.Config) { c.MaxQueue, c.MaxItems, c.Timeout = 2, 2, 5*time.Second })
	codes := make(chan int, 2)
	for range 2 {
		go func() {
			r, err := http.Post(url+"/v1/models/galaxy:predict", "", strings.NewReader(`{"inputs":[`+lists(1)+`]}`))
			if err != nil {
				codes <- -1
				return
			}
			defer r.Body.Close()
			codes <- r.StatusCode
		}()
	}
	for { // until both are counted
		if _, text := get(t, url+"/metrics"); strings.Contains(text, "galaxy_queue_images 2") {
			break
		}
	}
	if code, got := post(t, url+"/v1/models/galaxy:predict", `{"inputs":[`+lists(1)+`]}`); code != http.StatusTooManyRequests || !strings.Contains(got, "the queue is full: it has room for 2 images") {
		t.Errorf("%d %s", code, got)
	}
	for range 2 {
		if code := <-codes; code != http.StatusGatewayTimeout {
			t.Errorf("%d, expected 504", code)
		}
	}
	close(f.hold)
	if code, got := post(t, url+"/v1/models/galaxy:predict", `{"inputs":[`+lists(1)+`]}`); code != http.StatusOK {
		t.Errorf("afterwards: %d %s", code, got)
	}
}

// Each image gets its own answer, whatever the batches are.
func TestBatches(t *testing.T) {
	t.Parallel()
	f, m := network(t, 3)
	url, _ := start(t, m, func(c *serve.Config) { c.MaxBatch, c.MaxQueue = 5, 10_000 })
	var clients sync.WaitGroup
	for c := range 16 {
		clients.Go(func() {
			for r := range 10 {
				n := 1 + (c+r)%8
				var images, want []string
				for i := range n {
					first := byte(1 + (c*31+r*7+i)%200)
					images = append(images, lists(first))
					want = append(want, fmt.Sprintf("[%d,3]", first))
				}
				_, got := post(t, url+"/v1/models/galaxy:predict", `{"inputs":[`+strings.Join(images, ",")+`]}`)
				if !strings.Contains(got, `"logits":[`+strings.Join(want, ",")+`]`) {
					t.Errorf("%s, expected %v", got, want)
				}
			}
		})
	}
	clients.Wait()
	if n := f.largest.Load(); n != 5 {
		t.Errorf("the largest batch had %d images, expected 5", n)
	}
}

// A server that is told to stop answers what is under way, and then closes the model.
func TestShutdown(t *testing.T) {
	t.Parallel()
	f, m := network(t, 3)
	f.hold = make(chan struct{})
	s, err := serve.New(serve.Default(t.TempDir(), func(string) (*serve.Model, error) { return m, nil }))
	if err != nil {
		t.Fatal(err)
	}
	url, _, stop := run(t, s)
	answered := make(chan string, 1)
	go func() {
		r, err := http.Post(url+"/v1/models/galaxy:predict", "", strings.NewReader(`{"inputs":[`+lists(1)+`]}`))
		if err != nil {
			answered <- err.Error()
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		answered <- fmt.Sprint(string(text), err)
	}()
	for f.held.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for { // until it accepts no more
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			break
		}
		conn.Close()
	}
	close(f.hold)
	if got := <-answered; !strings.Contains(got, "[[1,3]]") {
		t.Errorf("the request under way got %s", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !f.closed.Load() {
		t.Error("the model is still open")
	}
}

// addVersion makes the folder of a version, whole at once.
func addVersion(t *testing.T, dir string, version int) {
	t.Helper()
	hidden := filepath.Join(dir, "copying")
	if err := os.Mkdir(hidden, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hidden, "saved_model.pb"), []byte(strconv.Itoa(version)), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(hidden, filepath.Join(dir, strconv.Itoa(version))); err != nil {
		t.Fatal(err)
	}
}

// follow sends the requests of one client until ctx ends, and checks their answers.
func follow(ctx context.Context, t *testing.T, url string, client int) {
	newest := 0.0
	for r := 0; ctx.Err() == nil; r++ {
		first := float64(1 + (client*31+r)%200)
		one := lists(byte(first))
		code, got := post(t, url+"/v1/models/galaxy:predict", `{"inputs":[`+one+`,`+one+`,`+one+`]}`)
		var answer struct{ Outputs map[string][][]float64 }
		if err := json.Unmarshal([]byte(got), &answer); code != http.StatusOK || err != nil {
			t.Errorf("%d %s", code, got)
			return
		}
		rows := answer.Outputs["logits"]
		for _, row := range rows {
			if row[0] != first || row[1] != rows[0][1] || row[1] < newest {
				t.Errorf("image %v after version %v got %v", first, newest, rows)
			}
		}
		newest = rows[0][1]
	}
}

// While clients send requests, new versions are taken in, and one that fails to load is not: no request is lost, none is answered
// by two versions, and none gets an older version than one before it.
func TestVersions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addVersion(t, dir, 1)
	var mu sync.Mutex
	opened, broken := map[int]*fake{}, true
	var notices []string
	cfg := serve.Default(dir, func(dir string) (*serve.Model, error) {
		mu.Lock()
		defer mu.Unlock()
		version, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || version == 3 && broken {
			return nil, errors.New("it is broken")
		}
		f, m := network(t, float32(version))
		opened[version] = f
		return m, nil
	})
	cfg.Poll, cfg.MaxBatch = time.Millisecond, 8
	cfg.Notice = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		notices = append(notices, fmt.Sprintf(format, args...))
	}
	s, err := serve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	url, _, stop := run(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() { follow(ctx, t, url, c) })
	}
	until := func(version int64) {
		for s.Version() != version {
			time.Sleep(time.Millisecond)
		}
	}
	addVersion(t, dir, 2)
	until(2)
	addVersion(t, dir, 3)
	for { // until it has failed
		if _, status := get(t, url+"/v1/models/galaxy/versions/3"); strings.Contains(status, "it is broken") {
			break
		}
	}
	if s.Version() != 2 {
		t.Errorf("version %d is in use, expected 2", s.Version())
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	if err := os.WriteFile(filepath.Join(dir, "3", "saved_model.pb"), []byte("repaired"), 0o666); err != nil {
		t.Fatal(err)
	}
	until(3)
	if err := os.Mkdir(filepath.Join(dir, "4"), 0o777); err != nil { // a copy that has just begun
		t.Fatal(err)
	}
	for { // until the first versions are closed
		if _, status := get(t, url+"/v1/models/galaxy"); strings.Count(status, `"END"`) == 2 && strings.Count(status, `"AVAILABLE"`) == 1 {
			break
		}
	}
	cancel()
	clients.Wait()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if len(opened) != 3 {
		t.Errorf("versions %v were opened, expected 1, 2 and 3", slices.Sorted(maps.Keys(opened)))
	}
	for version, f := range opened {
		if !f.closed.Load() {
			t.Errorf("version %d is still open", version)
		}
	}
	all := strings.Join(notices, "\n")
	for _, want := range []string{"version 2 is in use, in the place of version 1", "3: it is broken; version 2 stays in use", "version 3 is in use, in the place of version 2"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%q is not said once in:\n%s", want, all)
		}
	}
}

// A broken newest version does not hide a good one below it, and where none is in use the error names the next one.
func TestBrokenVersions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addVersion(t, dir, 1)
	addVersion(t, dir, 2)
	cfg := serve.Default(dir, func(dir string) (*serve.Model, error) {
		version, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || version%2 == 0 {
			return nil, errors.New("it is broken")
		}
		_, m := network(t, float32(version))
		return m, nil
	})
	var notices []string
	cfg.Poll, cfg.Notice = time.Millisecond, func(format string, args ...any) { notices = append(notices, fmt.Sprintf(format, args...)) }
	_, err := serve.New(cfg)
	if want := "2: it is broken, or give " + filepath.Join(dir, "1") + " itself"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, expected %s", err, want)
	}
	if err := os.RemoveAll(filepath.Join(dir, "2")); err != nil {
		t.Fatal(err)
	}
	s, err := serve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, _, stop := run(t, s)
	addVersion(t, dir, 4)
	addVersion(t, dir, 2)
	addVersion(t, dir, 3)
	for s.Version() != 3 {
		time.Sleep(time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	all := strings.Join(notices, "\n")
	for want, n := range map[string]int{"4: it is broken": 1, "version 3 is in use, in the place of version 1": 1} {
		if strings.Count(all, want) != n {
			t.Errorf("%q is not said once in:\n%s", want, all)
		}
	}
}
