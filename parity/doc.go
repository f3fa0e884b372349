// Package parity judges galaxy by TensorFlow's own Python and by Keras 3.
//
// It holds nothing but tests, which need the build tag parity and, in
// GALAXY_PYTHON, a Python interpreter with the packages of requirements.txt:
// `make parity` makes such an interpreter and runs them. Go drives: a test
// builds our graph, writes what the judge needs (checkpoints, raw little-endian
// arrays, one JSON file), runs a script of this folder, and compares the one
// JSON object that it prints. README.md states every tolerance and its reason.
package parity
