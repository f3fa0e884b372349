// Package metric compares predicted vote fractions with those of the catalogue, and
// predicted clean classes with those that follow from it.
//
//	constant, err := metric.FitConstant(schema, trainRows) // the baseline
//	e := metric.New(schema, loss, constant)
//	for … { err = e.Add(logits, probabilities, labels) } // batch by batch
//	scores, err := e.Scores()       // while a network is trained, or
//	result, err := e.Result(traits…) // with intervals, baseline and slices
//
// All arrays are float32, row-major [n, schema.Width()]: vote fractions, or their clean
// classes (see package labels). Sums are float64 and run in the order in which examples
// were added, so results do not depend on how they were cut into batches. Per example,
// 160 bytes are kept and 24 more for each question.
//
// # The scores
//
// With y the labels, p the probabilities, N examples and C columns:
//
//   - rmse = √(Σᵢⱼ (pᵢⱼ − yᵢⱼ)² / (C·N)); with labels.GalaxyZoo the score of the
//     Kaggle competition "Galaxy Zoo - The Galaxy Challenge" (2014). Smaller is
//     better.
//   - accuracy_argmax37: the fraction of examples whose largest column is the
//     same in p and y; of equal columns the first counts. It is what Keras'
//     categorical accuracy computes on soft labels.
//   - The rmse of a question is taken over all examples and its own columns only.
//     With c columns of question q, Σ c·rmse_q² = C·rmse².
//   - question_accuracy: of all the times a volunteer was asked a question, the
//     fraction at which the answer most volunteers chose is the one with the
//     largest probability: Σᵢq wᵢq·hitᵢq / Σᵢq wᵢq over examples i and
//     questions q, where w is the fraction of volunteers who reached the question
//     (Schema.Reached). It is the value of the columns that the question's answers sum
//     to, but in labels.GalaxyZoo the columns of questions 6 and 8 are taken over those
//     who reached question 6: for question 6 it is 1 − Class1.3, and for question 8
//     (1 − Class1.3)·Class6.1. Each question also has its own.
//   - loss: the mean of the training loss over all examples, in float64 from the
//     logits; not defined without a loss.
//
// # Classes
//
// Their keys start with five_class, whatever their number: labels.GalaxyZoo has five.
// They are scored on the examples that have a clean class (Schema.ClassOf of
// the labels). The one predicted is that of the largest of the columns which end the
// classes' paths (Schema.LastColumns), in labels.GalaxyZoo 7.1
// round, 7.2 in between, 7.3 cigar, 2.1 edge-on, 4.1 spiral. Each is the fraction
// of all volunteers who went the whole way to that answer, so they can be
// compared, and on the votes themselves the rule is always right there: whichever
// class's thresholds are reached, at least half of the volunteers are in its
// column. The thresholds themselves would be no rule for predictions, which
// reach them only where they are sure. A network of classes predicts the
// largest of its columns.
//
// From the confusion matrix, with TP, FP and FN of a class: precision
// TP/(TP+FP), recall TP/(TP+FN), F1 = 2TP/(2TP+FP+FN); macro F1 is the mean over
// the classes that occur or are predicted. What would be 0/0 is not defined.
//
// # Calibration
//
// The expected calibration error (Guo et al. 2017, arXiv 1706.04599, equation 3),
// over M = 15 bins of equal width of the prediction:
//
//	ece = Σ_m |B_m|/n · |mean prediction in B_m − mean outcome in B_m|
//
// For the classes the prediction is the confidence, the largest column's
// share of the columns compared, and the outcome whether the class is right. For the
// fractions it is taken over all C·N pairs of p and y. A bin holds its lower end
// (Guo's holds its upper one), the last both.
//
// # Intervals
//
// Every figure comes with a 95 % bootstrap interval: galaxies are drawn with
// replacement, as many as there are, 1,000 times, with a fixed seed, and every
// figure is computed from the same resamples; the interval goes from the 2.5th to
// the 97.5th percentile (Efron & Tibshirani 1993, "An Introduction to the
// Bootstrap", chapter 13). Resamples in which a figure is not defined are
// skipped; if they are more than half there is no interval. It covers only the
// choice of galaxies, not another training run.
//
// An expected calibration error is a sum of absolute values and so never below
// 0: noise alone lifts it, the more the fewer the examples, and the resamples,
// noisier than the sample, once more. Its interval is then high, and can be
// above the value.
//
// # The baseline
//
// A score means as much as it is better than the best predictor that ignores the
// image. [Constant] predicts the column means of the train split for rmse,
// calibration of the fractions and loss; for the accuracies the column that is
// most often the largest there, which is not always the one with the largest
// mean; and the most frequent clean class, with its fraction as the confidence.
//
// # Slices
//
// Result takes traits, numbers known of every example, and scores the quartiles of
// each separately.
package metric
