package synth_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"galaxy/data/synth"
)

// Three galaxies in the layout of Kaggle's files.
func ExampleGenerate() {
	dir, err := os.MkdirTemp("", "galaxies")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "small")
	if err := synth.Generate(context.Background(), synth.Config{Out: out, Count: 3, Seed: 1}); err != nil {
		fmt.Println(err)
		return
	}
	images, err := os.ReadDir(filepath.Join(out, synth.ImagesDir))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, i := range images {
		fmt.Println(i.Name())
	}
	// Output:
	// 105988.jpg
	// 449927.jpg
	// 793866.jpg
}
