package events_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"galaxy/train/events"
)

// A run that stopped after step 3 resumes from its checkpoint at step 2; the
// curve has no doubled points.
func Example() {
	dir, err := os.MkdirTemp("", "events")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "events.out.tfevents.0.galaxy")

	w, err := events.OpenAppend(path, 0)
	if err != nil {
		log.Fatal(err)
	}
	var checkpoint int64
	for step := range int64(3) {
		if err := w.Scalars(step+1, time.Now(), events.Scalar{Tag: "train/loss", Value: 1 / float64(step+1)}); err != nil {
			log.Fatal(err)
		}
		if step+1 == 2 {
			checkpoint = w.Size()
		}
	}
	fmt.Println(w.Size() > checkpoint)
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	w, err = events.OpenAppend(path, checkpoint)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Size() == checkpoint)
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// true
	// true
}
