package session

/*
#include <stdlib.h>
#include <tensorflow/c/c_api.h>
int listen_on(const unsigned char *ip, int port);
int listens(void);
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"google.golang.org/protobuf/proto"

	"galaxy/internal/usage"
)

// Cluster is one worker's view of the workers that train together, through
// TensorFlow's gRPC server and collective operations. The traffic is neither
// encrypted nor authenticated.
type Cluster struct {
	worker  Worker
	target  string
	devices []string
	lost    <-chan result   // receives the result of a run that was given up; nil if there is none
	stop    context.Context // done when this worker should stop

	gatherings map[int]gathering // by length
}

// The groups of devices that collectives join; a key is used only once per process.
const (
	ReplicaGroup = 1 // all replicas
	HostGroup    = 2 // the CPUs of the workers

	// FirstBroadcast is the instance of the first variable in HostGroup; lower
	// instances are gatherings.
	FirstBroadcast = 1000
)

// JoinCluster starts this worker's server, with devices named by Devices.Resolve, and
// waits until all other servers run. The server lives as long as the process, as
// TensorFlow cannot stop it. Once ctx is done, joint work of all workers is given no
// more than half a minute.
func JoinCluster(ctx context.Context, w Worker, devices []string, session Config) (*Cluster, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	if w.Timeout == 0 {
		w.Timeout = DefaultTimeout
	}
	stop := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, w.Timeout, fmt.Errorf("waited for %v", w.Timeout))
	defer cancel()
	only, err := w.listen(ctx)
	if err != nil {
		return nil, err
	}
	session.devices = devices
	config, err := session.proto()
	if err != nil {
		return nil, err
	}
	c := &Cluster{worker: w, stop: stop, gatherings: map[int]gathering{}}
	for _, d := range devices {
		c.devices = append(c.devices, c.Job()+d)
	}
	// gRPC would send traffic for other workers through a web proxy.
	for _, name := range []string{"grpc_proxy", "http_proxy", "https_proxy"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if err := c.start(config, only); err != nil {
		return nil, err
	}
	return c, c.wait(ctx)
}

// Index returns the number of this worker; 0 is the chief, or a process without
// a cluster.
func (c *Cluster) Index() int {
	if c == nil {
		return 0
	}
	return c.worker.Index
}

// Workers returns the number of workers; 1 without a cluster.
func (c *Cluster) Workers() int {
	if c == nil {
		return 1
	}
	return len(c.worker.Cluster)
}

// Name returns worker i's number and address for messages.
func (c *Cluster) Name(i int) string {
	return fmt.Sprintf("worker %d (%s)", i, c.worker.Cluster[i])
}

// Job returns the prefix of the names of this worker's devices.
func (c *Cluster) Job() string { return fmt.Sprintf("/job:worker/replica:0/task:%d", c.worker.Index) }

// listen makes the next server listen on w.Listen only, unless w.Listen is all
// addresses.
func (w Worker) listen(ctx context.Context) (only bool, err error) {
	host, text, err := net.SplitHostPort(w.Cluster[w.Index])
	if err != nil {
		return false, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return false, err
	}
	if w.Listen != "" {
		host = w.Listen
	}
	found, err := net.LookupIP(host)
	for err != nil { // a new machine's name may appear in DNS after the machine
		select {
		case <-time.After(retryAfter):
			found, err = net.LookupIP(host)
		case <-ctx.Done():
			return false, fmt.Errorf("address of worker %d, which is this one: %w: %w", w.Index, err, context.Cause(ctx))
		}
	}
	ip := found[0]
	if i := slices.IndexFunc(found, func(ip net.IP) bool { return ip.To4() != nil }); i >= 0 {
		ip = found[i]
	}
	if named := host != "localhost" && net.ParseIP(host) == nil; named && ip.IsLoopback() {
		// Debian's installer puts the machine's own name into /etc/hosts like this.
		return false, usage.Errorf("worker %d, which is this one, has the host %s, which is %v here, where no other machine reaches it: "+
			"set {listen} to the machine's address, or give that in the cluster", w.Index, host, ip)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(ip.String(), text))
	if err != nil {
		return false, usage.Errorf("listen as worker %d: %w; expected a free port, and an address of this machine if {cluster} or {listen} names it", w.Index, err)
	}
	if err := l.Close(); err != nil {
		return false, err
	}
	if ip.IsUnspecified() {
		return false, nil
	}
	if C.listen_on((*C.uchar)(unsafe.Pointer(unsafe.SliceData(ip.To16()))), C.int(port)) == 0 {
		return false, usage.Errorf("on this system TensorFlow listens on all addresses of the machine: set {listen=0.0.0.0} if that is no harm")
	}
	return true, nil
}

// start starts the server, listening on one address only or on all.
func (c *Cluster) start(config *pb.ConfigProto, only bool) error {
	tasks := map[int32]string{}
	for i, address := range c.worker.Cluster {
		tasks[int32(i)] = address
	}
	def, err := proto.Marshal(&pb.ServerDef{
		Cluster: &pb.ClusterDef{Job: []*pb.JobDef{{Name: "worker", Tasks: tasks}}},
		JobName: "worker", TaskIndex: int32(c.worker.Index), Protocol: "grpc",
		DefaultSessionConfig: c.session(config),
	})
	if err != nil {
		return fmt.Errorf("encode server: %w", err)
	}
	status := C.TF_NewStatus()
	defer C.TF_DeleteStatus(status)
	raw := C.CBytes(def)
	defer C.free(raw)
	server := C.TF_NewServer(raw, C.size_t(len(def)), status)
	if C.TF_GetCode(status) == C.TF_OK {
		C.TF_ServerStart(server, status)
	}
	if C.TF_GetCode(status) != C.TF_OK {
		return fmt.Errorf("start the server of %s: %s", c.Name(c.worker.Index), C.GoString(C.TF_Message(status)))
	}
	c.target = C.GoString(C.TF_ServerTarget(server))
	if only && C.listens() == 0 {
		return usage.Errorf("TensorFlow listens on other addresses than it was told to: set {listen=0.0.0.0} if that is no harm")
	}
	return nil
}

// session returns the configuration of a session on the cluster's server.
func (c *Cluster) session(config *pb.ConfigProto) *pb.ConfigProto {
	config = proto.Clone(config).(*pb.ConfigProto)
	config.Experimental = &pb.ConfigProto_Experimental{CollectiveGroupLeader: "/job:worker/replica:0/task:0"}
	// A session communicates with the others only through collectives.
	config.DeviceFilters = []string{fmt.Sprintf("/job:worker/task:%d", c.worker.Index)}
	return config
}

// wait waits until all workers listen.
func (c *Cluster) wait(ctx context.Context) error {
	var absent []string
	for present := 0; ; {
		if c.worker.Waiting != nil {
			c.worker.Waiting()
		}
		// A check that the end of the wait interrupted knows less than the check before it.
		if found := c.absent(ctx, speaks); ctx.Err() == nil || len(absent) == 0 {
			absent = found
		}
		if present++; len(absent) > 0 {
			present = 0
		}
		if present == 2 { // once could be a worker testing whether its port is free
			return nil
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return fmt.Errorf("wait for the other workers: %w; %s; is each of them started, with the same list of workers in the same order, and its port open to this machine?", context.Cause(ctx), strings.Join(absent, ", "))
		}
	}
}

const (
	dialTimeout = 3 * time.Second // for a worker to answer a call
	retryAfter  = 200 * time.Millisecond
	askEvery    = 3 * time.Second  // while a run takes so long
	lastWait    = 30 * time.Second // for a run, once this worker should stop
)

// absent names the workers whose server cannot be reached or fails the test of its
// connection, and why.
func (c *Cluster) absent(ctx context.Context, test func(net.Conn) error) []string {
	why := make([]string, c.Workers())
	var calls sync.WaitGroup
	for i, address := range c.worker.Cluster {
		if i == c.worker.Index {
			continue
		}
		calls.Go(func() {
			dialer := net.Dialer{Timeout: dialTimeout}
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err == nil {
				err = errors.Join(test(conn), conn.Close())
			}
			if err != nil {
				why[i] = fmt.Sprintf("%s does not answer (%v)", c.Name(i), err)
			}
		})
	}
	calls.Wait()
	return slices.DeleteFunc(why, func(s string) bool { return s == "" })
}

// listens passes for any worker that has opened its port.
func listens(net.Conn) error { return nil }

// speaks passes for a worker whose server runs: the server first sends its settings (RFC 9113, sections
// 3.4 and 6.5). If the process is stopped, the operating system still accepts connections.
func speaks(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // no settings
	if _, err := conn.Write([]byte(preface)); err != nil {
		return err
	}
	const settings = 4
	frame := make([]byte, 9)
	switch _, err := io.ReadFull(conn, frame); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("it takes connections and says nothing, as a process that is stopped")
	case err == nil && frame[3] != settings || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("something else than a worker listens there")
	default:
		return err
	}
}

// ErrWorkerLost is the error of joint work if a worker has died or has not taken part
// for Worker.Timeout.
var ErrWorkerLost = errors.New("a worker is lost")

type result struct {
	got []*tf.Tensor
	err error
}

// Run is sess.Run for joint work of all workers; without a cluster it is plain
// sess.Run. The collective ops have their own time limit, but for each op
// TensorFlow keeps two threads waiting for it.
func (c *Cluster) Run(sess *tf.Session, feeds map[tf.Output]*tf.Tensor, fetches []tf.Output, targets []*tf.Operation) ([]*tf.Tensor, error) {
	if c == nil {
		return sess.Run(feeds, fetches, targets)
	}
	done := make(chan result, 1)
	go func() {
		got, err := sess.Run(feeds, fetches, targets)
		done <- result{got, err}
	}()
	limit, ask := time.NewTimer(c.worker.Timeout), time.NewTicker(askEvery)
	defer limit.Stop()
	defer ask.Stop()
	silent, wait, stop := 0, c.worker.Timeout, c.stop.Done()
	for {
		select {
		case <-stop:
			stop = nil
			if wait > lastWait {
				wait = lastWait
				limit.Reset(wait)
			}
		case r := <-done:
			return r.got, c.explain(r.err)
		case <-ask.C:
			absent := c.absent(context.Background(), listens)
			if silent++; len(absent) == 0 {
				silent = 0
			}
			if silent == 2 {
				c.lost = done
				return nil, fmt.Errorf("%w: %s", ErrWorkerLost, strings.Join(absent, ", "))
			}
		case <-limit.C:
			c.lost = done
			why := "all of them answer, but one has not done its part"
			if silent := c.absent(context.Background(), speaks); len(silent) > 0 {
				why = strings.Join(silent, ", ")
			}
			return nil, fmt.Errorf("%w: waited for %v: %s; has each of them the same list of workers, in the same order?", ErrWorkerLost, wait, why)
		}
	}
}

// Lost reports whether a run was given up because a worker was lost.
func (c *Cluster) Lost() bool { return c != nil && c.lost != nil }

// Late reports whether a run that was given up for want of a worker has ended since,
// or ends within lateEnd: the variables may have changed.
func (c *Cluster) Late() bool {
	if !c.Lost() {
		return false
	}
	time.Sleep(lateEnd)
	return len(c.lost) > 0
}

// lateEnd is longer than updates take once their gradients are ready.
const lateEnd = 2 * time.Second

// explain adds to an error in joint work the names of the workers that are gone.
func (c *Cluster) explain(err error) error {
	if err == nil {
		return nil
	}
	// A dying process may keep its port for a moment.
	for range 10 {
		if absent := c.absent(context.Background(), listens); len(absent) > 0 {
			why := err.Error()
			if from, text, found := strings.Cut(why, ":\n"); found && strings.HasPrefix(from, "From /job:") {
				why = text
			}
			why, _, _ = strings.Cut(why, "\n")
			return fmt.Errorf("%w: %s (%s)", ErrWorkerLost, strings.Join(absent, ", "), strings.TrimSpace(why))
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
