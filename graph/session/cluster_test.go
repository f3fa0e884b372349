package session

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"galaxy/graph/graphtest"
)

func TestParseTFConfig(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, "nil"},
		{`{}`, "nil"},
		{`{"cluster": {}, "task": {"type": "worker", "index": 0}}`, "nil"},
		{`{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}`, "nil"},
		{`{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}`, "nil"},
		{`{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}`, "1 of [a:1 b:1]"},
		{`{"cluster": {"worker": ["a:1", "[::1]:2"]}, "task": {"type": "worker", "index": "0"}, "environment": "cloud"}`, "0 of [a:1 [::1]:2]"},
		{`{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}`, "2 of [a:1 b:1 c:1]"},
		{`{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}`, "0 of [a:1 b:1]"},
		{`worker`, "!invalid character"},
		{`{"cluster": ["a:1"]}`, `!a JSON array at "cluster"`},
		{`{"cluster": {"worker": "a:1"}}`, `!a JSON string at "cluster`},
		{`{"cluster": {"worker": ["a:1", "b:1"]}}`, "!the task has no index"},
		{`{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}`, `!no task "worker" 2`},
		{`{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": -1}}`, `!no task "worker" -1`},
		{`{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0.5}}`, "!task index 0.5"},
		{`{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}`, `!no task "chief" 0`},
		{`{"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}`, "!2 chiefs"},
		{`{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, "task": {"type": "ps", "index": 0}}`, `!a job "ps"`},
		{`{"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}`, `!worker 1 has the address "b"`},
		{`{"cluster": {"worker": ["a:1", "b:0"]}, "task": {"type": "worker", "index": 0}}`, `!"b:0"`},
		{`{"cluster": {"worker": ["a:1", ":2"]}, "task": {"type": "worker", "index": 0}}`, `!":2"`},
		{`{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}`, "!workers 0 and 1 have the same address a:1"},
	} {
		w, err := ParseTFConfig(c.text)
		got := "nil"
		if w != nil {
			got = fmt.Sprintf("%d of %v", w.Index, w.Cluster)
		}
		if want, isError := strings.CutPrefix(c.want, "!"); isError {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "TF_CONFIG") {
				t.Errorf("%s: got %v, %v, expected an error with %q", c.text, got, err, want)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s: got %s, %v, expected %s", c.text, got, err, c.want)
		}
	}
}

func FuzzParseTFConfig(f *testing.F) {
	f.Add(`{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}`)
	f.Add(`{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": "0"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := ParseTFConfig(text); err == nil && w != nil {
			if err := w.Validate(); err != nil || len(w.Cluster) < 2 {
				t.Errorf("%+v came of it: %v", w, err)
			}
		}
	})
}

func TestJoinClusterRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	ports := graphtest.FreePorts(t, 3)
	here := fmt.Sprintf("127.0.0.1:%d", ports[0])
	hostname, err := os.Hostname()
	if found, _ := net.LookupIP(hostname); err != nil || len(found) == 0 || !found[0].IsLoopback() {
		hostname = "localhost.localdomain"
	}
	for _, c := range []struct {
		name   string
		worker Worker
		want   string
	}{
		{"a port in use", Worker{Cluster: []string{taken.Addr().String(), here}}, "address already in use"},
		{"a host that is another's", Worker{Cluster: []string{"192.0.2.1:2222", here}}, "expected a free port, and an address of this machine"},
		{"a host without an address", Worker{Cluster: []string{"galaxy.invalid:2222", here}, Timeout: time.Second}, "address of worker 0, which is this one"},
		{"no such worker", Worker{Cluster: []string{here}, Index: 1}, "expected 0 to 0"},
		{"no address to listen on", Worker{Cluster: []string{here}, Listen: "localhost"}, "listen localhost: expected an IP address"},
		{"a negative timeout", Worker{Cluster: []string{here}, Timeout: -time.Second}, "timeout -1s"},
		{"a name of loopback", Worker{Cluster: []string{hostname + ":2222", here}}, hostname + ", which is 127.0."},
		{"something else", Worker{Cluster: []string{fmt.Sprintf("127.0.0.1:%d", ports[2]), web.Listener.Addr().String()}, Timeout: 5 * time.Second}, "something else than a worker listens there"},
		{"others that are not there", Worker{Cluster: []string{here, fmt.Sprintf("127.0.0.1:%d", ports[1])}, Timeout: time.Second}, "worker 1 (127.0.0.1:" + strconv.Itoa(ports[1]) + ") does not answer"},
	} {
		if _, err := JoinCluster(t.Context(), c.worker, []string{HostDevice}, Config{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, expected an error with %q", c.name, err, c.want)
		}
	}
}
