package session

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"google.golang.org/protobuf/proto"

	"galaxy/internal/usage"
)

// TensorFlowVersion is the version of the library that is loaded, such as
// "2.21.0".
func TensorFlowVersion() string { return tf.Version() }

// IsOutOfMemory reports whether err means that a device ran out of memory.
func IsOutOfMemory(err error) bool {
	if err == nil {
		return false
	}
	// The bindings keep only the text of TensorFlow's error. The last text is from cuDNN's kernels,
	// which fail with "NOT_FOUND: No algorithm worked!" if none finds memory to work in.
	return slices.ContainsFunc([]string{"OOM when allocating", "ran out of memory", "failed to allocate memory", "Out of memory while trying to allocate"}, func(said string) bool {
		return strings.Contains(err.Error(), said)
	})
}

// Config sets how a graph is run.
type Config struct {
	// Threads is the number of CPU threads inside one op, and of ops that run at
	// the same time; 0 is one per core. 0 ≤ Threads ≤ 1024.
	Threads int
	// GPUMemory sets how much of each GPU's memory to take.
	GPUMemory GPUMemory
	// XLA lets TensorFlow's compiler make one kernel of many ops on GPUs, when they
	// first run. Sums may be computed in another order. On CPUs it does nothing.
	XLA bool

	devices []string // required devices; nil is all that TensorFlow creates by default
	cluster *Cluster // of the devices; nil is this process alone
}

// On returns c for a graph on devices (names from Devices.Resolve) of a cluster; a nil
// cluster is this process alone.
func (c Config) On(devices []string, cluster *Cluster) Config {
	c.devices, c.cluster = devices, cluster
	return c
}

// maxThreads is more than any machine makes use of. TensorFlow makes that many at once, and ends the
// process where the system refuses one.
const maxThreads = 1024

// Validate checks the fields; its error names what was expected and what came.
func (c Config) Validate() error {
	_, err := c.GPUMemory.options()
	if c.Threads < 0 || c.Threads > maxThreads {
		err = errors.Join(&usage.Field{Name: "threads", Got: c.Threads, Expected: fmt.Sprintf("0 (one per core) to %d", maxThreads)}, err)
	}
	return err
}

// GPUMemory sets how much of each GPU's memory a process takes:
//
//	all      nearly all, at the start; so does ""
//	growth   what it needs as it needs it, which may leave it in pieces
//	60%      that fraction, at the start
type GPUMemory string

func (m GPUMemory) options() (*pb.GPUOptions, error) {
	switch m {
	case "", "all":
		return nil, nil
	case "growth":
		return &pb.GPUOptions{AllowGrowth: true}, nil
	}
	number, isShare := strings.CutSuffix(string(m), "%")
	share, err := strconv.ParseFloat(number, 64)
	if err != nil || !isShare || !(share > 0 && share <= 100) {
		return nil, &usage.Field{Name: "gpu_memory", Got: string(m), Expected: "all, growth or a fraction of each GPU's memory such as 60%"}
	}
	return &pb.GPUOptions{PerProcessGpuMemoryFraction: share / 100}, nil
}

// Options returns the configuration for the bindings.
func (c Config) Options() (*tf.SessionOptions, error) {
	config, err := c.proto()
	if err != nil {
		return nil, err
	}
	if c.cluster == nil {
		return Encode(config)
	}
	options, err := Encode(c.cluster.session(config))
	if err == nil {
		options.Target = c.cluster.target
	}
	return options, err
}

// proto returns the configuration of a session, or of a cluster's server.
func (c Config) proto() (*pb.ConfigProto, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	gpu, err := c.GPUMemory.options()
	if err != nil {
		return nil, err
	}
	config := &pb.ConfigProto{IntraOpParallelismThreads: int32(c.Threads), InterOpParallelismThreads: int32(c.Threads), GpuOptions: gpu}
	if c.XLA {
		config.GraphOptions = &pb.GraphOptions{OptimizerOptions: &pb.OptimizerOptions{GlobalJitLevel: pb.OptimizerOptions_ON_1}}
	}
	if c.devices != nil {
		cpus, gpus := 1, false
		for _, d := range c.devices {
			gpus = gpus || IsGPU(d)
			if _, n, ok := strings.Cut(d, "/device:CPU:"); ok {
				i, err := strconv.Atoi(n)
				if err != nil {
					return nil, fmt.Errorf("device %s: %w", d, err)
				}
				cpus = max(cpus, i+1)
			}
		}
		config.DeviceCount = map[string]int32{"CPU": int32(cpus)}
		if !gpus {
			config.DeviceCount["GPU"] = 0 // leaves GPU memory to other processes
		}
		// Lets an op without a kernel for GPUs run on the host.
		config.AllowSoftPlacement = gpus
	}
	return config, nil
}

// Encode returns a configuration for the bindings.
func Encode(config *pb.ConfigProto) (*tf.SessionOptions, error) {
	raw, err := proto.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode session options: %w", err)
	}
	return &tf.SessionOptions{Config: raw}, nil
}

// New opens a session on g. Close it after use.
func New(g *tf.Graph, c Config) (*tf.Session, error) {
	options, err := c.Options()
	if err != nil {
		return nil, err
	}
	sess, err := tf.NewSession(g, options)
	// The bindings pass on only the C pointer: without this, a garbage
	// collection during the call could free a graph that nothing else refers
	// to, and the call would wait forever on the freed lock.
	runtime.KeepAlive(g)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	return sess, nil
}

// FirstLine returns the first line of TensorFlow's error, which is for people. The lines after
// it name nodes of the graph.
func FirstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
