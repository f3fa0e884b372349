package serve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"galaxy/internal/tfserving"
)

// Handler returns the handler of REST requests, of /healthz, /readyz and /metrics, and of the page.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/", s.rest)
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("POST /{$}", s.page)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case s.stopping.Load():
			http.Error(w, "not ready: the service is stopping", http.StatusServiceUnavailable)
		case s.versions.inUse() == nil:
			http.Error(w, "not ready: no version of the model is loaded", http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, "ready\n")
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

// A target is what the path of a REST request names.
type target struct {
	method  string // predict, metadata or status
	model   string
	version int64 // 0 for the one in use
}

// parsePath reads a path: /v1/models/NAME, then /versions/N if wanted, then :predict or /metadata if
// wanted (https://www.tensorflow.org/tfx/serving/api_rest). Another method than a path takes is malformed, as in
// TensorFlow Serving (tensorflow_serving/model_servers/http_rest_api_handler.cc), where HTTP has 405. HEAD is GET.
func parsePath(method, path string) (t target, err error) {
	malformed := invalid("Malformed request: %s %s", clip([]byte(method)), clip([]byte(path)))
	rest, ok := strings.CutPrefix(path, "/v1/models/")
	if !ok {
		return t, malformed
	}
	rest, verb, posted := strings.Cut(rest, ":")
	parts := strings.Split(rest, "/")
	t.model, t.method = parts[0], "status"
	if parts = parts[1:]; len(parts) >= 2 && parts[0] == "versions" {
		if t.version, err = strconv.ParseInt(parts[1], 10, 64); err != nil || t.version < 1 {
			return t, malformed
		}
		parts = parts[2:]
	} else if len(parts) >= 2 && parts[0] == "labels" {
		return t, invalid("labels of versions are not supported, because one version is in use at a time: expected /versions/N, or neither")
	}
	switch {
	case t.model == "":
		return t, malformed
	case posted && len(parts) == 0 && method == http.MethodPost && verb == "predict":
		t.method = verb
	case posted && len(parts) == 0 && method == http.MethodPost && (verb == "classify" || verb == "regress"):
		return t, fail(codes.Unimplemented, "the model has no signature to %s: expected :predict", verb)
	case posted || method != http.MethodGet && method != http.MethodHead:
		return t, malformed
	case len(parts) == 1 && parts[0] == "metadata":
		t.method = "metadata"
	case len(parts) > 0:
		return t, malformed
	}
	return t, nil
}

// rest answers the requests of TensorFlow Serving's REST API.
func (s *Server) rest(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	t, err := parsePath(r.Method, r.URL.Path)
	var body []byte
	if err == nil {
		if err = s.checkName(t.model); err == nil {
			switch t.method {
			case "predict":
				body, err = s.restPredict(w, r, t)
			case "metadata":
				body, err = s.restMetadata(t)
			default:
				body, err = s.restStatus(t)
			}
		}
	}
	s.metrics.answered("rest", cmp.Or(t.method, "none"), begin, err)
	writeJSON(w, body, err)
}

// writeJSON writes an answer, or an error as TensorFlow Serving does.
func writeJSON(w http.ResponseWriter, body []byte, err error) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if err == nil {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body) // to a client that may have gone
		return
	}
	code := httpStatus(err)
	if code == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	text, _ := json.Marshal(map[string]string{"error": statusOf(err).Message()}) // of a string there is no error
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n'))
}

func (s *Server) checkName(name string) error {
	if name != s.cfg.Name {
		return fail(codes.NotFound, "Servable not found for request: Latest(%s); the model here is %s", clip([]byte(name)), s.cfg.Name)
	}
	return nil
}

// restPredict answers a request to predict.
func (s *Server) restPredict(w http.ResponseWriter, r *http.Request, t target) ([]byte, error) {
	v, release, err := s.use(t.version)
	if err != nil {
		return nil, err
	}
	defer release()
	arrived := s.arrive(v)
	defer arrived()
	body, done, err := s.readBody(w, r)
	if err != nil {
		return nil, err
	}
	defer done()
	request, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	sig, err := v.model.signature(request.signature)
	if err != nil {
		return nil, err
	}
	in, err := request.inputOf(sig, v.model.Shape, s.cfg.MaxItems)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	a, err := s.predict(ctx, v, in, arrived)
	if err != nil {
		return nil, err
	}
	return appendAnswers(nil, a, in.n, request.row()), nil
}

// buffers are for bodies. Large ones are not kept.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keptBuffer = 1 << 20

// readBody reads the body of a request, within Config.Timeout. The caller calls done after its last use.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, nil, invalid("the body has the Content-Encoding %q: expected none", clip([]byte(coding)))
	}
	if r.ContentLength > int64(s.cfg.MaxBody) {
		return nil, nil, tooLarge{s.cfg.MaxBody}
	}
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	counted := &countedReader{r: http.MaxBytesReader(w, r.Body, int64(s.cfg.MaxBody)), s: s}
	done = func() {
		s.bodies.Add(-counted.n)
		if buf.Cap() <= keptBuffer {
			buffers.Put(buf)
		}
	}
	if _, err = buf.ReadFrom(counted); err != nil {
		done()
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			err = tooLarge{s.cfg.MaxBody}
		case errors.Is(err, errFull):
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = fail(codes.DeadlineExceeded, "the request did not arrive within %v; send it faster (the service's timeout sets this)", s.cfg.Timeout)
		default:
			err = fail(codes.Canceled, "the request was cut off: %v", err)
		}
		return nil, nil, err
	}
	// The server's time for reading would end the request otherwise, while it waits for its answer.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		done()
		return nil, nil, err
	}
	return buf.Bytes(), done, nil
}

var errFull = fail(codes.ResourceExhausted, "the service holds as many requests as it may; try again in a moment")

// countedReader reads a body and counts it among all that are held.
type countedReader struct {
	r io.Reader
	s *Server
	n int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.s.bodies.Add(int64(n)) > maxBodies*int64(c.s.cfg.MaxBody) {
		return n, errFull
	}
	return n, err
}

// restStatus answers with the states of the versions.
func (s *Server) restStatus(t target) ([]byte, error) {
	answer, err := s.status(t.version)
	if err != nil {
		return nil, err
	}
	return encode(protojson.MarshalOptions{EmitUnpopulated: true, UseProtoNames: true}.Marshal(answer))
}

// restMetadata answers with the signatures, in the form that TensorFlow Serving gives them in, which is not
// the form that the message has in JSON, and with the names of the columns.
func (s *Server) restMetadata(t target) ([]byte, error) {
	v, release, err := s.use(t.version)
	if err != nil {
		return nil, err
	}
	defer release()
	options := protojson.MarshalOptions{EmitUnpopulated: true, UseProtoNames: true}
	spec, err := options.Marshal(s.spec(v, ""))
	if err != nil {
		return nil, err
	}
	signatures, err := options.Marshal(&tfserving.SignatureDefMap{SignatureDef: v.model.definitions()})
	if err != nil {
		return nil, err
	}
	return encode(json.Marshal(map[string]any{
		"model_spec": json.RawMessage(spec), "metadata": map[string]any{"signature_def": json.RawMessage(signatures), "columns": v.model.columns()},
	}))
}

// encode indents JSON, by which its spaces are always the same.
func encode(text []byte, err error) ([]byte, error) {
	var out bytes.Buffer
	if err == nil {
		err = json.Indent(&out, text, "", " ")
	}
	out.WriteByte('\n')
	return out.Bytes(), err
}
