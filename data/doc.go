// Package data turns the files of the Galaxy Zoo challenge into batches for
// training.
//
// The way of an image:
//
//  1. ReadCatalog reads the labels, OpenImages lists a folder or a zip of JPEGs.
//  2. Prepare brings both together, has every image decoded once by the Decoder
//     it is given, and writes a cache: a folder with the pixels, the labels and
//     a Manifest. SplitOf decides which galaxies are for training, for
//     validation and for the test; it is a pure function of the GalaxyID and a
//     seed.
//  3. Open maps a cache into memory.
//  4. A Loader gathers batches ahead of their use, in an order that is a pure
//     function of (seed, epoch), so that a position in the stream is a number.
//
// Tree describes the question tree behind the 37 columns, CheckSums its sum
// rules. Labels are float32 vote fractions exactly as in Kaggle's columns,
// already multiplied down the path of the tree. Images are uint8 RGB, row-major,
// [N, Size, Size, 3]; scaling to floating point is left to the model.
//
// Errors say what was wrong in which file, line or galaxy and what to do; they
// are meant to be shown to the user as they are. Broken images are no errors:
// they are listed in the manifest, as far as PrepareConfig.MaxBroken allows.
// The package does not panic on foreign bytes. There is no TensorFlow in it.
package data
