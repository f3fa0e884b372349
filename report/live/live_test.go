package live

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"galaxy/graph"
	"galaxy/graph/network"
	"galaxy/report"
	"galaxy/train"
	"galaxy/train/checkpoint"
	"galaxy/train/objective"
)

// line is a line of the metrics about a step. version distinguishes lines about one step that was made twice.
func line(step, version int) string {
	return fmt.Sprintf(`{"kind":"step","step":%d,"epoch":0,"loss":%v,"gradient_norm":1,"loss_scale":null,"learning_rate":0.1,"images_per_second":100,"step_seconds":0.5,"time":"2026-01-02T03:04:%02d.%09dZ"}`+"\n",
		step, 1/float64(step+1), step%60, version)
}

func lines(from, to, version int) string {
	var text strings.Builder
	for i := from; i <= to; i++ {
		text.WriteString(line(i, version))
	}
	return text.String()
}

// history is that of a run which was resumed after step 6.
const history = `{"kind":"start","time":"2026-01-02T03:04:00Z","step":0,"host":"a"}
{"kind":"start","time":"2026-01-02T03:04:06.9Z","step":6,"host":"<b>host"}
`

// testRun is a run folder that a test writes to.
type testRun struct {
	t   testing.TB
	dir string
}

func newRun(t testing.TB) testRun {
	t.Helper()
	r := testRun{t, filepath.Join(t.TempDir(), "<b>run")}
	r.configure()
	return r
}

func (r testRun) configure() {
	r.t.Helper()
	cfg := train.Config{
		Model: network.Config{Arch: "resnet6", Size: 32, Outputs: 37, Precision: network.Float32, Mean: make([]float64, 3), Std: []float64{1, 1, 1}},
		Batch: 8, LogEvery: 1, Optimizer: graph.Optimizer{Kind: graph.SGD}, Schedule: train.Schedule{Kind: "constant", Rate: 1, Total: 100}, Objective: objective.Config{Head: objective.Tree, Loss: objective.CrossEntropy},
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("config.json", string(text))
}

func (r testRun) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		r.t.Fatal(err)
	}
}

func (r testRun) metrics(text string) { r.t.Helper(); r.write(report.MetricsName, text) }

func (r testRun) add(text string) {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, report.MetricsName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		r.t.Fatal(err)
	}
}

func (r testRun) serve() *Server {
	s := New(r.dir)
	s.interval, s.share = time.Millisecond, 1
	return s
}

// client reads the events of a server.
type client struct {
	t      testing.TB
	events *bufio.Reader
	close  func()
	curves map[string]string // those that its page shows, by id
}

func connect(t testing.TB, address string) client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events: %v", answer.Status)
	}
	close := func() { cancel(); answer.Body.Close() }
	t.Cleanup(close)
	return client{t, bufio.NewReader(answer.Body), close, map[string]string{}}
}

