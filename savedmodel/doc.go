// Package savedmodel writes a trained network as a TensorFlow SavedModel and
// opens SavedModels to predict with them.
//
// The order of calls is
//
//	err := savedmodel.Export(ctx, savedmodel.Config{…}) // checkpoint → folder
//	m, err := savedmodel.Load(dir, savedmodel.LoadConfig{})
//	logits, probabilities, err := m.Predict(images)
//
// # What a model serves
//
// One meta graph with the tag "serve" and two signatures with the same outputs,
// logits and probabilities, float32 [-1, outputs] each. The probabilities are
// vote fractions, recovered from the logits according to the training loss, so
// they need no further calibration.
//
//	serving_default   images uint8 [-1, size, size, channels]
//	serving_jpeg      jpegs string [-1], encoded JPEG files
//
// The graph also has the tensors feature_maps, float32 [-1, h, w, channels], the last layer of the network before the
// average over the image, and features, float32 [-1, channels], after it: package explain reads them.
// Models of versions without them load as before.
//
// Channels are RGB, one of grey, or up to 8 others (Metadata.Bands). The model of other bands has no
// serving_jpeg.
//
// serving_jpeg takes files of any size from the crop up. It decodes, crops and downscales
// them with the ops that made the training data (images.DecodeJPEG), bit for bit, and runs
// the network on the result. One broken file fails its batch. A file that is truncated
// below the crop is not detected, because the rows below the crop are not read.
//
// # Third-party models
//
// Load also opens models that other programs export, for example Keras' model.export.
// LoadConfig then names the range of float32 pixels, and the signature, the input and the
// outputs if Load cannot find them.
//
// # Layout
//
//	OUT/saved_model.pb                             graph and signatures
//	OUT/variables/variables.index                  weights under their checkpoint's
//	OUT/variables/variables.data-00000-of-00001    names (not in a frozen model)
//	OUT/assets.extra/galaxy.json                   Metadata, with the sha256 of the others
//	OUT/assets.extra/tf_serving_warmup_requests    requests with which servers warm up (Warmups)
//	OUT/README.md                                  the model card, to be changed by people
//
// In the variables form the weights are variables, restored when the model is
// loaded, and batch norm is an op. In the frozen form the weights are constants
// inside saved_model.pb and batch norm is folded into the convolutions, which
// TensorFlow then fuses further: predictions are faster (BenchmarkPredict),
// except the first, which takes a second longer, and outputs differ by
// rounding.
//
// # Files
//
// Export writes to a hidden folder next to OUT, syncs every file and folder, and
// renames it to OUT as the last step. OUT is atomic: it is complete or absent, whenever
// the process or the machine stops. An existing OUT is an error. A killed process can leave
// the hidden folder, named ".OUT.tmp-…", which may be deleted.
//
// # Trust
//
// A SavedModel is a program. Its graph can read and write files as the user who
// runs it. Load only models you trust: the checksums in galaxy.json detect damage,
// not malice.
package savedmodel
