package live

import (
	"bytes"
	"context"
	_ "embed" // the script
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"galaxy/report"
	"galaxy/report/page"
)

//go:embed live.js
var script string

const (
	interval     = 2 * time.Second  // between two looks at the files, at least
	longest      = 30 * time.Second // between two looks, at most
	share        = 0.002            // of the time that looking and drawing may take: the training has the rest
	silence      = 15 * time.Second // after which a client gets a comment, so that one that has gone is noticed
	writeTimeout = 10 * time.Second // for a client that does not read
	maxClients   = 64               // that follow the run at one time
)

// Server serves the page of one run. It is an http.Handler, for any number of clients.
type Server struct {
	interval time.Duration
	share    float64
	ended    chan struct{} // closed when the server ends

	mu      sync.Mutex
	follow  follower
	next    time.Time // of a look at the files
	version int       // of the parts
	state   part
	title   string
	curves  []part
	news    event // the last one, for clients that have the version before
	clients int
}

// part is a part of the page, and the version in which it last changed.
type part struct {
	id      string
	html    template.HTML
	version int
}

// New returns the server of the run in dir, which may be missing, empty or training.
func New(dir string) *Server {
	return &Server{interval: interval, share: share, ended: make(chan struct{}), follow: follower{run: report.Run{Dir: dir}}}
}

// refresh looks at the files, if that is due or must be, and draws what has changed. It returns the time until the next
// look.
func (s *Server) refresh(now bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	start := time.Now()
	if !now && start.Before(s.next) {
		return s.next.Sub(start)
	}
	changed := s.follow.poll()
	state, title := s.follow.status(start)
	next := s.version + 1
	if state != s.state.html {
		s.state, s.version = part{html: state, version: next}, next
	}
	s.title = title
	if changed {
		s.draw(next)
	}
	wait := s.pause(time.Since(start))
	s.next = time.Now().Add(wait)
	return wait
}

// pause returns the time from a look to the next. A look takes longer the more there is to draw, the slower the disk and
// the busier the processors are; the pause grows with it, so that the training does not slow down.
func (s *Server) pause(took time.Duration) time.Duration {
	return max(s.interval, min(longest, time.Duration(float64(took)/s.share)))
}

// draw draws the curves. Those that differ from before get the version.
func (s *Server) draw(version int) {
	curves := report.Curves([]*report.Run{&s.follow.run})
	if len(curves) != len(s.curves) {
		s.version = version
	}
	parts := make([]part, len(curves))
	for i, c := range curves {
		parts[i] = part{c.ID, c.HTML, version}
		if k := slices.IndexFunc(s.curves, func(p part) bool { return p.id == c.ID && p.html == c.HTML }); k >= 0 {
			parts[i] = s.curves[k]
		} else {
			s.version = version
		}
	}
	s.curves = parts
}

// message is the data of an event.
type message struct {
	Title string        `json:"title"`
	State template.HTML `json:"state"`
	// IDs are those of all curves, in order; Curves has those that have changed, or all if there are others than before.
	IDs    []string `json:"ids"`
	Curves []curve  `json:"curves"`
}

type curve struct {
	ID   string        `json:"id"`
	HTML template.HTML `json:"html"`
}

// An event brings a client from a version of the parts to another.
type event struct {
	from, to int
	fromIDs  []string // of the client's curves
	ids      []string // of the curves then
	data     []byte   // a message
}

