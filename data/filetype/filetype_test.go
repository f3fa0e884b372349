package filetype

import (
	"strings"
	"testing"
)

// Every row is found by its own bytes, so none hides behind an earlier one.
func TestOf(t *testing.T) {
	for _, s := range signatures {
		head := s.start + strings.Repeat("x", s.at-len(s.start)) + s.bytes
		if got := Of([]byte(head)); got != s.name {
			t.Errorf("%q is %q, want %q", head, got, s.name)
		}
	}
	for _, text := range []string{"", "id,class\n1,E\n", "BMI,x\n1,2\n", "RIFF,WEBP\n1,2\n", "PK,ra\n1,2\n", "II,x\n", "RDX,x\n", strings.Repeat("x", 300)} {
		if got := Of([]byte(text)); got != "" {
			t.Errorf("%q is %q", text, got)
		}
	}
}
