// Package metric compares predicted vote fractions with the catalogue's, or with its counts of
// votes, and predicted classes with the classes that the catalogue gives or that follow from it.
//
//	constant, err := metric.FitConstant(schema, trainRows) // the baseline
//	e := metric.New(schema, loss, constant)
//	for … { err = e.Add(logits, probabilities, labels) } // batch by batch
//	scores, err := e.Scores()       // while a network is trained, or
//	result, err := e.Result(traits…) // with intervals, baseline and slices
//
// All arrays are float32, row-major [n, schema.Width()]: vote fractions, or their clean
// classes (see package labels). Sums are float64 and run in the order in which examples
// were added, so results do not depend on the batch size. Memory is 184 bytes per
// example plus 24 per example and question, with counts 80, and 8 per example and class.
//
// # The scores
//
// With y the labels, p the probabilities, N examples and C columns:
//
//   - rmse = √(Σᵢⱼ (pᵢⱼ − yᵢⱼ)² / (C·N)); with labels.GalaxyZoo the score of the
//     Kaggle competition "Galaxy Zoo - The Galaxy Challenge" (2014). Smaller is
//     better.
//   - accuracy_argmax37: the fraction of examples whose largest column is the
//     same in p and y; of equal columns the first counts. Keras'
//     categorical accuracy computes the same on soft labels.
//   - The rmse of a question is taken over all examples and its own columns only.
//     With c columns of question q, Σ c·rmse_q² = C·rmse².
//   - question_accuracy: the fraction of all questions put to volunteers for which
//     the most chosen answer also has the largest probability:
//     Σᵢq wᵢq·hitᵢq / Σᵢq wᵢq over examples i and questions q, where w is the fraction
//     of volunteers who reached the question (Schema.Reached): the sum of its answers'
//     columns, except that in labels.GalaxyZoo the columns of questions 6 and 8 are
//     relative to those who reached question 6, so w is 1 − Class1.3 for question 6,
//     and (1 − Class1.3)·Class6.1 for question 8. Each question also has its own accuracy.
//   - loss: the mean of the training loss over all examples, in float64 from the
//     logits; undefined without a loss.
//
// # Counts of votes
//
// With k of the N votes for a question, p are the fractions of those who answer it, and
// y = k/N. A question without votes has no weight:
//
//   - rmse = √(Σ N·(p − y)² / Σ N), over examples and columns; a question's rmse is over its
//     own columns. The constant with the smallest rmse is the fraction of all votes.
//   - fraction_calibration.ece is over the pairs of p and y with N > 0.
//   - The accuracies have the same definition, with the weight N divided by the largest N of a
//     question that everybody is asked (Schema.Reached). For accuracy_argmax37, p and y are
//     multiplied down the path that leads to their question (Schema.OfAll). A galaxy without
//     votes counts as wrong.
//   - votes.log_likelihood: the mean over examples of log P(k), in nats, summed over
//     questions; a question's own is its term. P is the Dirichlet-multinomial distribution of the
//     predicted concentrations or, if the loss has no concentrations, the multinomial
//     distribution of the predicted fractions (package votes).
//   - votes.coverage_50, votes.coverage_90: the fraction of the counts k with N > 0 that are
//     inside the central interval of 50 or 90 % of the predicted distribution of k, which
//     is beta-binomial or binomial. A count at the end of an interval is inside in part, so that
//     the value is 0.5 or 0.9 if the prediction is right, for few votes too
//     (votes.Distribution.Within).
//   - votes.noise_rmse: the noise ceiling, the expected rmse of a predictor that knows the
//     fractions from which the votes were drawn. It is √(Σ p(1−p) / Σ N), because the fraction of
//     N votes has the variance p(1−p)/N. y(1−y)·N/(N−1) estimates p(1−p) if N > 1; examples
//     with N = 1 get the mean of the others.
//
// The constant predictor has the fractions of all votes of the train split. For the
// likelihood and the intervals it also has the spread at which Dirichlet-multinomial votes vary as
// the counts of the train split do (method of moments).
//
// # Classes
//
// The keys of these scores start with five_class, whatever the number of classes:
// labels.GalaxyZoo has five. They are computed on the examples that have a clean
// class (Schema.ClassOf of the labels). The predicted class is the class with the
// largest deciding column, the column that ends the class's path
// (Schema.ClassScores): in labels.GalaxyZoo 7.1 round, 7.2 in between, 7.3 cigar, 2.1
// edge-on, 4.1 spiral. Each column is the fraction of all volunteers who followed the
// path to that answer, so they can be compared. On the votes themselves the rule is
// always right: if a class's thresholds are reached, at least half of the volunteers
// are in its column. The thresholds would be no rule for predictions, which reach
// them only if they are confident. A network of classes predicts the largest of its
// columns.
//
// From the confusion matrix, with TP, FP and FN of a class: precision
// TP/(TP+FP), recall TP/(TP+FN), F1 = 2TP/(2TP+FP+FN); macro F1 is the mean over
// the classes that occur or are predicted. 0/0 is undefined. Balanced accuracy is the mean recall of
// the classes that occur (Brodersen et al. 2010, "The Balanced Accuracy and Its Posterior
// Distribution").
//
// From the columns themselves, whichever is the largest:
//
//   - roc_auc of a class, the area under the ROC curve of its column: of all pairs of an example of
//     the class and one of another class, the fraction in which the former's column is larger, with
//     ties as half (the Mann-Whitney statistic; Fawcett 2006, "An Introduction to ROC Analysis",
//     Pattern Recognition Letters 27, 861). The mean over the classes that occur is roc_auc of all.
//     It is undefined if all examples have one class.
//   - log_loss: the mean of −log p, with p the fraction of the true class's column in the sum of the
//     compared columns, at least 2⁻²³. Smaller is better.
//
// # Calibration
//
// The expected calibration error (Guo et al. 2017, arXiv 1706.04599, equation 3),
// over M = 15 bins of equal width of the prediction:
//
//	ece = Σ_m |B_m|/n · |mean prediction in B_m − mean outcome in B_m|
//
// For the classes the prediction is the confidence, the largest column's fraction of
// the sum of the compared columns, and the outcome is whether the class is right.
// For the fractions the sum runs over all C·N pairs of p and y. A bin includes its
// lower end (Guo's includes the upper one), and the last bin both ends.
//
// # Intervals
//
// Every metric has a 95 % bootstrap interval: 1,000 resamples of as many galaxies
// as there are, drawn with replacement and a fixed seed. Every metric uses the
// same resamples; the interval is from the 2.5th to the 97.5th percentile (Efron
// & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13). Resamples
// with an undefined metric are skipped; if they are more than half, there is no
// interval. The interval covers only the choice of galaxies, not the variation
// between training runs.
//
// An expected calibration error is a sum of absolute values, so it is never
// below 0. Noise alone raises it, more so with fewer examples, and the
// resamples, noisier than the sample, raise it again. Its interval is therefore
// too high and can lie above the value.
//
// # The baseline
//
// A score is meaningful only compared with the best predictor that ignores the
// image. [Constant] predicts the column means of the train split for rmse,
// calibration of the fractions and loss; for the accuracies, the column that is
// most often the largest there, which is not always the column with the largest
// mean; and the most frequent class, with the classes' fractions as the compared columns. So its
// roc_auc is 0.5, and its balanced accuracy 1 divided by the number of classes.
//
// # Views
//
// [Views] measures how far predictions and features move when an image is rotated and mirrored. With p_ivj, the
// prediction for galaxy i in view v and column j in percent, of which view 0 is the image as it is, V views, C columns and N galaxies,
//
//	mean_change    = Σ_i Σ_{v≥1} Σ_j |p_ivj − p_i0j| / (N·(V−1)·C)
//	largest_change = Σ_i max_{v≥1, j} |p_ivj − p_i0j| / N
//
// and, of the features f_iv, feature_cosine = Σ_i Σ_{v≥1} f_iv·f_i0 / (|f_iv| |f_i0|) / (N·(V−1)). Intervals are over galaxies.
//
// # Slices
//
// Result takes traits, numbers that describe every example, and scores the
// quartiles of each trait separately.
package metric
