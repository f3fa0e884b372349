//go:build race

package synth

// raceDetector says that the tests run under the race detector, where
// arithmetic takes many times as long.
const raceDetector = true
