package serve_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"galaxy/data/imagefile"
	"galaxy/labels"
	"galaxy/serve"
)

// brightness predicts the brightness of the first pixel.
type brightness struct{}

func (brightness) Predict(images []byte) (logits, probabilities []float32, err error) {
	for i := 0; i < len(images); i += 4 {
		p := float32(images[i]) / 255
		probabilities = append(probabilities, p, 1-p)
	}
	return nil, probabilities, nil
}

// Serve a model, and ask it as a client of TensorFlow Serving does.
func Example() {
	schema, err := labels.New(labels.Definition{Name: "light", Values: labels.Fractions, Questions: []labels.Question{
		{Text: "Is it bright?", Answers: []labels.Answer{{Name: "bright", Text: "Yes"}, {Name: "dark", Text: "No"}}},
	}})
	if err != nil {
		panic(err)
	}
	open := func(string) (*serve.Model, error) {
		return &serve.Model{
			Predictor: brightness{}, Shape: imagefile.Shape{Size: 2, Channels: 1}, Target: schema,
			Close: func() error { return nil },
		}, nil
	}
	s, err := serve.New(serve.Default("models/light", open))
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, listener, nil) }()

	answer, err := http.Post("http://"+listener.Addr().String()+"/v1/models/galaxy:predict", "application/json",
		strings.NewReader(`{"instances": [[[[51], [0]], [[0], [0]]]]}`))
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(answer.Body)
	fmt.Print(string(text))
	cancel()
	fmt.Println(err, <-ended)
	// Output:
	// {"predictions":[[0.2,0.8]]}
	// <nil> <nil>
}
