package train

import (
	"errors"
	"fmt"
	"strings"

	"galaxy/internal/usage"
)

// Sizes is a schedule of image sizes: early steps use smaller images, which
// take less time (progressive resizing; Touvron et al. 2019, arXiv 1906.06423,
// and Tan & Le 2021, arXiv 2104.00298, §4). After the last phase images have
// the model's own size. Evaluation always uses that size.
type Sizes []SizePhase

// SizePhase is a run of steps on images of one size.
type SizePhase struct {
	Size  int   `json:"size"`  // height and width, pixels
	Until int64 `json:"until"` // step before which it ends; it starts where the previous phase ends
}

// Validate checks a schedule for a model of the given size, whose network
// takes images of least pixels or more, and a run of total steps.
func (s Sizes) Validate(least, size int, total int64) error {
	var errs []error
	begin := int64(0)
	for _, p := range s {
		if p.Size < least || p.Size > size {
			errs = append(errs, &usage.Field{Name: "sizes", Got: fmt.Sprintf("%d px", p.Size), Expected: fmt.Sprintf("%d px to the images' %d", least, size)})
		}
		if p.Until <= begin || p.Until >= total {
			errs = append(errs, &usage.Field{
				Name: "sizes", Got: fmt.Sprintf("%d px from step %d to %d", p.Size, begin, p.Until),
				Expected: fmt.Sprintf("phases that follow each other and leave some of the run's %d steps to all pixels", total),
			})
		}
		begin = p.Until
	}
	return errors.Join(errs...)
}

// At returns the image size of a step, the first being 0; size 0 is the model's
// own.
func (s Sizes) At(step int64) int {
	for _, p := range s {
		if step < p.Until {
			return p.Size
		}
	}
	return 0
}

// String lists the phases, "" without any.
func (s Sizes) String() string {
	var phases []string
	for _, p := range s {
		phases = append(phases, fmt.Sprintf("%d px to step %d", p.Size, p.Until))
	}
	return strings.Join(phases, ", ")
}