// since returns what has changed since a version for a client that has curves of these ids. The event's data is nil if
// nothing has. Clients that ask for the same get the same event, which is written once.
func (s *Server) since(version int, ids []string) (event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version == version {
		return event{from: version, to: version, ids: ids}, nil
	}
	if e := s.news; e.from == version && e.to == s.version && slices.Equal(e.fromIDs, ids) {
		return e, nil
	}
	m := message{Title: s.title + " · " + s.follow.run.Name(), State: s.state.html, IDs: []string{}, Curves: []curve{}}
	for _, c := range s.curves {
		m.IDs = append(m.IDs, c.id)
	}
	for _, c := range s.curves {
		if c.version > version || !slices.Equal(ids, m.IDs) {
			m.Curves = append(m.Curves, curve{c.id, c.html})
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // the data of an event is not in a page, and half of it is < and >
	if err := encoder.Encode(m); err != nil {
		return event{}, err
	}
	s.news = event{version, s.version, ids, m.IDs, bytes.TrimSuffix(text.Bytes(), []byte("\n"))}
	return s.news, nil
}

// page returns the page with the state of now.
func (s *Server) page() page.Page {
	s.mu.Lock()
	defer s.mu.Unlock()
	var curves template.HTML
	for _, c := range s.curves {
		curves += c.html
	}
	return page.Page{
		Title: s.follow.run.Name() + ", live", Script: script, Connect: true,
		Lead: `<p class="note scripted" id="connection" role="status">Connecting.</p><noscript><p class="note">Without scripts this page shows the run as it was when the page was loaded.</p></noscript>`,
		Sections: []page.Section{
			{ID: "state", Title: "State", Body: `<div id="run-state">` + s.state.html + `</div>`},
			{ID: "curves", Title: "Curves", Body: `<div class="grid" id="curve-grid">` + curves + `</div>`},
		},
	}
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	page.Protect(h)
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "expected GET", http.StatusMethodNotAllowed)
	case r.URL.Path == "/":
		s.refresh(false)
		s.page().Serve(w, http.StatusOK)
	case r.URL.Path == "/events" && r.Method == http.MethodGet:
		s.events(w, r)
	default:
		http.Error(w, "expected / or /events", http.StatusNotFound)
	}
}

// events sends a client what changes, until it goes or the server ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	full := s.clients >= maxClients
	if !full {
		s.clients++
	}
	s.mu.Unlock()
	if full {
		w.Header().Set("Retry-After", "60")
		http.Error(w, fmt.Sprintf("%d clients follow this run already", maxClients), http.StatusServiceUnavailable)
		return
	}
	defer func() {
		s.mu.Lock()
		s.clients--
		s.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of a proxy
	control := http.NewResponseController(w)
	send := func(texts ...[]byte) error {
		if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		for _, text := range texts {
			if _, err := w.Write(text); err != nil {
				return err
			}
		}
		return control.Flush()
	}
	// The limit of a request's time would end this one.
	if err := errors.Join(control.SetReadDeadline(time.Time{}), send([]byte("retry: 2000\n\n"))); err != nil {
		return
	}
	var has event
	sent := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for last := false; ; {
		wait := s.refresh(last)
		e, err := s.since(has.to, has.ids)
		if err != nil {
			return
		}
		has = e
		var texts [][]byte
		switch {
		case e.data != nil:
			texts = [][]byte{[]byte("data: "), e.data, []byte("\n\n")}
		case time.Since(sent) >= silence:
			texts = [][]byte{[]byte(": nothing new\n\n")}
		}
		if last {
			texts = append(texts, []byte("event: end\ndata: {}\n\n"))
		}
		if texts != nil {
			if err := send(texts...); err != nil || last {
				return
			}
			sent = time.Now()
		}
		timer.Reset(min(wait, silence))
		select {
		case <-r.Context().Done():
			return
		case <-s.ended:
			last = true
		case <-timer.C:
		}
	}
}

// Serve answers requests on l until ctx ends. Then clients get the last state, and it returns nil; it closes l. Call it
// once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var handler http.Handler = s
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		handler = loopbackOnly(s)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the page of %s: %w", s.follow.run.Dir, err)
	case <-ctx.Done():
	}
	close(s.ended)
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(final); err != nil { // a client that does not read
		if err := server.Close(); err != nil {
			return err
		}
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// loopbackOnly rejects requests for hosts other than this machine: a page of another site whose name leads to a loopback
// address must not read the run.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(trimBrackets(host)); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, fmt.Sprintf("host %q: expected localhost or a loopback address", host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func trimBrackets(host string) string {
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}
