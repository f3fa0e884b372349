package serve

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"galaxy/data"
	"galaxy/data/imagefile"
	"galaxy/data/stretch"
	"galaxy/labels"
	"galaxy/predict"
)

// A Model is one version of a model, opened.
type Model struct {
	// Predictor is called by one goroutine at a time.
	Predictor predict.Predictor
	// Shape is the shape of its images.
	Shape imagefile.Shape
	// Target is the schema whose columns its outputs are.
	Target *labels.Schema
	// Columns are the names of the columns of probabilities and, if the model has them, of concentrations, as in the
	// table of galaxy predict. nil is those of Target.
	Columns []string
	// Concentrations, if set, returns the concentrations of the votes (package train/votes) for the logits and probabilities of N images,
	// float32 [N, columns] each. They are one more output.
	Concentrations func(logits, probabilities []float32) ([]float32, error)
	// Project makes every row of probabilities satisfy the sum rules of Target, as galaxy predict
	// does.
	Project bool
	// Decoder makes images of files; nil for a model that takes images only. Bands and Stretch
	// decide how files are read.
	Decoder data.Decoder
	Bands   imagefile.Bands
	Stretch stretch.Stretch
	// Warning, if not empty, is a message for the user about how the model runs here.
	Warning string
	Explainer
	// Close ends its sessions. It is called once, after the last call of the others.
	Close func() error

	logits bool // it returns logits too; known after probe
}

// An Explainer explains predictions on the page. Its functions are called concurrently with the model's Predictor.
type Explainer struct {
	// GradCAM, if set, returns where images, uint8 [N, Size, Size, Channels], speak for one output each
	// (explain.Model.GradCAM).
	GradCAM func(images []byte, outputs []int) ([][]float32, error)
	// Neighbours, if set, returns the galaxies of a catalogue that are most similar to an image, uint8 [Size, Size,
	// Channels]. Otherwise Alone may say why it is not, in a sentence for the operator without its full stop.
	Neighbours func(image []byte) ([]Neighbour, error)
	Alone      string
}

// probe predicts a black image, by which it learns the model's outputs.
func (m *Model) probe() error {
	logits, _, err := m.Predictor.Predict(make([]byte, m.Shape.Bytes()))
	m.logits = logits != nil
	return err
}

// width returns the number of a row's columns.
func (m *Model) width() int { return m.Target.Width() }

// decode makes the image of a file, in dst, uint8 [Size, Size, Channels]. The file may be anything
// that galaxy predict reads; an image of more pixels than given is an error.
func (m *Model) decode(dst, encoded []byte, pixels int) error {
	file, err := imagefile.OpenFor([][]byte{encoded}, m.Bands, m.Stretch)
	if errors.Is(err, imagefile.ErrFITS) {
		return errors.New("a FITS file: this model was not trained on FITS; expected " + m.formats())
	}
	if wrong := (*imagefile.MismatchError)(nil); errors.As(err, &wrong) { // clients cannot choose the bands
		return fmt.Errorf("%s; expected %s", wrong.Has, m.formats())
	}
	if err != nil {
		return err
	}
	if file.Width*file.Height > pixels {
		return fmt.Errorf("the image is %d×%d pixels; expected at most %d: cut out the galaxy, or make the image smaller (the service's max-pixels sets this)", file.Width, file.Height, pixels)
	}
	err = m.Decoder.Decode(dst, file)
	if small := (*imagefile.TooSmallError)(nil); errors.As(err, &small) { // clients cannot choose the crop
		return fmt.Errorf("the image is %d×%d pixels; expected at least %d×%[3]d: the service's crop sets this", small.Width, small.Height, small.Least)
	}
	return err
}

// formats describes the files that the model takes.
func (m *Model) formats() string {
	if m.Stretch.IsZero() {
		return imagefile.Pictures
	}
	bands := m.Bands.Names()
	names := strings.Join(bands, ",")
	fits := fmt.Sprintf("FITS with the bands %s in one file (images with these EXTNAMEs, or a cube of these %d planes)", names, len(bands))
	switch {
	case slices.ContainsFunc(bands, imagefile.InFile):
		fits = fmt.Sprintf("FITS with %s in one file", names)
	case len(bands) == 1:
		fits = "FITS with one plane"
	}
	switch len(bands) {
	case 1:
		return fits + ", or PNG, TIFF, WebP or BMP in grey"
	case 3:
		return fits + ", or PNG, TIFF, WebP or BMP in colour"
	}
	return fits
}

// answers are the predictions for n images, float32 [n, width] in row-major order each. logits and concentrations
// are nil for a model without. An image that could not be predicted has NaN, and the reason in errs;
// errs is nil if there is none.
type answers struct {
	logits, probabilities, concentrations []float32
	errs                                  []error
}

// predict predicts images, uint8 [n, Size, Size, Channels].
func (m *Model) predict(images []byte) (answers, error) {
	n, err := m.Shape.Count(images)
	if err != nil {
		return answers{}, err
	}
	logits, probabilities, err := m.Predictor.Predict(images)
	if err != nil {
		return answers{}, err
	}
	width := m.width()
	if len(probabilities) != n*width || m.logits && len(logits) != n*width {
		return answers{}, fmt.Errorf("the model gives %d probabilities and %d logits for %d images: expected %d of each", len(probabilities), len(logits), n, n*width)
	}
	a := answers{probabilities: probabilities}
	if m.logits {
		a.logits = logits
	}
	if m.Concentrations != nil {
		if a.concentrations, err = m.Concentrations(logits, probabilities); err != nil {
			return answers{}, err
		}
	}
	for i := range n {
		if err := m.finish(probabilities[i*width : (i+1)*width]); err != nil {
			a.fail(i, n, width, fail(codes.Internal, "%v", err))
		}
	}
	return a, nil
}

// finish checks a row of probabilities, and makes it satisfy the sum rules if that is wanted.
func (m *Model) finish(row []float32) error {
	for _, v := range row {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return errors.New("the model's answer is not finite")
		}
	}
	if m.Project {
		return m.Target.Project(row)
	}
	return nil
}

// fail records why image i of n has no predictions.
func (a *answers) fail(i, n, width int, err error) {
	if a.errs == nil {
		a.errs = make([]error, n)
	}
	a.errs[i] = err
	for _, values := range [][]float32{a.logits, a.probabilities, a.concentrations} {
		if values != nil {
			for j := range width {
				values[i*width+j] = float32(math.NaN())
			}
		}
	}
}
