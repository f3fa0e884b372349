// Package stretch maps the pixels of astronomical images, which may have any range, to the 8 bits
// of a network's images.
//
//	s, err := stretch.Parse("asinh,0.5%..99.7%") // or stretch.Default
//	err = s.Apply(dst, bands, names)             // float32 of any range to 1…255; 0 is nothing there
//
// A Stretch is a small value. Its text is part of a cache's manifest, of a run's configuration and
// of a SavedModel's metadata, so that images are predicted as the network was trained.
//
// Errors say what is wrong with an image, such as that it is blank, and can follow its name.
package stretch
