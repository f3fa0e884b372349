package main

import (
	"github.com/urfave/cli/v2"

	"galaxy/graph/session"
)

func threadsFlag(category string) cli.Flag {
	return &cli.IntFlag{Name: "threads", Category: category, EnvVars: []string{"GALAXY_THREADS"}, Usage: "CPU threads of the network; 0 is one a core"}
}

func gpuMemoryFlag(category string) cli.Flag {
	return &cli.StringFlag{Name: "gpu-memory", Category: category, Value: "all", EnvVars: []string{"GALAXY_GPU_MEMORY"}, Usage: "`SHARE` of each GPU's memory to take: all, growth (as it is needed) or such as 60%"}
}

// sessionOf reads the flags that say how graphs are run.
func sessionOf(c *cli.Context) (session.Config, error) {
	s := session.Config{Threads: c.Int("threads"), GPUMemory: session.GPUMemory(c.String("gpu-memory"))}
	if err := s.Validate(); err != nil {
		return s, usageError{err}
	}
	return s, nil
}
