package page

import (
	"net/http"
	"strconv"
)

// Protect sets the headers that every response of a server of pages has: no cache keeps it, no browser guesses what it
// is, and no other site learns of it or embeds it.
func Protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// Serve answers a request with the page and a status.
func (p Page) Serve(w http.ResponseWriter, status int) {
	h := w.Header()
	Protect(h)
	text, err := p.HTML()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.Policy()+"; frame-ancestors 'none'")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // fails for a client that has gone
}
