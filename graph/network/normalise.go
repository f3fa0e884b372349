package network

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"galaxy/internal/usage"
)

// Normalise names the statistics of the channels by which images are normalised: "" and
// NormaliseByCache, those of the training images; NormaliseByImageNet; or numbers, as
// NormaliseBy writes them. Weights are worth most with the statistics that they were trained with.
type Normalise string

// The names.
const (
	NormaliseByCache    Normalise = "cache"
	NormaliseByImageNet Normalise = "imagenet"
)

// Statistics of ImageNet's pixels on the scale 0 to 1, by which most weights for RGB images expect
// these to be normalised (timm/data/constants.py, IMAGENET_DEFAULT_MEAN and IMAGENET_DEFAULT_STD).
var (
	imageNetMean = []float64{0.485, 0.456, 0.406}
	imageNetStd  = []float64{0.229, 0.224, 0.225}
)

// NormaliseBy names the statistics mean and std, as in imagenet or 0.5,0.5:0.25,0.3.
func NormaliseBy(mean, std []float64) Normalise {
	if slices.Equal(mean, imageNetMean) && slices.Equal(std, imageNetStd) {
		return NormaliseByImageNet
	}
	text := func(values []float64) string {
		var all []string
		for _, x := range values {
			all = append(all, strconv.FormatFloat(x, 'g', -1, 64))
		}
		return strings.Join(all, ",")
	}
	return Normalise(text(mean) + ":" + text(std))
}

// Statistics returns the mean and the standard deviation of each channel, nil for those of the
// training images. Config.Validate checks the numbers.
func (n Normalise) Statistics() (mean, std []float64, err error) {
	switch n {
	case "", NormaliseByCache:
		return nil, nil, nil
	}
	return n.numbers(string(NormaliseByCache) + ", ")
}

// Numbers is Statistics where there are no training images: NormaliseByCache is an error.
func (n Normalise) Numbers() (mean, std []float64, err error) { return n.numbers("") }

// numbers returns the statistics of ImageNet or those that n lists. other are names that the caller takes too.
func (n Normalise) numbers(other string) (mean, std []float64, err error) {
	if n == NormaliseByImageNet {
		return slices.Clone(imageNetMean), slices.Clone(imageNetStd), nil
	}
	wrong := &usage.Field{Name: "normalise", Got: n, Expected: fmt.Sprintf("%s%s, or a mean for each channel, a colon and a standard deviation for each, such as 0.5,0.5:0.25,0.3", other, NormaliseByImageNet)}
	means, stds, found := strings.Cut(string(n), ":")
	for _, side := range []struct {
		text string
		to   *[]float64
	}{{means, &mean}, {stds, &std}} {
		for number := range strings.SplitSeq(side.text, ",") {
			x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil || !found {
				return nil, nil, wrong
			}
			*side.to = append(*side.to, x)
		}
	}
	if len(mean) != len(std) {
		return nil, nil, wrong
	}
	return mean, std, nil
}
