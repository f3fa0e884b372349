// Package objective says what a network is trained for: its head, which turns
// logits into probabilities, and its loss.
//
//	o, err := objective.New(objective.Config{Head: objective.Tree, Loss: objective.CrossEntropy})
//	loss := o.Loss(scope, logits, labels)       // a graph.Loss
//	p := o.Posterior(scope, logits)             // a graph.Posterior
//	value := o.LossOf(logits, labels)           // the same in float64, a metric.Loss
//
// # Heads
//
// With x the logits of an example:
//
//   - answers: pⱼ = 1/(1+exp(−xⱼ)), 37 probabilities that know nothing of each
//     other.
//   - tree: qⱼ = exp(xⱼ) / Σ exp(xₖ) over the answers k of j's question, the
//     share of those asked the question who give answer j, and pⱼ = qⱼ·p_parent,
//     where the parent is the answer whose column the question's answers sum to
//     (data.Question.Parent), 1 for questions 1 and 6. All the sum rules of the
//     catalogue hold by construction.
//   - five: a softmax over the five clean classes; trained on the galaxies that
//     have one.
//
// # Losses
//
// With y the labels, each is the mean over the columns j:
//
//   - focal: see package focal. For independent answers only: its way back to
//     vote fractions is one of single probabilities.
//   - crossentropy: of answers −yⱼ·log pⱼ − (1−yⱼ)·log(1−pⱼ); of the tree and of
//     the five classes −yⱼ·log qⱼ, with q the probability inside the question.
//     (Not by TensorFlow's SoftmaxCrossEntropyWithLogits, whose gradient takes it
//     for granted that labels sum to 1; a question's sum to its parent's share.)
//     The column yⱼ already is the share of all who gave answer j, so the log of
//     the product p would count every question again for each one below it, and
//     its minimum would not be at the vote fractions.
//   - mse: (pⱼ − yⱼ)², whose mean is the square of the RMSE that is reported.
//
// Cross-entropy and mse are proper scores: their minimum is at p = y (Gneiting &
// Raftery 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation").
//
// Weights multiply the terms of a column (answers), of a question (tree) or of a
// class (five). Those of columns and questions leave the minimum where it is.
// Those of classes move it towards heavy classes, which is what they are for;
// the probabilities that come out are then not the classes' shares.
//
// Label smoothing s (Szegedy et al. 2016, arXiv 1512.00567, §7) trains on
// (1−s)·y + s·u, where u spreads the same total evenly: 1/2 for an answer by
// itself, the parent's share over the number of answers within a question, 1/5
// for a class. Posterior undoes it, (p − s·u)/(1−s), cut off at 0, so that what
// is reported and exported are shares of volunteers.
package objective
