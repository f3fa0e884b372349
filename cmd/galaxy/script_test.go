package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"galaxy/data/fits"
	"galaxy/internal/kernels"
)

// underRace tells whether the race detector is on.
var underRace bool

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"galaxy": main, "commands": commands})
}

// tests removes what the tests share when they have ended.
type tests struct{ *testing.M }

func (m tests) Run() int {
	defer func() { _ = os.RemoveAll(shared) }()
	return m.M.Run()
}

// shared is the folder that galaxies makes.
var shared string

// galaxies makes a folder with 60 synthetic galaxies, data, and their cache of 32 px, cache. Most
// tests begin with these two, and to draw galaxies takes longer than to train on them for a while.
var galaxies = sync.OnceValue(func() (err error) {
	if shared, err = os.MkdirTemp("", "galaxies"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"synth", "--out", "data", "--count", "60", "--seed", "5"},
		{"prepare", "--labels", "data/training_solutions_rev1.csv", "--images", "data/images_training_rev1", "--out", "cache", "--size", "32"},
	} {
		c := exec.Command("galaxy", args...)
		c.Dir, c.Env = shared, append(os.Environ(), testVariables(shared, true)...)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", c.Args, err, out)
		}
	}
	return nil
})

// copyGalaxies copies what galaxies has made into a folder: data, cache, or both.
func copyGalaxies(dir string, names ...string) error {
	if err := galaxies(); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(shared, name))); err != nil {
			return err
		}
	}
	return nil
}

// testVariables are those of the environment in which galaxy is run in a folder, with a
// small network or ResNet34.
func testVariables(dir string, small bool) []string {
	variables := []string{
		"HOME=" + dir,               // where TensorFlow's log goes
		"GALAXY_TRAIN_REPORT=false", // scripts that look at reports ask for them
	}
	if small {
		variables = append(variables, "GALAXY_ARCH=resnet6")
	}
	// The kernels are those of the tests.
	for _, name := range []string{"TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA"} {
		if value, set := os.LookupEnv(name); set {
			variables = append(variables, name+"="+value)
		}
	}
	return variables
}

// raced are the scripts that the race detector runs: of all that works in several goroutines, with
// the fewest galaxies that are drawn or trained on twice.
var raced = []string{"cluster", "devices", "fits", "health", "predict", "report", "resume", "stop", "watch", "workflow"}

// TestScripts runs the command lines in testdata/script as a user would, with a small network.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if underRace {
		scripts = slices.DeleteFunc(scripts, func(name string) bool {
			return !slices.Contains(raced, strings.TrimSuffix(filepath.Base(name), ".txtar"))
		})
	}
	testscript.Run(t, testscript.Params{
		Files: scripts,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, testVariables(e.WorkDir, true)...)
			p := &process{dir: filepath.Join(e.WorkDir, ".tmp")} // as testscript's own TMPDIR
			e.Values[ofScript{}] = p
			e.Defer(p.end)
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "onednn":
				return kernels.OneDNN(), nil
			case "quick": // -short, but for the race detector
				return testing.Short() && !underRace, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"timeless": timeless, "jsonkeys": jsonKeys, "freeports": freePorts, "follow": follow, "skies": skies, "samemetrics": sameMetrics,
			"run": runHere, "mistakes": mistakes,
			"galaxies": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(copyGalaxies(ts.MkAbs("."), args...)) },
		},
	})
}

// skies DIR LABELS BAND ... writes FITS files of 20 galaxies, DIR/<id>_<band>.fits, and a table of labels.
func skies(ts *testscript.TestScript, _ bool, args []string) {
	const side, galaxies = 40, 20
	dir, table := ts.MkAbs(args[0]), "id,smooth,featured\n"
	ts.Check(os.MkdirAll(dir, 0o777))
	for id := range galaxies {
		table += fmt.Sprintf("%d,0.%d,0.%d\n", id, id%9+1, 9-id%9)
		for k, band := range args[2:] {
			pixels := make([]float32, side*side)
			for i := range pixels {
				light := 1e-9 * math.Exp(-math.Hypot(float64(i%side-side/2), float64(i/side-side/2))/float64(3+id%9))
				pixels[i] = float32(light * (1 + float64(k) + .1*math.Sin(float64(i*(id+1)))))
			}
			pixels[id] = float32(math.NaN())
			ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d_%s.fits", id, band)), fits.AppendImage(nil, "", pixels, side, side), 0o666))
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(table), 0o666))
}

// clockFields are the fields of a metrics line that the clock decides.
var clockFields = regexp.MustCompile(`"(images_per_second|[a-z_]+_seconds|time)":[^,}]*`)

// timeless FILE leaves out of a metrics file what the clock decides, so that
// cmp can compare it.
func timeless(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := clockFields.ReplaceAllString(ts.ReadFile(name), "")
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

// freePorts NAME… sets variables to ports of the loopback address that nobody
// listened on a moment ago.
func freePorts(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close()
		ts.Setenv(name, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
}

// follow PORT TEXT reads the events of a page of the loopback address until one has a text.
func follow(ts *testscript.TestScript, _ bool, args []string) {
	for {
		answer, err := http.Get("http://127.0.0.1:" + args[0] + "/events") //nolint:noctx // the script's own server
		if err != nil {
			time.Sleep(10 * time.Millisecond) // it does not listen yet
			continue
		}
		lines := bufio.NewReader(answer.Body)
		for line := ""; !strings.Contains(line, args[1]); {
			if line, err = lines.ReadString('\n'); err != nil {
				ts.Fatalf("waiting for %q: %v", args[1], err)
			}
		}
		ts.Check(answer.Body.Close())
		return
	}
}

// jsonKeys FILE KEY… checks that FILE is one JSON object with the keys.
func jsonKeys(ts *testscript.TestScript, _ bool, args []string) {
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	for _, key := range args[1:] {
		if _, ok := object[key]; !ok {
			ts.Fatalf("%s has no %q", args[0], key)
		}
	}
}

// sameMetrics REPORT EVALUATION checks that a report has the metrics of an evaluation, both as JSON.
func sameMetrics(ts *testscript.TestScript, _ bool, args []string) {
	var report struct {
		Step       int64          `json:"step"`
		Split      string         `json:"split"`
		Evaluation map[string]any `json:"evaluation"`
	}
	var evaluation map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &report))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &evaluation))
	for _, key := range []string{"rmse", "rmse_interval", "question_accuracy", "questions", "fraction_calibration", "slices", "baseline"} {
		if evaluation[key] == nil {
			ts.Fatalf("the evaluation has no %q", key)
		}
	}
	for key, got := range report.Evaluation {
		if !reflect.DeepEqual(got, evaluation[key]) {
			ts.Fatalf("the report has %q %v, and the evaluation %v", key, got, evaluation[key])
		}
	}
	if float64(report.Step) != evaluation["step"] || report.Split != evaluation["split"] {
		ts.Fatalf("the report is of step %d and split %s, and the evaluation of %v and %v", report.Step, report.Split, evaluation["step"], evaluation["split"])
	}
}
