// Package graph builds a network's training step, and its inference graph, as TensorFlow
// graphs and runs them.
//
// The order of calls for training is
//
//	t, err := graph.NewTrainer(graph.TrainerConfig{…}) // build, start a session
//	err = t.Init(seed)                                 // or t.Restore(prefix)
//	err = t.Stage(batch)                               // copy to the devices, during the previous step
//	out, err := t.Step(graph.StepInput{…})             // forward, loss, gradients, update
//	logits, probabilities, err := t.Predict(images)    // inference mode, same weights
//	err = t.Save(prefix)
//	err = t.Close()
//
// and for serving
//
//	g, err := graph.NewInferenceGraph(cfg, posterior, nil) // variables; with weights: constants, batch norm folded
//	inf, err := g.Open(session.Config{})
//	err = inf.Restore(prefix) // variables only
//	logits, probabilities, err := inf.Predict(images)
//	err = inf.Close()
//
// # How a training graph comes about
//
// One replica (forward pass, loss, gradients, their means over replicas, updates)
// is built in a graph of its own, serialised, and imported under a device name for
// each of TrainerConfig.Devices into the graph that runs. Gradient nodes made by
// TensorFlow's C API carry no device, so importing is the only way to place them.
// The graph around the replicas has the inputs, which it splits on the host, and
// the ops that read and write checkpoints. Each optional part of a training graph
// (held images, moving average, sizes, loss scale, several workers) is a row of the
// endpoints (endpoints.go) and the ops that use it.
//
// # Errors
//
// The op.Scope keeps the first graph-building error, and the constructor
// returns it. Every other method returns TensorFlow's error wrapped with the
// verb that failed. Nothing panics on user input.
package graph
