package train

import (
	"flag"
	"os"
	"testing"

	"galaxy/internal/arch"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		arch.Stages = arch.Small
	}
	os.Exit(m.Run())
}
