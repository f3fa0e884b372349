// Package images turns image files into pixels, and pixels into what a network sees: decoding,
// alignment, augmentation, normalisation.
//
//	d, err := images.NewDecoder(crop, size)      // one file at a time
//	jpegs, pixels, err := images.DecodeJPEGs(…)  // inside a graph, for a SavedModel
//	x := images.Input{Mean: …, Std: …}.Normalise(scope, pixels, images.Random{Key: seed})
package images
