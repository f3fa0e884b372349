package predict_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/predict"
)

// last makes a pixel of the last byte of a file, where a program has
// images.Decoder.
type last struct{}

func (last) Decode(dst []byte, file imagefile.File) error {
	dst[0] = file.Encoded[len(file.Encoded)-1]
	return nil
}

// even is a network of one pixel and two answers.
type even struct{}

func (even) Predict(images []byte) (logits, probabilities []float32, err error) {
	for i := 0; i < len(images); i += 3 {
		odd := float32(images[i] % 2)
		probabilities = append(probabilities, 1-odd, odd)
	}
	return nil, probabilities, nil
}

func ExampleRun() {
	dir, err := os.MkdirTemp("", "predict-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	var file bytes.Buffer
	if err := jpeg.Encode(&file, image.NewRGBA(image.Rect(0, 0, 30, 30)), nil); err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"M 51.jpg", "M 101.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, name), file.Bytes(), 0o600); err != nil {
			fmt.Println(err)
			return
		}
		file.WriteByte(0) // behind the picture
	}
	images, err := data.OpenImagesByPath(dir, data.TestImages)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer images.Close()
	out := filepath.Join(dir, "answers.csv")
	done, err := predict.Run(context.Background(), predict.Config{
		Out: out, Source: predict.Files{Images: images, Order: []int{0, 1}, Decoder: last{}}, Columns: []string{"even", "odd"}, Shape: imagefile.Shape{Size: 1, Channels: 3},
	}, even{})
	if err != nil {
		fmt.Println(err)
		return
	}
	table, err := os.ReadFile(out)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d rows\n%s", done.Rows, table)
	// Output:
	// 2 rows
	// path,even,odd
	// M 101.jpg,1.00000,0.00000
	// M 51.jpg,0.00000,1.00000
}
