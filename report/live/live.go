package live

import (
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
	interval     = 2 * time.Second  // between two looks at the files
	silence      = 15 * time.Second // after which a client gets a comment, so that one that has gone is noticed
	writeTimeout = 10 * time.Second // for a client that does not read
	maxClients   = 64               // that follow the run at one time
)

// Server serves the page of one run. It is an http.Handler, for any number of clients.
type Server struct {
	interval time.Duration
	ended    chan struct{} // closed when the server ends

	mu      sync.Mutex
	follow  follower
	polled  time.Time
	version int // of the parts
	state   part
	title   string
	curves  []part
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
	return &Server{interval: interval, ended: make(chan struct{}), follow: follower{run: report.Run{Dir: dir}}}
}

// refresh looks at the files, if that is due or must be.
func (s *Server) refresh(now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now && time.Since(s.polled) < s.interval {
		return
	}
	s.follow.poll()
	s.polled = time.Now()
	state, title := s.follow.status(s.polled)
	curves := report.Curves([]*report.Run{&s.follow.run})
	next := s.version + 1
	changed := state != s.state.html || len(curves) != len(s.curves)
	if state != s.state.html {
		s.state = part{html: state, version: next}
	}
	s.title = title
	parts := make([]part, len(curves))
	for i, c := range curves {
		parts[i] = part{c.ID, c.HTML, next}
		if k := slices.IndexFunc(s.curves, func(p part) bool { return p.id == c.ID && p.html == c.HTML }); k >= 0 {
			parts[i] = s.curves[k]
		} else {
			changed = true
		}
	}
	s.curves = parts
	if changed {
		s.version = next
	}
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

// since returns what has changed since a version for a client that has curves of these ids, and the version now; nil is
// nothing.
func (s *Server) since(version int, ids []string) (*message, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version == version {
		return nil, version
	}
	m := &message{Title: s.title + " · " + s.follow.run.Name(), State: s.state.html, IDs: []string{}, Curves: []curve{}}
	for _, c := range s.curves {
		m.IDs = append(m.IDs, c.id)
	}
	for _, c := range s.curves {
		if c.version > version || !slices.Equal(ids, m.IDs) {
			m.Curves = append(m.Curves, curve{c.id, c.html})
		}
	}
	return m, s.version
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
	send := func(text string) error {
		if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return control.Flush()
	}
	// The limit of a request's time would end this one.
	if err := errors.Join(control.SetReadDeadline(time.Time{}), send("retry: 2000\n\n")); err != nil {
		return
	}
	version, sent := 0, time.Now()
	var ids []string
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for last := false; ; {
		s.refresh(last)
		m, now := s.since(version, ids)
		text := ""
		switch {
		case m != nil:
			data, err := json.Marshal(m)
			if err != nil {
				return
			}
			version, ids, text = now, m.IDs, fmt.Sprintf("data: %s\n\n", data)
		case time.Since(sent) > silence:
			text = ": nothing new\n\n"
		}
		if last {
			text += "event: end\ndata: {}\n\n"
		}
		if text != "" {
			if err := send(text); err != nil || last {
				return
			}
			sent = time.Now()
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.ended:
			last = true
		case <-tick.C:
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
