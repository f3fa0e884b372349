// Package synth makes a data set of simulated galaxies in the layout of the
// Kaggle Galaxy Zoo challenge.
package synth
