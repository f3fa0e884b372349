// Package imagefile reads image files by their contents: JPEG, PNG, TIFF, WebP, BMP and FITS, of 8 or 16
// bits, grey, in colour, with a palette or with transparency. The name of a file does not matter.
//
//	file, err := imagefile.Open(encoded)           // reads the header alone
//	square, err := crop.Square(file.Width, file.Height)
//	pixels, err = file.Pixels(pixels, square, 3)   // all but JPEG
//
// FITS files, and others whose pixels are to be stretched, are opened as planes of float32, one
// file per band or all bands in one:
//
//	file, err := imagefile.OpenPlanes(encoded, bands, stretch.Default)
//	band, buf, err := file.Planes[0].Values(band, square, buf)
//
// A JPEG is only checked here. TensorFlow decodes it (package graph/images), because the
// SavedModel's serving_jpeg has to give the same pixels.
//
// Sniff names what a file is from its first bytes, also if it is no image: messages say so.
//
// Errors are reasons why a file is broken and can follow its name. Nothing panics on untrusted
// bytes. No image above MaxPixels is decoded, whatever the size of its file.
package imagefile
