package session

import (
	"strings"
	"testing"

	pb "github.com/galeone/tensorflow/tensorflow/go/core/protobuf/for_core_protos_go_proto"
	"google.golang.org/protobuf/proto"
)

func TestSessionOptions(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   *pb.ConfigProto
		err    string
	}{
		{Config{}, &pb.ConfigProto{}, ""},
		{Config{Threads: 3, GPUMemory: "all"}, &pb.ConfigProto{IntraOpParallelismThreads: 3, InterOpParallelismThreads: 3}, ""},
		{Config{GPUMemory: "growth"}, &pb.ConfigProto{GpuOptions: &pb.GPUOptions{AllowGrowth: true}}, ""},
		{Config{GPUMemory: "62.5%"}, &pb.ConfigProto{GpuOptions: &pb.GPUOptions{PerProcessGpuMemoryFraction: .625}}, ""},
		{Config{XLA: true}, &pb.ConfigProto{GraphOptions: &pb.GraphOptions{OptimizerOptions: &pb.OptimizerOptions{GlobalJitLevel: pb.OptimizerOptions_ON_1}}}, ""},
		{Config{devices: []string{"/device:CPU:0", "/device:CPU:2"}}, &pb.ConfigProto{DeviceCount: map[string]int32{"CPU": 3, "GPU": 0}}, ""},
		{Config{devices: []string{"/device:GPU:1"}}, &pb.ConfigProto{DeviceCount: map[string]int32{"CPU": 1}, AllowSoftPlacement: true}, ""},
		{Config{Threads: -1}, nil, "threads -1"},
		{Config{Threads: 1025}, nil, "threads 1025: expected 0 (one per core) to 1024"},
		{Config{GPUMemory: "60"}, nil, "gpu_memory 60: expected all, growth or a fraction"},
		{Config{GPUMemory: "0%"}, nil, "gpu_memory 0%"},
		{Config{GPUMemory: "101%"}, nil, "gpu_memory 101%"},
		{Config{GPUMemory: "NaN%"}, nil, "gpu_memory NaN%"},
	} {
		options, err := c.config.Options()
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || c.config.Validate() == nil {
				t.Errorf("%+v: got %v, expected an error with %q, of Validate too", c.config, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c.config, err)
			continue
		}
		var got pb.ConfigProto
		if err := proto.Unmarshal(options.Config, &got); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(&got, c.want) {
			t.Errorf("%+v: got %v, expected %v", c.config, &got, c.want)
		}
	}
}
