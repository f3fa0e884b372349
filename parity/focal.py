"""Focal loss judged: the original's formula in Keras, a float64 twin, minimisers.

In: {"alpha": a, "gamma": g, "hard": {"logits": [...], "labels": [...]},
     "soft": {"logits": [...], "labels": [...]}} for one of the jobs under "jobs",
    and "minimise": [{"label": y, "alpha": a, "gamma": g}, ...]
Out: {"jobs": [{"hard32", "hard64", "soft64": {"loss": [...], "gradient": [...]}}],
      "minimisers": [decimal string, ...]}

Losses and gradients are per element; a mean over n elements is their sum / n.
"""

import decimal
from decimal import Decimal

import keras
import numpy as np
import tensorflow as tf

import keras_resnet as kr


def original(logits, labels, alpha, gamma, dtype):
    """The original project's formula, for labels 0 and 1, in Keras operations.

    Word for word: clip y_pred to [eps, 1-eps]; alpha_t = alpha where y_true = 1,
    else 1-alpha; p_t = y_pred where y_true = 1, else 1-y_pred;
    -alpha_t (1-p_t)^gamma log p_t.
    """
    ops = keras.ops
    x = tf.constant(logits, dtype)
    y = tf.constant(labels, dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        p = ops.clip(ops.sigmoid(x), 1e-7, 1 - 1e-7)
        alpha_t = ops.where(ops.equal(y, 1), ops.cast(alpha, dtype), ops.cast(1 - alpha, dtype))
        p_t = ops.where(ops.equal(y, 1), p, 1 - p)
        loss = -alpha_t * ops.power(1 - p_t, ops.cast(gamma, dtype)) * ops.log(p_t)
    return {"loss": loss.numpy().tolist(), "gradient": tape.gradient(loss, x).numpy().tolist()}


def twin(logits, labels, alpha, gamma):
    """The soft-label loss and its derivative by hand, in numpy's float64.

    With p = 1/(1+exp(-x)), q = 1-p, P = -log p, Q = -log q and dp/dx = p q:
    d/dx q^g P = -q^g (g p P + q) and d/dx p^g Q = p^g (g q Q + p).
    """
    x, y = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
    p, q = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    P, Q = np.logaddexp(0, -x), np.logaddexp(0, x)
    loss = y * alpha * q**gamma * P + (1 - y) * (1 - alpha) * p**gamma * Q
    gradient = (-y * alpha * q**gamma * (gamma * p * P + q)
                + (1 - y) * (1 - alpha) * p**gamma * (gamma * q * Q + p))
    return {"loss": loss.tolist(), "gradient": gradient.tolist()}


def minimiser(label, alpha, gamma):
    """The logit at which the soft-label loss is smallest, found from loss values alone.

    No derivative and no closed form: a scan for the lowest grid point, then
    golden-section search. A minimum is flat, so a search on values gives half
    the digits that it computes with; 50 digits leave about 24 good ones.
    """
    decimal.getcontext().prec = 50
    y, a, g = Decimal(label), Decimal(alpha), Decimal(gamma)
    one = Decimal(1)

    def power(base, exponent):
        return one if not exponent else base**exponent

    def loss(x):
        e = (-x).exp()
        p = one / (one + e)
        q = e / (one + e)
        return y * a * power(q, g) * -p.ln() + (one - y) * (one - a) * power(p, g) * -q.ln()

    grid = [Decimal(i) / 2 for i in range(-80, 81)]
    best = min(range(len(grid)), key=lambda i: loss(grid[i]))
    if best in (0, len(grid) - 1):
        raise SystemExit(f"no minimum inside [-40, 40] for label {label}, alpha {alpha}, gamma {gamma}")
    low, high = grid[best - 1], grid[best + 1]
    ratio = (Decimal(5).sqrt() - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > Decimal("1e-20"):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return str((low + high) / 2)


def main():
    spec = kr.read_spec()
    jobs = []
    for job in spec["jobs"]:
        alpha, gamma = job["alpha"], job["gamma"]
        hard, soft = job["hard"], job["soft"]
        jobs.append({
            "hard32": original(hard["logits"], hard["labels"], alpha, gamma, "float32"),
            "hard64": original(hard["logits"], hard["labels"], alpha, gamma, "float64"),
            "soft64": twin(soft["logits"], soft["labels"], alpha, gamma)})
    minimisers = [minimiser(m["label"], m["alpha"], m["gamma"]) for m in spec["minimise"]]
    kr.answer({"jobs": jobs, "minimisers": minimisers})


if __name__ == "__main__":
    main()
