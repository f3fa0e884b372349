// Package objective defines what a network is trained for: its head, which turns
// logits into probabilities, and its loss.
//
//	o, err := objective.New(objective.Default(objective.Tree, objective.CrossEntropy), schema)
//	loss := o.Loss(scope, logits, labels)       // a graph.Loss
//	p := o.Posterior(scope, logits)             // a graph.Posterior
//	value := o.LossOf(logits, labels)           // the same in float64, a metric.Loss
//
// # Heads
//
// With x the logits of an example:
//
//   - independent ("answers" in config.json and as a flag): pⱼ = 1/(1+exp(−xⱼ)),
//     one probability per column.
//   - tree: qⱼ = exp(xⱼ) / Σ exp(xₖ) over the answers k of j's question, the
//     fraction of those asked the question who give answer j, and pⱼ = qⱼ·Σ p_parent,
//     where the parents are the answers whose columns the question's answers sum to
//     (labels.Question.Parents), or pⱼ = qⱼ if there are none. All the sum rules of the
//     schema hold by construction.
//   - classes (formerly "five"): a softmax over the schema's classes; trained on the galaxies
//     that have a class: all of a schema of plain classes (labels.Schema.OfClasses), and otherwise
//     those on which the volunteers agree.
//
// The table of heads is in head.go.
//
// # Losses
//
// Each loss is a file: [CrossEntropy], [Dirichlet], [Focal], [MSE], [Poly1]. With y the labels,
// the loss of an example is the mean of the loss's formula over the columns.
//
// For counts of votes k a loss is the negative logarithm of a probability of the votes, with all
// factorials, and the loss of an example is the sum over the questions: the natural unit of a
// likelihood, which also weights a question by its votes. A question without votes has the loss
// 0 and the gradient 0. The tree head then predicts fractions of those who answer each question.
//
// Cross-entropy and mse are proper scores: their minimum is at p = y (Gneiting &
// Raftery 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation"). The
// other losses come with an inverse: Posterior turns the logits at their minimum
// back into the labels.
//
// Weights multiply the terms of a column (independent), of a question (tree) or of a
// class (classes). Weights of columns and questions do not move the minimum. Weights of
// classes move it towards heavy classes, which is their purpose; the probabilities
// are then not the classes' fractions.
//
// Label smoothing s (Szegedy et al. 2016, arXiv 1512.00567, §7) trains on (1−s)·y
// + s·u, where u spreads the same total evenly: 1/2 for an independent column; for
// a question, the sum of its answers divided by their number; for a class, 1
// divided by the number of classes. Posterior undoes the smoothing, (p −
// s·u)/(1−s), cut off at 0, so that reported and exported probabilities are
// fractions of volunteers.
//
// # A new loss
//
// Add a file that registers a row of the table: the loss's constants and its forms, binary
// for independent columns, categorical for the answers to a question, likelihood for counts of
// votes. Each form has the
// graph, the same in float64, and the inverse to vote fractions. The tests of this package,
// and the tests against Keras in parity, cover every row of the table.
package objective
