package data_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/labels"
)

// centre is a Decoder in plain Go that keeps single pixels of the centre of an
// image. Real ones average; galaxy's uses TensorFlow's kernels.
type centre struct {
	crop imagefile.Crop
	size int
}

func (d centre) Decode(dst []byte, file imagefile.File) error {
	m, err := jpeg.Decode(bytes.NewReader(file.Encoded))
	if err != nil {
		return err
	}
	square, err := d.crop.Square(file.Width, file.Height)
	if err != nil {
		return err
	}
	for y := range d.size {
		for x := range d.size {
			r, g, b, _ := m.At(square.Min.X+x*square.Dx()/d.size, square.Min.Y+y*square.Dy()/d.size).RGBA()
			copy(dst[(y*d.size+x)*3:], []byte{byte(r >> 8), byte(g >> 8), byte(b >> 8)})
		}
	}
	return nil
}

// writeGalaxies makes a tiny data set in Kaggle's layout: grey squares of which
// everyone says that they are smooth, completely round and not odd.
func writeGalaxies(dir string, n int) error {
	grey := image.NewRGBA(image.Rect(0, 0, data.ImageSide, data.ImageSide))
	draw.Draw(grey, grey.Rect, image.NewUniform(color.Gray{102}), image.Point{}, draw.Src)
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, grey, nil); err != nil {
		return err
	}
	images := filepath.Join(dir, "images_training_rev1")
	if err := os.Mkdir(images, 0o777); err != nil {
		return err
	}
	var rows strings.Builder
	fmt.Fprintf(&rows, "GalaxyID,%s\n", strings.Join(labels.GalaxyZoo().Columns(), ","))
	for id := range n {
		fmt.Fprint(&rows, 100000+id)
		for _, column := range labels.GalaxyZoo().Columns() {
			vote := 0
			if column == "Class1.1" || column == "Class6.2" || column == "Class7.1" {
				vote = 1
			}
			fmt.Fprintf(&rows, ",%d", vote)
		}
		fmt.Fprintln(&rows)
		name := filepath.Join(images, fmt.Sprintf("%d.jpg", 100000+id))
		if err := os.WriteFile(name, picture.Bytes(), 0o666); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "training_solutions_rev1.csv"), []byte(rows.String()), 0o666)
}

// From Kaggle's files to batches.
func Example() {
	dir, err := os.MkdirTemp("", "galaxy")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := writeGalaxies(dir, 20); err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	config := data.PrepareConfig{
		Labels:  filepath.Join(dir, "training_solutions_rev1.csv"),
		Images:  filepath.Join(dir, "images_training_rev1"), // or the zip
		Out:     filepath.Join(dir, "cache"),
		Size:    32,
		Crop:    224,
		Decoder: "image/jpeg, single pixels",
	}
	manifest, err := data.Prepare(ctx, config, centre{config.Crop, config.Size})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v, mean of red %.2f\n", manifest.Counts, manifest.ChannelMean[0])

	cache, err := data.Open(config.Out)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	loader, err := data.NewLoader(cache, data.LoaderConfig{Split: data.Train, Batch: 4, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer loader.Close()
	batch, err := loader.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(loader.StepsPerEpoch(), "steps an epoch")
	fmt.Println(batch.Len(), "examples,", len(batch.Images), "bytes,", len(batch.Labels), "labels, pixel", batch.Images[0])
	// Output:
	// {Train:17 Validation:2 Test:1}, mean of red 0.40
	// 4 steps an epoch
	// 4 examples, 12288 bytes, 148 labels, pixel 102
}

// Evaluation sees every example of a split exactly once.
func ExampleLoader_once() {
	dir, err := os.MkdirTemp("", "galaxy")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := writeGalaxies(dir, 30); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	out := filepath.Join(dir, "cache")
	if _, err := data.Prepare(ctx, data.PrepareConfig{
		Labels: filepath.Join(dir, "training_solutions_rev1.csv"),
		Images: filepath.Join(dir, "images_training_rev1"),
		Out:    out,
		Size:   32,
	}, centre{data.DefaultCrop, 32}); err != nil {
		log.Fatal(err)
	}
	cache, err := data.Open(out)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	pass, err := data.NewLoader(cache, data.LoaderConfig{Split: data.Train, Batch: 10, Once: true})
	if err != nil {
		log.Fatal(err)
	}
	defer pass.Close()
	for {
		batch, err := pass.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(batch.Len(), "examples from galaxy", batch.IDs[0])
	}
	// Output:
	// 10 examples from galaxy 100001
	// 10 examples from galaxy 100012
	// 7 examples from galaxy 100023
}

func ExampleSplitOf() {
	for _, id := range []data.ID{"100008", "100023", "100053", "J000411.19+020924.0"} {
		fmt.Println(id, data.SplitOf(id, 0))
	}
	// Output:
	// 100008 train
	// 100023 train
	// 100053 test
	// J000411.19+020924.0 validation
}
