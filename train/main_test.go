package train

import (
	"os"
	"testing"

	"galaxy/internal/arch"
)

func TestMain(m *testing.M) {
	arch.Stages = arch.Small // TestResumeIsExact has ResNet34
	os.Exit(m.Run())
}
