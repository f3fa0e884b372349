"""Likelihoods of vote counts judged: SciPy's distributions, and gradients by TensorFlow's own Python.

In: {"questions": [number of answers of each], "jobs": [{"loss": "dirichlet" or "crossentropy",
     "least": least concentration, "logits": [[...]], "votes": [[...]]}]}
Out: {"jobs": [{"loss": mean over galaxies of -log p of all votes, "gradient": [[...]],
     "inside": [[...]] of each count, the fraction inside the central 90 % interval; NaN without votes}]}
"""

import numpy as np
import tensorflow as tf
from scipy import stats

import keras_resnet as kr


def concentrations(job, x):
    """From least on as e to the x, and at most 100 more."""
    return job["least"] + 1 / (1 / 100 + tf.exp(-x))


def minus_log(job, x, k):
    """What depends on the logits, [N], for the gradient: the root of the votes' variance over a multinomial one's weights it."""
    if job["loss"] == "crossentropy":
        return -tf.reduce_sum(k * tf.nn.log_softmax(x), 1)
    a, n = concentrations(job, x), tf.reduce_sum(k, 1)
    total = tf.reduce_sum(a, 1)
    root = tf.stop_gradient(tf.sqrt((total + n) / (total + 1)))
    return root * (tf.math.lgamma(n + total) - tf.math.lgamma(total)
                   - tf.reduce_sum(tf.math.lgamma(k + a) - tf.math.lgamma(a), 1))


def judge(job, firsts):
    x, votes = tf.constant(job["logits"], tf.float64), np.array(job["votes"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = sum(tf.reduce_mean(minus_log(job, x[:, a:b], tf.constant(votes[:, a:b], tf.float64)))
                    for a, b in zip(firsts, firsts[1:]))
    loss, inside = 0, np.full(votes.shape, np.nan)
    for a, b in zip(firsts, firsts[1:]):
        for i, k in enumerate(votes[:, a:b]):
            n = int(k.sum())
            if job["loss"] == "crossentropy":
                p = tf.nn.softmax(x[i, a:b]).numpy()
                p /= p.sum()
                loss -= stats.multinomial.logpmf(k, n, p)
                marginals = [stats.binom(n, q) for q in p]
            else:
                alpha = concentrations(job, x[i, a:b]).numpy()
                loss -= stats.dirichlet_multinomial.logpmf(k, alpha, n)
                marginals = [stats.betabinom(n, q, alpha.sum() - q) for q in alpha]
            for j, m in enumerate(marginals if n else []):
                low, high = m.cdf(k[j] - 1), m.cdf(k[j])
                part = max(0, min(high, 0.95) - max(low, 0.05))
                inside[i, a + j] = part and part / m.pmf(k[j])  # far outside the probability is 0
    return {"loss": float(loss) / len(votes), "gradient": tape.gradient(value, x).numpy().tolist(),
            "inside": [[None if np.isnan(v) else float(v) for v in row] for row in inside]}


def main():
    spec = kr.read_spec()
    firsts = np.cumsum([0] + spec["questions"])
    kr.answer({"jobs": [judge(job, firsts) for job in spec["jobs"]]})


if __name__ == "__main__":
    main()
