// Package predict makes a table of a network's answers to a set of images: read,
// decoded and predicted in one stream, with as little memory for a million images
// as for a thousand.
//
// Run is the whole of it. It takes the images (data.OpenImages or
// data.OpenImagesByPath) and their order, what decodes them and what predicts, and
// leaves a file that is there whole or not at all; a call that was interrupted is
// gone on with. docs/predict.md describes the files.
package predict
