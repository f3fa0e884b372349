package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"galaxy/internal/kernels"
)

// machine describes the machine and the versions of a measurement. A field is empty if it
// is unknown; Linux reports most of them.
type machine struct {
	Date      string            `json:"date"`
	CPU       string            `json:"cpu"`
	Cores     int               `json:"cores"`
	MemoryGiB float64           `json:"memory_gib"`
	Kernel    string            `json:"kernel"`
	Flags     []string          `json:"cpu_flags"` // the flags that the kernels depend on
	Kernels   string            `json:"cpu_kernels"`
	Versions  map[string]string `json:"versions"`
}

func (m machine) print() {
	fmt.Printf("| machine | |\n|---|---|\n| date | %s |\n| CPU | %s, %d cores, %s; %s |\n| memory | %.1f GiB |\n| kernel | %s |\n",
		m.Date, m.CPU, m.Cores, strings.Join(m.Flags, " "), m.Kernels, m.MemoryGiB, m.Kernel)
	for _, name := range slices.Sorted(maps.Keys(m.Versions)) {
		fmt.Printf("| %s | %s |\n", name, m.Versions[name])
	}
	fmt.Println()
}

// machine describes the machine that the program runs on.
func (s settings) machine(ctx context.Context) machine {
	c := kernels.ThisCPU()
	m := machine{
		Date: time.Now().UTC().Format(time.DateOnly), CPU: cmp.Or(c.Model, runtime.GOARCH), Flags: c.Features, Kernels: kernels.InUse(),
		Cores: runtime.NumCPU(), Kernel: runtime.GOOS, Versions: map[string]string{},
	}
	if raw, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.MemoryGiB = parseMemory(string(raw))
	}
	if raw, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel += " " + strings.TrimSpace(string(raw))
	}
	if raw, err := output(ctx, s.galaxy, "--version"); err == nil {
		m.Versions["galaxy"] = strings.TrimPrefix(strings.TrimSpace(string(raw)), "galaxy version ")
	}
	for _, peer := range s.peers {
		python := s.python
		if peer == torch {
			python = s.torchPython
		}
		// Read from the packages' files: importing them would take seconds.
		raw, err := output(ctx, python, "-c", `import importlib.metadata as m; print(*(d.name + "==" + d.version for d in m.distributions()))`)
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: the versions of %s are not known: %v\n", peer, err)
		}
		for name, version := range parseVersions(string(raw)) {
			m.Versions[name] = version
		}
	}
	return m
}

// parseVersions finds the versions of the peers among lines of name==version.
func parseVersions(text string) map[string]string {
	found := map[string]string{}
	for word := range strings.FieldsSeq(text) {
		name, version, _ := strings.Cut(word, "==")
		title, ok := map[string]string{"tensorflow": "TensorFlow", "tensorflow-cpu": "TensorFlow", "keras": "Keras", "torch": "PyTorch"}[strings.ReplaceAll(strings.ToLower(name), "_", "-")]
		if ok {
			found[title] = version
		}
	}
	return found
}

// parseMemory finds the total memory, GiB, in /proc/meminfo; 0 if it is missing.
func parseMemory(text string) float64 {
	mib, err := mebibytes(text, "MemTotal")
	if err != nil {
		return 0
	}
	return mib / 1024
}

// mebibytes finds the value of the line "name: N kB" in a file of /proc.
func mebibytes(text, name string) (float64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("no " + name)
}
