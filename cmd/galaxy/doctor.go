package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/cpu"

	"galaxy"

	"galaxy/graph/network"
	"galaxy/graph/session"
	"galaxy/internal/kernels"
	"galaxy/internal/usage"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check this machine, and report what is wrong and how to fix it",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "graph", Usage: "only show which ops of a training step are on which device"},
			&cli.StringFlag{Name: "arch", Value: network.Default, EnvVars: []string{"GALAXY_ARCH"}, Usage: "`NETWORK` of --graph: " + usage.OneOf(network.Names())},
			&cli.StringFlag{Name: "devices", Value: string(session.AutoDevices), EnvVars: []string{"GALAXY_DEVICES"}, Usage: "`DEVICES` to check, as for galaxy train"},
		},
		Action: func(c *cli.Context) error {
			if err := checkArguments(c); err != nil {
				return err
			}
			if c.Bool("graph") {
				return reportPlacement(c)
			}
			e := examine()
			d := diagnosis{OK: true, examination: e, Findings: judge(e)}
			if c.IsSet("devices") {
				d.Findings = append(d.Findings, judgeAsked(session.Devices(c.String("devices"))))
			}
			failed := 0
			for _, f := range d.Findings {
				if f.Status == statusFail {
					d.OK = false
					failed++
				}
			}
			if err := report(c, d, func(w io.Writer) { printFindings(w, d.Findings) }); err != nil {
				return err
			}
			if failed > 0 {
				return fmt.Errorf("doctor: %d of %d checks failed", failed, len(d.Findings))
			}
			return nil
		},
	}
}

// checkLibraryVersion compares the loaded libtensorflow with the version galaxy
// was built for. Another version may lack ops or have other attributes, which
// would fail much later and look like the user's mistake.
func checkLibraryVersion() error {
	return compareVersions(tf.Version(), galaxy.TensorFlowVersion(), loadedLibraries())
}

func compareVersions(loaded, builtFor string, files []string) error {
	if loaded == builtFor {
		return nil
	}
	from := ""
	if len(files) > 0 {
		from = " (" + files[0] + ")"
	}
	return fmt.Errorf("the TensorFlow library is version %s%s, and galaxy was built for %s: run `make build`, which fetches that version, and unset LD_LIBRARY_PATH if it names another", loaded, from, builtFor)
}

// examination holds what doctor measures, before any judgement.
type examination struct {
	Galaxy  string         `json:"galaxy"`
	Library libraryFound   `json:"library"`
	Devices []deviceFound  `json:"devices"`
	CPU     cpuFound       `json:"cpu"`
	Memory  memoryFound    `json:"memory"`
	NVIDIA  nvidiaFound    `json:"nvidia"`
	Compute []computeFound `json:"compute"`
	// AutoPrecision is the precision that --precision auto selects on this machine.
	AutoPrecision network.Precision `json:"auto_precision"`
	// Logs is the folder of TensorFlow's own logs.
	Logs string `json:"logs"`

	devicesErr error
}

// usesGPU reports whether TensorFlow has found a GPU.
func (e examination) usesGPU() bool {
	return slices.ContainsFunc(e.Devices, func(d deviceFound) bool { return d.Type == "GPU" })
}

type libraryFound struct {
	Version  string   `json:"version"`
	BuiltFor string   `json:"built_for"`
	Files    []string `json:"files"` // files mapped into this process; empty if the system does not report them
	CUDA     bool     `json:"cuda"`  // NVIDIA's libraries are next to it, where fetch-tensorflow --gpu puts them
}

type deviceFound struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	MemoryBytes int64  `json:"memory_bytes"`
}

type cpuFound struct {
	Model    string   `json:"model,omitempty"`
	Cores    int      `json:"cores"`     // cores that the scheduler may use
	Quota    int      `json:"quota"`     // cores' worth of time a container may spend
	Features []string `json:"features"`  // vector instructions that TensorFlow's kernels use
	Kernels  string   `json:"kernels"`   // description of the kernels that TensorFlow uses on it
	Expected bool     `json:"supported"` // has the instructions that the wheels were compiled for

	slow bool // Eigen's kernels are in use although oneDNN's exist
}

