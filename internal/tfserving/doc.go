// Package tfserving has the messages and services of TensorFlow Serving's interface, as Go code.
//
// The .proto files are those of TensorFlow Serving at commit 9d981c5c (Apache License 2.0, like galaxy),
// https://github.com/tensorflow/serving/tree/9d981c5c/tensorflow_serving/apis. Three of them, which say so, have only the
// parts that galaxy uses, so that the others that they import are not needed; what is sent stays the same. TensorFlow's own
// messages are those of the bindings: one process can register each message once only.
//
// To generate the code again, with protoc of Python's grpcio-tools 1.80 or newer, protoc-gen-go and protoc-gen-go-grpc in PATH:
//
//	internal/tfserving/generate PYTHON
package tfserving
