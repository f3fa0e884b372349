package predict

import (
	"bytes"
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// The last column has the name of the largest one, and its own name is not another column's. A broken image has the mean
// of the others and no class.
func TestClass(t *testing.T) {
	t.Parallel()
	const n = 9
	dir := folder(t, n, galaxyName)
	if err := os.WriteFile(filepath.Join(dir, galaxyName(n-3)), []byte("broken"), 0o666); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, open(t, dir))
	cfg.Columns, cfg.Project, cfg.Class, cfg.MaxBroken = []string{"a", "class", "predicted_class"}, nil, true, 1
	if _, err := Run(context.Background(), cfg, &hashPredictor{columns: 3}); err != nil {
		t.Fatal(err)
	}
	table, err := csv.NewReader(strings.NewReader(read(t, cfg.Out))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if head := strings.Join(table[0], ","); head != "GalaxyID,a,class,predicted_class,predicted_predicted_class" {
		t.Fatal(head)
	}
	cfg.Out = strings.TrimSuffix(cfg.Out, ".csv") + ".parquet"
	if _, err := Run(context.Background(), cfg, &hashPredictor{columns: 3}); err != nil {
		t.Fatal(err)
	}
	raw := []byte(read(t, cfg.Out))
	reader := parquet.NewReader(bytes.NewReader(raw))
	rows := make([]parquet.Row, n+1)
	if got, _ := reader.ReadRows(rows); got != n {
		t.Fatalf("%d rows, expected %d", got, n)
	}
	none := 0
	for i, line := range table[1:] {
		largest, class := 1, line[4]
		for k := 2; k <= 3; k++ {
			a, _ := strconv.ParseFloat(line[largest], 64)
			if b, _ := strconv.ParseFloat(line[k], 64); b > a {
				largest = k
			}
		}
		if class == "" {
			none++
		} else if class != table[0][largest] {
			t.Errorf("%v: class %q", line, class)
		}
		if got := string(rows[i][4].ByteArray()); got != class {
			t.Errorf("row %d has the class %q in Parquet and %q in the CSV", i, got, class)
		}
	}
	if none != 1 {
		t.Errorf("%d galaxies without a class, expected the broken one", none)
	}
}
