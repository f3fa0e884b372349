package labels

import (
	"encoding/json"
	"testing"
)

// A schema without questions survives a file, and no other schema may lack questions.
func TestNone(t *testing.T) {
	text, err := json.Marshal(None())
	if err != nil {
		t.Fatal(err)
	}
	var read Schema
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if !read.IsNone() || read.Width() != 0 || read.Classes().Width() != 0 || read.IsZero() {
		t.Errorf("%s is read as %v, %d columns", text, &read, read.Width())
	}
	if err := None().CheckSums(nil, SumTolerance); err != nil {
		t.Error(err)
	}
	if GalaxyZoo().IsNone() || (*Schema)(nil).IsNone() {
		t.Error("GalaxyZoo, or nil, is None")
	}
	if _, err := New(Definition{Name: "other"}); err == nil {
		t.Error("a schema without questions is accepted")
	}
}
