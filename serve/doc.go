// Package serve answers requests for a model's predictions over a network: with TensorFlow Serving's REST and
// gRPC interfaces, so that clients written for it work unchanged, and with a page.
//
//	s, err := serve.New(serve.Default("models/galaxy", open)) // loads and warms up the newest version
//	…
//	err = s.Serve(ctx, rest, rpc) // until ctx ends; then it finishes what is under way
//
// # The path of a request
//
// The handler of an API (rest.go, grpc.go) reads the request, within the limits of Config, and finds the
// version to use. Server.predict counts its images among those of the queue, decodes files on several cores, and hands the
// images to the batcher of that version (batch.go). The batcher gathers the images of many requests and runs the network
// on one batch at a time. A request is answered by one version from end to end: a new version (version.go) has
// a batcher of its own, and the old one is closed after its last request.
//
// # Errors
//
// Errors about a request have a code of gRPC, which REST clients get as the HTTP status that TensorFlow Serving
// gives for it. A file that cannot be decoded is an error of its own item: the numbers of that item are NaN (in
// JSON null), and the output "errors" has the text. Only if all files of a request are broken the request
// fails.
//
// # The page
//
// page.go is a form without a script: a POST is answered with the page and the answers in it, and page.js only fills
// the form with what is dropped or pasted. Nothing that a client sends reaches a disk, a path, or the answer to another client.
package serve
