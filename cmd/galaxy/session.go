package main

import (
	"github.com/urfave/cli/v2"

	"galaxy/graph/session"
	"galaxy/internal/usage"
)

// Help texts of two flags of all commands that run a network.
const (
	threadsUsage   = "CPU threads of the network; 0 is one per core"
	gpuMemoryUsage = "`FRACTION` of each GPU's memory to take: all, growth (as needed) or a percentage such as 60%"
)

func threadsFlag(category string) cli.Flag {
	return &cli.IntFlag{Name: "threads", Category: category, EnvVars: []string{"GALAXY_THREADS"}, Usage: threadsUsage}
}

func gpuMemoryFlag(category string) cli.Flag {
	return &cli.StringFlag{Name: "gpu-memory", Category: category, Value: "all", EnvVars: []string{"GALAXY_GPU_MEMORY"}, Usage: gpuMemoryUsage}
}

// sessionOf reads the flags that set how graphs are run.
func sessionOf(c *cli.Context) (session.Config, error) {
	s := session.Config{Threads: c.Int("threads"), GPUMemory: session.GPUMemory(c.String("gpu-memory"))}
	if err := s.Validate(); err != nil {
		return s, usage.Error{Err: err}
	}
	return s, nil
}
