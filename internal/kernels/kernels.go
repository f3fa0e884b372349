// Package kernels reports which CPU kernels TensorFlow uses in this process, and the CPU's
// instructions for them.
//
// TensorFlow for x86 has two sets of kernels: Eigen's, compiled for every CPU with AVX, and
// oneDNN's, which generate machine code for the CPU they run on. By default TensorFlow uses
// oneDNN's only on CPUs with AVX512_VNNI, AVX512_BF16, AVX_VNNI or AMX (TensorFlow RFC 400),
// although they are about three times as fast on CPUs with only AVX2. A program that imports
// this package uses oneDNN's kernels on every x86 CPU, unless TF_ENABLE_ONEDNN_OPTS is set.
package kernels

// int galaxy_onednn(void);
import "C"

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/cpu"
)

// OneDNN reports whether TensorFlow uses oneDNN's kernels in this process, not
// Eigen's. TensorFlow decides this when the library is loaded.
func OneDNN() bool {
	switch C.galaxy_onednn() {
	case 0:
		return false
	case 1:
		return true
	}
	return runtime.GOARCH == "amd64" // the library does not report it
}

// An ISA is an instruction set that oneDNN has kernels for, named as in
// ONEDNN_MAX_CPU_ISA.
type ISA string

// isaOfCPU is an instruction set, and whether the CPU has it.
type isaOfCPU struct {
	isa ISA
	has func() bool
}

// smaller maps the other limits that oneDNN accepts to the largest of isas that each allows.
var smaller = map[ISA]ISA{
	"AVX2_VNNI_2": "AVX2_VNNI", "AVX512_CORE_FP16": bf16, "AVX512_CORE_AMX_FP16": "AVX512_CORE_AMX",
}

// isas are the instruction sets of x86. Each includes the ones before it, as far as it matters
// here.
var isas = []isaOfCPU{
	{"SSE41", func() bool { return cpu.X86.HasSSE41 }},
	{"AVX", func() bool { return cpu.X86.HasAVX }},
	{"AVX2", func() bool { return cpu.X86.HasAVX2 }},
	{"AVX2_VNNI", func() bool { return cpu.X86.HasAVXVNNI }},
	{"AVX512_CORE", hasAVX512},
	{"AVX512_CORE_VNNI", func() bool { return hasAVX512() && cpu.X86.HasAVX512VNNI }},
	{bf16, func() bool { return hasAVX512() && cpu.X86.HasAVX512BF16 }},
	{"AVX512_CORE_AMX", func() bool { return hasAVX512() && cpu.X86.HasAMXBF16 }},
}

const bf16 ISA = "AVX512_CORE_BF16"

func hasAVX512() bool {
	return cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ
}

// rank returns an ISA's index in isas, −1 if it is not there.
func rank(isa ISA) int {
	return slices.IndexFunc(isas, func(x isaOfCPU) bool { return x.isa == isa })
}

// Largest returns the largest instruction set that oneDNN's kernels use here: the CPU's, or
// the smaller one that ONEDNN_MAX_CPU_ISA names. It is "" if the CPU is not x86.
func Largest() ISA {
	most := len(isas) - 1
	// The second is oneDNN's older name for the first.
	limit := ISA(strings.ToUpper(cmp.Or(os.Getenv("ONEDNN_MAX_CPU_ISA"), os.Getenv("DNNL_MAX_CPU_ISA"))))
	if i := rank(cmp.Or(smaller[limit], limit)); i >= 0 {
		most = i
	}
	for ; most >= 0; most-- {
		if isas[most].has() {
			return isas[most].isa
		}
	}
	return ""
}

// Limited reports whether ONEDNN_MAX_CPU_ISA keeps oneDNN's kernels from AVX-512, which the
// CPU has. TensorFlow, which looks only at the CPU, then asks for bfloat16 kernels that do
// not exist.
func Limited() bool { return OneDNN() && hasAVX512() && rank(Largest()) < rank("AVX512_CORE") }

// BFloat16 reports whether the CPU has instructions that multiply bfloat16 and add in
// float32. Without them oneDNN converts every value, and Eigen's kernels round partial sums
// of gradients to 8 bits.
func BFloat16() bool { return OneDNN() && rank(Largest()) >= rank(bf16) }

// VNNI reports whether the CPU has instructions for int8 kernels.
func VNNI() bool {
	l := Largest()
	return OneDNN() && (l == "AVX2_VNNI" || rank(l) >= rank("AVX512_CORE_VNNI"))
}

// InUse returns the name of the kernels, such as "oneDNN's kernels for AVX512_CORE_BF16".
func InUse() string {
	if !OneDNN() {
		return "Eigen's kernels"
	}
	if isa := Largest(); isa != "" {
		return fmt.Sprintf("oneDNN's kernels for %s", isa)
	}
	return "oneDNN's kernels"
}

// CPU describes a processor.
type CPU struct {
	// Model is its name, "" if the system does not report it.
	Model string
	// Features are the CPU's vector instructions that TensorFlow's kernels use, in
	// capitals.
	Features []string
	// identity distinguishes CPUs of the same name: family, model, cache.
	identity []string
}

// ThisCPU returns this machine's CPU, as the system reports it.
func ThisCPU() CPU {
	var c CPU
	has := func(name string, yes bool) {
		if yes {
			c.Features = append(c.Features, name)
		}
	}
	switch runtime.GOARCH {
	case "amd64":
		has("AVX", cpu.X86.HasAVX)
		has("AVX2", cpu.X86.HasAVX2)
		has("FMA", cpu.X86.HasFMA)
		has("AVX_VNNI", cpu.X86.HasAVXVNNI)
		has("AVX512F", cpu.X86.HasAVX512F)
		has("AVX512_VNNI", cpu.X86.HasAVX512VNNI)
		has("AVX512_BF16", cpu.X86.HasAVX512BF16)
		has("AMX_BF16", cpu.X86.HasAMXBF16)
	case "arm64":
		has("ASIMD", cpu.ARM64.HasASIMD)
		has("SVE", cpu.ARM64.HasSVE)
		has("SVE2", cpu.ARM64.HasSVE2)
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return c // not Linux
	}
	c.read(string(info))
	return c
}

// read reads the first processor of a /proc/cpuinfo: all are alike.
func (c *CPU) read(info string) {
	first, _, _ := strings.Cut(info, "\n\n")
	for line := range strings.Lines(first) {
		name, value, _ := strings.Cut(line, ":")
		switch name, value = strings.TrimSpace(name), strings.TrimSpace(value); name {
		case "model name":
			c.Model = value
		case "cpu family", "model", "cache size", "CPU part":
			c.identity = append(c.identity, name+" "+value)
		}
	}
}

// Machine returns a text of everything that decides the bits of a sum and which kernels are
// the fastest: the kernels in use, the CPU, and the number of threads.
func Machine(threads int) string {
	c := ThisCPU()
	parts := []string{runtime.GOARCH, c.Model}
	parts = append(parts, c.identity...)
	parts = append(parts, fmt.Sprintf("%d threads", threads), InUse())
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}
