// Package data turns catalogues of galaxies and their images, such as the files of the Galaxy Zoo challenge,
// into batches for training. It does not depend on TensorFlow.
//
// # Types
//
// A Catalog holds the labels of a CSV file, Images lists a folder or a zip of JPEGs, and
// a Decoder makes pixels of one. A Cache is a folder of decoded images and labels in
// memory-mapped files; its Manifest records how it was made. A Loader reads batches from
// a Cache.
//
// A labels.Schema says what the columns of the labels are: PrepareConfig sets it, and the
// Manifest records it. The schema of a catalogue with one class for each galaxy (KeyColumns.Class, or folders)
// is that of its classes: 1 for the galaxy's and 0 for the others. Otherwise labels are float32 vote fractions exactly as in the catalogue's columns,
// already multiplied down the path of the questions. Images are uint8 RGB, row-major,
// [N, Size, Size, channels]; scaling to floating point is part of the network.
//
// # Use
//
// Once per set of images:
//
//	manifest, err := data.Prepare(ctx, data.PrepareConfig{…}, decoder) // writes the cache
//
// For every training run:
//
//	cache, err := data.Open(dir)       // checks everything but the pixels
//	defer cache.Close()
//	loader, err := data.NewLoader(cache, data.LoaderConfig{Split: data.Train, …})
//	defer loader.Close()
//	batch, err := loader.Next(ctx)     // valid until the next call
//
// Prepare calls ReadCatalog for the labels, OpenImages for the files and Match for both
// together. Package predict uses OpenImagesAs alone, as it needs neither
// labels nor a cache.
//
// # What is deterministic
//
// SplitOf decides which galaxies are for training, validation and test: a pure function
// of the GalaxyID and a seed. A SplitRule can decide otherwise: by classes, by groups, or as the
// catalogue says. The order of a Loader is a pure function of (seed, epoch), so
// its position is one number. The bytes of a cache do not depend on the number of
// workers or on interruptions. docs/cache-format.md describes its files.
//
// # Errors
//
// Errors say what was expected, what came, in which file, line or galaxy, and what to do;
// show them to the user as they are. A broken image is not an error: the manifest lists
// it, up to PrepareConfig.MaxBroken. An image that the machine failed to read is
// ErrUnread, and is never taken for a broken one. Nothing panics on untrusted bytes.
package data