type memoryFound struct {
	TotalBytes     int64 `json:"total_bytes"`     // 0: the system does not report it
	AvailableBytes int64 `json:"available_bytes"` // within a container's limit
}

type nvidiaFound struct {
	Driver      string   `json:"driver,omitempty"` // version of the kernel module
	GPUs        int      `json:"gpus"`             // GPUs that the module drives
	DeviceFiles []string `json:"device_files"`
	LibCUDA     string   `json:"libcuda,omitempty"`
}

// computeFound is the outcome of a small multiplication in one precision.
type computeFound struct {
	Precision network.Precision `json:"precision"`
	Error     string            `json:"error,omitempty"`
}

// Statuses of a finding. Only statusFail makes doctor fail.
const (
	statusOK   = "ok"
	statusWarn = "warn"
	statusFail = "fail"
)

// finding is one judgement: what was checked, the result, and how to fix a problem.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Mend   string `json:"mend,omitempty"`
}

// diagnosis is what doctor --json prints.
type diagnosis struct {
	OK bool `json:"ok"`
	examination
	Findings []finding `json:"findings"`
}

// examine looks at the machine. It changes nothing, and opens GPUs only through
// TensorFlow's own list of devices.
func examine() examination {
	e := examination{
		Galaxy: galaxyVersion,
		Library: libraryFound{
			Version: tf.Version(), BuiltFor: galaxy.TensorFlowVersion(), Files: loadedLibraries(),
		},
		CPU:    examineCPU(),
		Memory: examineMemory("/"),
		NVIDIA: examineNVIDIA("/"),
	}
	if len(e.Library.Files) > 0 {
		e.Library.CUDA = exists(filepath.Join(filepath.Dir(e.Library.Files[0]), "..", "nvidia"))
	}
	e.Devices, e.devicesErr = listDevices()
	e.AutoPrecision = network.Auto.Resolve(e.usesGPU())
	precisions := []network.Precision{network.Float32}
	if e.AutoPrecision != network.Float32 {
		precisions = append(precisions, e.AutoPrecision)
	}
	for _, p := range precisions {
		c := computeFound{Precision: p}
		if err := tryMultiply(p); err != nil {
			c.Error = err.Error()
		}
		e.Compute = append(e.Compute, c)
	}
	if dir, err := tfLogDir(); err == nil {
		e.Logs = dir
	}
	return e
}

// loadedLibraries returns the files of libtensorflow mapped into this process.
func loadedLibraries() []string {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil // not Linux
	}
	return librariesIn(string(maps))
}