// until reads events until one whose state has a text, and returns it.
func (c client) until(text string) message {
	c.t.Helper()
	for {
		row, err := c.events.ReadString('\n')
		if err != nil {
			c.t.Fatalf("waiting for %q: %v", text, err)
		}
		data, ok := strings.CutPrefix(row, "data: ")
		var m message
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			c.t.Fatalf("%v: %s", err, data)
		}
		maps.DeleteFunc(c.curves, func(id, _ string) bool { return !slices.Contains(m.IDs, id) })
		for _, curve := range m.Curves {
			c.curves[curve.ID] = string(curve.HTML)
		}
		if strings.Contains(string(m.State), text) {
			return m
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	r := newRun(t)
	server := httptest.NewServer(r.serve())
	t.Cleanup(server.Close)
	first, second := connect(t, server.URL), connect(t, server.URL)
	both := func(text string) message {
		t.Helper()
		second.until(text)
		return first.until(text)
	}
	both("first metrics")
	r.metrics(lines(1, 4, 0) + line(5, 0)[:40])
	m := both("Step 4 of 100") // a line that is not complete is not read
	if len(m.IDs) < 3 || len(m.Curves) != len(m.IDs) || !slices.Contains(m.IDs, "curve-loss") {
		t.Errorf("the first metrics bring the curves %v, and %d of them", m.IDs, len(m.Curves))
	}
	r.add(line(5, 0)[40:] + `{"kind":"evaluation","step":5,"epoch":0,"train_loss":0.5,"validation_loss":0.4,"validation_rmse":0.25,"best":true,"time":"2026-01-02T03:05:00Z"}` + "\n")
	m = both("RMSE 0.25 after step 5")
	if !slices.Contains(m.IDs, "curve-rmse") {
		t.Errorf("an evaluation brings the curves %v", m.IDs)
	}
	r.add(lines(6, 9, 0))
	m = both("Step 9 of 100")
	for _, c := range m.Curves {
		if c.ID == "curve-rmse" {
			t.Error("a curve that has not changed was sent again")
		}
	}
	// A run that resumes after step 6: the file becomes shorter, and grows beyond its old length at once.
	r.write(train.HistoryName, history)
	r.metrics(lines(1, 4, 0) + lines(5, 6, 0) + lines(7, 30, 1))
	m = both("Step 30 of 100")
	if loss := first.curves["curve-loss"]; !strings.Contains(loss, "resumed after step 6 and a pause of") || !strings.Contains(string(m.State), "1, the last after step 6 and a pause of 1s, on &lt;b&gt;host") {
		t.Errorf("no mark at step 6 in %s, or no resume in %s", loss, m.State)
	}
	// It rolls back to a checkpoint.
	state, err := json.Marshal(checkpoint.State{Step: 30, Rollbacks: 1, RolledBackTo: 20})
	if err != nil {
		t.Fatal(err)
	}
	r.write(train.HistoryName, history+`{"kind":"rollback","time":"2026-01-02T03:04:40Z","step":20,"from":30}`+"\n")
	r.write("checkpoints/step-00000030/state.json", string(state))
	r.write("checkpoints/LATEST", "step-00000030\n")
	m = both("after step 30")
	if loss := first.curves["curve-loss"]; !strings.Contains(loss, "rolled back from step 30 to step 20") || strings.Contains(loss, "rolled back 1 times") {
		t.Errorf("no rollback in %s", loss)
	}
	// Cut back, and nothing after it.
	r.metrics(lines(1, 3, 0))
	both("Step 3 of 100")
	r.add("no JSON\n" + lines(4, 100, 2))
	m = both("the training has ended")
	if !strings.Contains(string(m.State), "damaged: 1") || !strings.HasPrefix(m.Title, "done · <b>run") {
		t.Errorf("%s: %s", m.Title, m.State)
	}
}

// Whatever is done to the file, the follower knows what a reader of all of it knows.
func TestFollowAgainstTwin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, report.MetricsName)
	rapid.Check(t, func(r *rapid.T) {
		f := follower{run: report.Run{Dir: dir}}
		var text []byte
		for version := range rapid.IntRange(1, 12).Draw(r, "changes") {
			switch rapid.IntRange(0, 5).Draw(r, "change") {
			case 0: // a run is resumed or rolled back
				text = text[:rapid.IntRange(0, len(text)).Draw(r, "cut")]
				if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
					text = text[:i+1]
				} else {
					text = nil
				}
			case 1: // the disk has a part of a line
				text = append(text, line(version, version)[:rapid.IntRange(1, 60).Draw(r, "part")]...)
			default:
				from := bytes.Count(text, []byte("\n")) + 1
				if n := len(text); n > 0 && text[n-1] != '\n' {
					text = append(text, '\n')
				}
				text = append(text, lines(from, from+rapid.IntRange(0, 5).Draw(r, "lines"), version)...)
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				r.Fatal(err)
			}
			if rapid.Bool().Draw(r, "look") {
				f.poll()
			}
		}
		f.poll()
		var reader report.Run
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		for row := range bytes.Lines(whole) {
			_ = reader.AddLine(row) // or it is damaged
		}
		want := reader.Steps
		if len(f.run.Steps) != len(want) {
			r.Fatalf("%d steps, expected %d", len(f.run.Steps), len(want))
		}
		for i := range want {
			if got := f.run.Steps[i]; got.Step != want[i].Step || !got.Time.Equal(want[i].Time) {
				r.Fatalf("line %d: %v, expected %v", i, got, want[i])
			}
		}
	})
}

