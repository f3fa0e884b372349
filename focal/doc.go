// Package focal implements focal loss for labels anywhere in [0, 1] and its
// inverse, from the logits of a network trained with it to the vote fractions.
//
// # The loss
//
// For a logit x, with p = 1/(1+exp(−x)) and q = 1−p, a label y in [0, 1], a
// weight α in (0, 1) and a focus γ ≥ 0, the loss of one element is
//
//	y·α·q^γ·(−log p) + (1−y)·(1−α)·p^γ·(−log q)
//
// and the loss of a batch is the mean over all its elements. On labels 0 and 1
// this is the focal loss of Lin et al. 2017, "Focal Loss for Dense Object
// Detection", arXiv 1708.02002, equations 4 and 5 (the paper's defaults are
// α = 0.25 and γ = 2). With γ = 0 and α = 1/2 it is half the binary
// cross-entropy.
//
// Implementations that choose between the two terms by testing whether the
// label equals 1 treat every vote fraction below 1 as 0. The weighted form
// above does not, and agrees with them for labels 0 and 1.
//
// # The inverse
//
// Focal loss is not a proper score: if a fraction y of the labels is 1, the
// loss is smallest at a probability p that is not y. At the minimum the
// derivative with respect to x is zero:
//
//	y = B/(A+B), A = α·q^γ·(γ·p·(−log p) + q), B = (1−α)·p^γ·(γ·q·(−log q) + p)
//
// (for γ alone: Charoenphakdee et al. 2021, "On Focal Loss for Class-Posterior
// Probability Estimation", CVPR 2021, arXiv 2011.09172). [Params.Posterior]
// builds this; metrics and exported models use it. With r(x) = exp(x)·(−log p),
// which rises from 0 to 1, it reads
//
//	logit y = log((1−α)/α) + (γ+1)·x − log((1+γ·r(x)) / (1+γ·r(−x)))
//
// in which nothing cancels or overflows. Since r′ = r−p, the right side has the
// derivative
//
//	γ+1 − γ·(r(x)−p)/(1+γ·r(x)) − γ·(r(−x)−q)/(1+γ·r(−x))
//	  ≥ γ+1 − γ·(r(x)+r(−x)−1) > 1
//
// so the fraction rises strictly with the logit. The order of scores does not
// change, nor does the largest answer if all answers share α, and
// [Params.LogitFor] always exists.
//
// # Limits
//
// The recovered fraction is correct for a network that has reached the minimum.
// Before that, it is no better than the network's logits. Large γ makes the
// loss flat around its minimum, so that small errors of the logit weigh more:
// at γ = 5, α = 1/2 and y = 1/2 a logit off by 0.1 is a fraction off by 0.14,
// against 0.025 at γ = 0.
//
// # Use
//
//	params := focal.Default()
//	err := params.Validate()
//	loss := params.Loss(scope, logits, labels)     // to train on
//	fraction := params.Posterior(scope, logits)    // to report and export
//
// Both methods have the types that package graph takes. The methods on float64
// do the same without TensorFlow. Graph-building errors stay in the scope.
package focal