// librariesIn finds libtensorflow's files in the text of a /proc/PID/maps.
func librariesIn(maps string) []string {
	var files []string
	for line := range strings.Lines(maps) {
		i := strings.IndexByte(line, '/')
		if i < 0 {
			continue
		}
		path := strings.TrimSpace(line[i:])
		if strings.HasPrefix(filepath.Base(path), "libtensorflow") && !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return files
}

// shortName is a device's name as people know it, such as GPU:0.
func shortName(name string) string {
	return strings.NewReplacer("/job:localhost/replica:0/task:0", "", "/device:", "").Replace(name)
}

func listDevices() ([]deviceFound, error) {
	devices, err := session.FindDevices(session.Config{})
	var found []deviceFound
	for _, d := range devices {
		found = append(found, deviceFound{Name: shortName(d.Name), Type: d.Type, MemoryBytes: d.MemoryLimitBytes})
	}
	return found, err
}

// tryMultiply multiplies two small matrices of ones in precision p and checks
// the sum, which is exact in every precision: 64 × 64 elements of 64.
func tryMultiply(p network.Precision) (err error) {
	const n = 64
	dtype := tf.Float
	if p == network.BFloat16 {
		dtype = tf.Bfloat16
	}
	s := op.NewScope()
	ones := op.Cast(s.SubScope("cast"), op.Fill(s.SubScope("fill"),
		op.Const(s.SubScope("shape"), []int32{n, n}), op.Const(s.SubScope("one"), float32(1))), dtype)
	product := op.Cast(s.SubScope("back"), op.MatMul(s.SubScope("product"), ones, ones), tf.Float)
	sum := op.Sum(s.SubScope("sum"), product, op.Const(s.SubScope("axes"), []int32{0, 1}))
	g, err := s.Finalize()
	if err != nil {
		return fmt.Errorf("build graph: %w", err)
	}
	session, err := tf.NewSession(g, nil)
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	out, err := session.Run(nil, []tf.Output{sum}, nil)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if got := out[0].Value(); got != float32(n*n*n) {
		return fmt.Errorf("the sum of a product of ones is %v, expected %d", got, n*n*n)
	}
	return nil
}

func examineCPU() cpuFound {
	c := kernels.ThisCPU()
	found := cpuFound{
		Model: c.Model, Cores: runtime.NumCPU(), Quota: runtime.NumCPU(), Features: append([]string{}, c.Features...), Kernels: kernels.InUse(),
		Expected: runtime.GOARCH != "amd64" || cpu.X86.HasAVX, slow: runtime.GOARCH == "amd64" && !kernels.OneDNN(),
	}
	// Go sets its number of threads from the container's limit, unless GOMAXPROCS is set.
	if os.Getenv("GOMAXPROCS") == "" {
		found.Quota = runtime.GOMAXPROCS(0)
	}
	return found
}

// colonField returns the value of the first line "name : value" of text.
func colonField(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// examineMemory reads Linux' memory files under root; on other systems everything is 0.
func examineMemory(root string) memoryFound {
	info, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return memoryFound{}
	}
	kib := func(name string) int64 {
		n, _ := strconv.ParseInt(strings.TrimSuffix(colonField(string(info), name), " kB"), 10, 64)
		return n << 10
	}
	found := memoryFound{TotalBytes: kib("MemTotal"), AvailableBytes: kib("MemAvailable")}
	// In a container /proc shows the host's memory; the container's own limit is in its
	// control group.
	limit := number(filepath.Join(root, "sys/fs/cgroup/memory.max"))
	if limit > 0 && limit < found.TotalBytes {
		found.TotalBytes = limit
		used := number(filepath.Join(root, "sys/fs/cgroup/memory.current"))
		found.AvailableBytes = min(found.AvailableBytes, max(0, limit-used))
	}
	return found
}

// number reads a file that holds one number; 0 if it holds something else ("max").
func number(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// examineNVIDIA looks for NVIDIA's driver under root without opening a device.
func examineNVIDIA(root string) nvidiaFound {
	found := nvidiaFound{DeviceFiles: []string{}}
	if f, err := os.Open(filepath.Join(root, "proc/driver/nvidia/version")); err == nil {
		defer f.Close()
		if scan := bufio.NewScanner(f); scan.Scan() {
			found.Driver = driverVersion(scan.Text())
		}
	}
	// Glob's only error is a malformed pattern.
	gpus, _ := filepath.Glob(filepath.Join(root, "proc/driver/nvidia/gpus/*"))
	found.GPUs = len(gpus)
	if files, _ := filepath.Glob(filepath.Join(root, "dev/nvidia[0-9]*")); files != nil {
		found.DeviceFiles = files
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")),
		"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "usr/lib/wsl/lib", "usr/local/nvidia/lib64", "usr/local/cuda/compat") {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(root, dir)
		}
		if path := filepath.Join(dir, "libcuda.so.1"); exists(path) {
			found.LibCUDA = path
			break
		}
	}
	return found
}

// driverVersion finds "570.86.15" in the first line of /proc/driver/nvidia/version,
// which has a varying number of words before and after it.
func driverVersion(line string) string {
	for _, word := range strings.Fields(line) {
		if strings.Count(word, ".") >= 1 && strings.Trim(word, "0123456789.") == "" {
			return word
		}
	}
	return "unknown"
}

// judge turns an examination into findings, each after the findings it depends on.
func judge(e examination) []finding {
	return []finding{
		judgeLibrary(e.Library), judgeCPU(e.CPU), judgeKernels(e.CPU), judgeMemory(e.Memory),
		judgeDevices(e), judgeGPU(e), judgePrecision(e), judgeCompute(e.Compute),
	}
}

func judgeLibrary(l libraryFound) finding {
	f := finding{Check: "library", Status: statusOK, Found: "TensorFlow " + l.Version}
	if len(l.Files) > 0 {
		f.Found += " from " + filepath.Dir(l.Files[0])
	}
	if err := compareVersions(l.Version, l.BuiltFor, l.Files); err != nil {
		f.Status = statusFail
		f.Found += ", and galaxy was built for " + l.BuiltFor
		f.Mend = "run `make build`, which fetches that version; unset LD_LIBRARY_PATH if it names another"
	}
	return f
}

func judgeCPU(c cpuFound) finding {
	features := strings.Join(c.Features, " ")
	if features == "" {
		features = "no vector instructions that TensorFlow uses"
	}
	f := finding{Check: "cpu", Status: statusOK, Found: usage.Count(c.Cores, "core") + ", " + features}
	if c.Model != "" {
		f.Found = c.Model + ", " + f.Found
	}
	switch {
	case !c.Expected:
		f.Status = statusFail
		f.Mend = "TensorFlow's wheels need a CPU with AVX; set TENSORFLOW_ROOT to a libtensorflow built for this one and run `make build`"
	case c.Quota < c.Cores:
		f.Status = statusWarn
		f.Found += fmt.Sprintf("; this container may use %d at a time", c.Quota)
		f.Mend = fmt.Sprintf("TensorFlow starts one thread a core: give --threads %d", c.Quota)
	}
	return f
}

// memoryNeeded is the memory for training ResNet34 at 128 px and batch 32, with
// a margin. Memory is about proportional to the number of pixels and the batch.
const memoryNeeded = 2 << 30

func judgeMemory(m memoryFound) finding {
	const gib = 1 << 30
	f := finding{Check: "memory", Status: statusOK}
	if m.TotalBytes == 0 {
		f.Found = "this system does not tell"
		return f
	}
	f.Found = fmt.Sprintf("%.1f GiB, %.1f GiB of it available", float64(m.TotalBytes)/gib, float64(m.AvailableBytes)/gib)
	if m.AvailableBytes < memoryNeeded {
		f.Status = statusWarn
		f.Mend = fmt.Sprintf("training at 128 px with batch 32 takes up to %d GiB: end other programs, or train with a smaller --batch or cache --size", memoryNeeded/gib)
	}
	return f
}

func judgeDevices(e examination) finding {
	f := finding{Check: "devices", Status: statusOK}
	if e.devicesErr != nil || len(e.Devices) == 0 {
		f.Status = statusFail
		f.Found = "TensorFlow shows none"
		if e.devicesErr != nil {
			f.Found += ": " + e.devicesErr.Error()
		}
		f.Mend = "the library is damaged or not made for this machine: remove .tensorflow and run `make build`"
		return f
	}
	var names []string
	for _, d := range e.Devices {
		names = append(names, d.Name)
	}
	f.Found = strings.Join(names, ", ")
	return f
}

// judgeAsked checks that the devices requested by --devices exist.
func judgeAsked(asked session.Devices) finding {
	names, err := asked.Resolve(session.Config{})
	if err != nil {
		return finding{Check: "--devices", Status: statusFail, Found: err.Error(), Mend: "ask for others (GALAXY_DEVICES says it, too), or mend what is wrong with them above"}
	}
	return finding{Check: "--devices", Status: statusOK, Found: fmt.Sprintf("%s: %s", asked, shortName(strings.Join(names, ", ")))}
}

func judgeGPU(e examination) finding {
	n := e.NVIDIA
	used := e.usesGPU()
	f := finding{Check: "gpu", Status: statusOK}
	present := n.Driver != "" || len(n.DeviceFiles) > 0
	driver := fmt.Sprintf("NVIDIA driver %s, %d GPUs, %d device files", n.Driver, n.GPUs, len(n.DeviceFiles))
	switch {
	case used:
		f.Found = driver + "; TensorFlow uses them"
	case !present && !e.Library.CUDA:
		f.Found = "no NVIDIA driver, and the CPU build of TensorFlow"
	case !present:
		f.Status = statusWarn
		f.Found = "the CUDA build of TensorFlow, but no NVIDIA driver: the CPU is used"
		f.Mend = "install NVIDIA's driver, or start the container with its GPUs (docker run --gpus all)"
	case !e.Library.CUDA:
		f.Status = statusWarn
		f.Found = driver + "; this is the CPU build of TensorFlow"
		f.Mend = "run `make build GPU=1` to use the GPU"
	case len(n.DeviceFiles) == 0:
		f.Status = statusFail
		f.Found = driver
		f.Mend = "the driver is there but no /dev/nvidia*: run nvidia-smi once as root, or start the container with its GPUs (docker run --gpus all)"
	case n.LibCUDA == "":
		f.Status = statusFail
		f.Found = driver + ", but no libcuda.so.1"
		f.Mend = "install the driver's user part (libcuda.so.1) in the same version, or let the container runtime mount it"
	default:
		f.Status = statusFail
		f.Found = driver + "; TensorFlow does not use them"
		f.Mend = "TensorFlow's log says why (galaxy doctor --verbose); if NVIDIA's libraries are missing, run scripts/fetch-tensorflow --gpu"
	}
	return f
}

func judgePrecision(e examination) finding {
	f := finding{Check: "precision", Status: statusOK, Found: "auto is " + string(e.AutoPrecision)}
	switch {
	case e.usesGPU():
		f.Found += " on GPUs; bfloat16 and --xla are faster on most (docs/devices.md)"
	case e.AutoPrecision == network.Float32:
		f.Found += ", which pays most here: bfloat16 and float16 would be emulated, which is no faster"
	default:
		f.Found += ", which pays most here; float16 would be emulated"
	}
	return f
}

func judgeKernels(c cpuFound) finding {
	f := finding{Check: "kernels", Status: statusOK, Found: c.Kernels}
	if c.slow {
		f.Status = statusWarn
		f.Found += ": training takes about three times as long as with oneDNN's, and int8 models cannot be used"
		f.Mend = "unset TF_ENABLE_ONEDNN_OPTS, which turns oneDNN's kernels off"
	}
	return f
}

func judgeCompute(tried []computeFound) finding {
	f := finding{Check: "compute", Status: statusOK}
	var good []string
	for _, c := range tried {
		if c.Error != "" {
			f.Status = statusFail
			f.Found = fmt.Sprintf("a small matrix product in %s failed: %s", c.Precision, c.Error)
			f.Mend = "TensorFlow cannot compute here; its log (galaxy doctor --verbose) says more. Remove .tensorflow and run `make build` if the library may be damaged"
			return f
		}
		good = append(good, string(c.Precision))
	}
	f.Found = "a small matrix product is right in " + strings.Join(good, " and ")
	return f
}

func printFindings(w io.Writer, findings []finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%-4s  %-9s  %s\n", f.Status, f.Check, f.Found)
		if f.Mend != "" {
			fmt.Fprintf(w, "%17s→ %s\n", "", f.Mend)
		}
	}
}
