// Package metric scores predicted vote fractions against those of the
// catalogue.
//
//	constant, err := metric.FitConstant(trainRows)     // the baseline
//	e := metric.New(loss, constant)
//	for … { err = e.Add(logits, probabilities, labels) } // batch by batch
//	result, err := e.Result()
//
// All arrays are float32, row-major [n, 37], the columns as in Kaggle's file
// (see package data). Sums are float64 and run in the order in which examples
// were added, so results do not depend on how they were cut into batches. Per
// example, 16 bytes are kept, for the intervals.
//
// # The scores
//
// With y the labels, p the probabilities, N examples and 37 columns:
//
//   - rmse = √(Σᵢⱼ (pᵢⱼ − yᵢⱼ)² / (37·N)), the score of the Kaggle competition
//     "Galaxy Zoo - The Galaxy Challenge" (2014). Smaller is better.
//   - accuracy_argmax37: the share of examples whose largest column is the
//     same in p and y; of equal columns the first counts. It is what Keras'
//     categorical accuracy computes on soft labels.
//   - question_accuracy: of all the times a volunteer was asked a question, the
//     share at which the answer most volunteers chose is the one with the
//     largest probability: Σᵢq wᵢq·hitᵢq / Σᵢq wᵢq over examples i and
//     questions q, where w is the share of volunteers who reached the question.
//     It is the value of the column that the question's answers sum to, but
//     the columns of questions 6 and 8 are taken over those who reached
//     question 6: for question 6 it is 1 − Class1.3, and for question 8
//     (1 − Class1.3)·Class6.1. Each question's own is beside it.
//   - loss: the mean of the training loss over all examples and columns,
//     computed in float64 from the logits.
//
// # Intervals
//
// rmse and accuracy_argmax37 come with a 95 % bootstrap interval: galaxies are
// drawn with replacement, as many as there are, 1,000 times, with a fixed seed;
// the interval goes from the 2.5th to the 97.5th percentile of the scores
// (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13). It
// speaks of the choice of galaxies only, not of another training run.
//
// # The baseline
//
// A score is worth what it is above the best predictor that does not look at
// the image. [Constant] answers the column means of the train split for rmse
// and loss, and for the accuracies the column that is most often the largest
// there, which is not always the one with the largest mean.
package metric