// A run of which nothing is there yet, and one that is removed.
func TestNoRun(t *testing.T) {
	t.Parallel()
	r := testRun{t, filepath.Join(t.TempDir(), "run")}
	server := httptest.NewServer(r.serve())
	t.Cleanup(server.Close)
	c := connect(t, server.URL)
	c.until("Waiting for the run")
	r.configure()
	r.metrics(lines(1, 2, 0))
	c.until("Step 2 of 100")
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if m := c.until("has not started"); len(m.IDs) != 0 {
		t.Errorf("a run that is gone has the curves %v", m.IDs)
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	r := newRun(t)
	s := r.serve()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	clients := make([]client, maxClients)
	for i := range clients {
		clients[i] = connect(t, server.URL)
	}
	if got := get(t, server.URL+"/events", ""); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("one client too many: %v", got.Status)
	}
	for _, c := range clients {
		c.close() // a browser that goes away
	}
	for { // until the server knows
		s.mu.Lock()
		left := s.clients
		s.mu.Unlock()
		if left == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	connect(t, server.URL).until("first metrics")
}

func get(t testing.TB, address, host string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func TestPage(t *testing.T) {
	t.Parallel()
	r := newRun(t)
	r.metrics(lines(1, 3, 0))
	ctx, cancel := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.serve().Serve(ctx, l) }()
	address := "http://" + l.Addr().String()

	answer := get(t, address, "")
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"&lt;b&gt;run, live", "Step 3 of 100", `id="curve-loss"`, "<noscript>"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("the page has no %q", want)
		}
	}
	if bytes.Contains(body, []byte("<b>run")) {
		t.Error("the run's name is HTML")
	}
	policy := answer.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "script-src 'sha256-"} {
		if !strings.Contains(policy, want) {
			t.Errorf("no %q in the policy %q", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || answer.Header.Get("Set-Cookie") != "" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", answer.Header)
	}
	for path, want := range map[string]int{"/other": 404, "/../config.json": 404, "/": 200} {
		if got := get(t, address+path, ""); got.StatusCode != want {
			t.Errorf("%s: %v, expected %d", path, got.Status, want)
		}
	}
	for host, want := range map[string]int{"evil.example": 421, "evil.example:80": 421, "10.0.0.1": 421, "localhost:1": 200, "[::1]:1": 200, "[::1]": 200, "127.0.0.1": 200} {
		if got := get(t, address, host); got.StatusCode != want {
			t.Errorf("host %s: %v, expected %d", host, got.Status, want)
		}
	}
	if answer, err := http.Post(address, "text/plain", strings.NewReader("x")); err != nil || answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v, %v", answer, err)
	}

	// The end of the server brings the last lines, and says so.
	c := connect(t, address)
	c.until("Step 3 of 100")
	r.add(line(4, 0))
	cancel()
	rest, err := io.ReadAll(c.events)
	if err != nil || !bytes.Contains(rest, []byte("event: end")) || !bytes.Contains(rest, []byte("Step 4 of 100")) {
		t.Errorf("at the end: %v, %s", err, rest)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Beyond maxSteps lines, the memory does not grow further, and the newest line is there.
func TestManyLines(t *testing.T) {
	t.Parallel()
	f := follower{run: report.Run{Dir: t.TempDir()}}
	text := strings.NewReader(strings.Repeat(line(7, 0), maxSteps+1) + line(8, 0))
	if err := f.read(text, text.Size()); err != nil {
		t.Fatal(err)
	}
	if n := len(f.run.Steps); n != maxSteps/2+1 || f.run.Steps[n-1].Step != 8 {
		t.Errorf("%d steps, the last %v", n, f.run.Steps[n-1])
	}
}

// A page must not slow the training down: the time between two looks grows with the time that a look takes.
func TestPause(t *testing.T) {
	t.Parallel()
	s := New("run")
	for took, want := range map[time.Duration]time.Duration{
		time.Microsecond: interval, 4 * time.Millisecond: interval, 6 * time.Millisecond: 3 * time.Second, time.Second: longest,
	} {
		if got := s.pause(took); got != want {
			t.Errorf("after a look of %v: %v, expected %v", took, got, want)
		}
	}
}

// What is the same is not done again: curves of which no file has changed, and a message for a second client.
func TestOnce(t *testing.T) {
	t.Parallel()
	r := newRun(t)
	r.metrics(lines(1, 3, 0))
	s := r.serve()
	s.refresh(true)
	first, err := s.since(0, nil)
	second, err2 := s.since(0, nil)
	if err != nil || err2 != nil || len(first.data) == 0 || &first.data[0] != &second.data[0] {
		t.Errorf("two clients get %v and %v (%v, %v)", first, second, err, err2)
	}
	if s.follow.poll() {
		t.Error("nothing has changed, and curves would be drawn")
	}
	for _, change := range []func(){
		func() { r.add(line(4, 0)) }, func() { r.metrics(lines(1, 2, 1)) }, func() { r.write(train.HistoryName, history) }, func() { r.metrics("") },
	} {
		change()
		if !s.follow.poll() || s.follow.poll() {
			t.Error("a change is not seen, or twice")
		}
	}
	now, err := s.since(first.to, first.ids)
	if err != nil || now.data != nil {
		t.Errorf("a client that has everything gets %s, %v", now.data, err)
	}
}

func FuzzFollow(f *testing.F) {
	f.Add([]byte(lines(1, 3, 0)), []byte(line(4, 0)))
	f.Add([]byte(history+lines(1, 9, 0)), []byte(line(7, 1)))
	f.Add([]byte("{}\n{\"kind\":\"step\"}\nnull\n"), []byte("{\"kind\":\"evaluation\",\"validation_rmse\":1e999}\n"))
	f.Fuzz(func(t *testing.T, first, then []byte) {
		dir := t.TempDir()
		f := follower{run: report.Run{Dir: dir}}
		for _, text := range [][]byte{first, append(first, then...), then} {
			for _, name := range []string{report.MetricsName, train.HistoryName} {
				if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f.poll()
			f.status(time.Unix(0, 0))
			report.Curves([]*report.Run{&f.run})
		}
	})
}

// BenchmarkRefresh is what a page costs the machine every two seconds: one new line after 10,000.
func BenchmarkRefresh(b *testing.B) {
	r := newRun(b)
	r.metrics(lines(1, 10000, 0))
	s := r.serve()
	s.refresh(true)
	for i := 0; b.Loop(); i++ {
		r.add(line(10001+i, 0))
		s.refresh(true)
	}
}
