// Package explain shows why a network predicts what it does: which part of an image spoke for
// an output (Grad-CAM), and which other galaxies the network sees as similar.
//
//	m, err := explain.New(network)                    // of a run or a SavedModel
//	maps, err := m.GradCAM(images, outputs)           // one output for each image
//	picture, err := explain.Overlay(image, shape, maps[0], 0.6)
//	features, err := m.Features(images)
//	neighbours, err := explain.Nearest(features, catalogue, m.Channels(), 5) // or a Search, of a catalogue in parts
//
// A network that does not have the tensors feature_maps and features, because another program
// or an older version of galaxy exported it, gives ErrUnrecorded. Networks in int8 have them.
package explain
