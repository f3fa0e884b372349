// Package predict writes a network's predictions for a set of images, or its features, as a table:
// CSV, Parquet or NumPy's format. Images are read, decoded and predicted in one stream, so the memory
// does not grow with their number. EachRow reads such a table.
//
// # Types
//
// Config holds the output and the settings. A Source gives the pixels of each row's image: Files decodes
// files, Galaxies reads a cache. A Predictor makes predictions of pixels. Result reports how many rows were
// written and which images are broken.
//
// # Use
//
//	images, err := data.OpenImages(path, data.TestImages) // or OpenImagesByPath, for files with other names
//	defer images.Close()
//	result, err := predict.Run(ctx, predict.Config{Out: "answers.csv", Source: predict.Files{Images: images, …}, …}, predictor)
//
// Run does everything. CheckFormat checks the name of the output beforehand.
//
// # Interruptions
//
// The output is atomic: Out appears when the table is complete. Until then the work is in
// PartialFolder(Out). After an error, a cancelled context or a crash, call Run again with
// the same Config: it reuses the intact blocks of rows, and the result has the same bytes as
// without the interruption. docs/predict.md describes the files.
//
// # Errors
//
// Errors are returned wrapped with the name of the output. Up to Config.MaxBroken broken
// images are not an error: their rows get the mean of the others, and BrokenFile(Out)
// lists them. An image that the machine failed to read is data.ErrUnread and ends the call;
// the work done so far is kept. A Config that differs from that of the unfinished work is an
// error that names the differences.
package predict
