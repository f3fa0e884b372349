"""Heads and losses judged: the same values and gradients from Keras in float64.

In: {"jobs": [{"head", "loss", its constants, "label_smoothing"?, "weights"?: [...],
     "logits": [[...]], "labels": [[...]]}]}
Out: {"jobs": [{"loss": mean over all elements, "gradient": [[...]],
     "probabilities": [[...]], if these are the sigmoid's or the softmax's}]}
    with null for a job whose loss is not written here

The question tree is written out once more, from the challenge's own page.
"""

import keras
import numpy as np
import tensorflow as tf

import keras_resnet as kr

keras.backend.set_floatx("float64")

# Answers of each question, and the answer whose column they sum to.
COUNTS = [3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6]
PARENTS = [None, "1.2", "2.2", "2.2", "2.2", None, "1.1", "6.1", "2.1", "4.1", "4.1"]
NAMES = [f"{q}.{a}" for q, n in enumerate(COUNTS, 1) for a in range(1, n + 1)]
FIRST = np.cumsum([0] + COUNTS)


def parent(columns, question):
    """The share of those asked a question, a number or [N, 1], from the columns [N, 37]."""
    if PARENTS[question] is None:
        return 1.0
    i = NAMES.index(PARENTS[question])
    return columns[:, i:i + 1]


def tree(logits):
    """Vote fractions, [N, 37]: softmax inside each question, times the parent's share."""
    columns = tf.zeros([logits.shape[0], 0], tf.float64)
    for q in range(11):
        inside = keras.ops.softmax(logits[:, FIRST[q]:FIRST[q + 1]], axis=1)
        columns = tf.concat([columns, inside * parent(columns, q)], 1)  # parents come first
    return columns


def crossentropy(y, x, smoothing, job):
    # One column at a time, as Keras' loss is a mean over the columns.
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    return tf.stack([loss(y[:, j:j + 1], x[:, j:j + 1]) for j in range(y.shape[1])], 1)


def focal(y, x, smoothing, job):
    y = (1 - smoothing) * y + smoothing / 2
    alpha, gamma, p, q = job["alpha"], job.get("gamma", 0), keras.ops.sigmoid(x), keras.ops.sigmoid(-x)
    return -y * alpha * q**gamma * tf.math.log(p) - (1 - y) * (1 - alpha) * p**gamma * tf.math.log(q)


def poly1(y, x, smoothing, job):
    """The paper's CE + epsilon * (1 - pt), of yes with the weight y and of no with 1 - y."""
    y, p = (1 - smoothing) * y + smoothing / 2, keras.ops.sigmoid(x)
    epsilon = job["constants"]["poly_epsilon"]
    yes, no = -tf.math.log(p) + epsilon * (1 - p), -tf.math.log(keras.ops.sigmoid(-x)) + epsilon * p
    return y * yes + (1 - y) * no


def categorical_poly1(y, logits, job):
    """The paper's code (appendix), but that labels may sum to less than 1."""
    pt = tf.reduce_sum(y * tf.nn.softmax(logits), axis=-1)
    return categorical_crossentropy(y, logits, job) + job["constants"]["poly_epsilon"] * (tf.reduce_sum(y, axis=-1) - pt)


def categorical_crossentropy(y, logits, job):
    # Keras' categorical_crossentropy has the right value here and a wrong gradient,
    # softmax - labels: TensorFlow's op takes it for granted that labels sum to 1.
    return -keras.ops.sum(y * keras.ops.log_softmax(logits, axis=1), axis=1)


def categorical_focal(y, logits, job):
    # As Keras' CategoricalFocalCrossentropy, which cuts probabilities off at 1e-7.
    log_q = keras.ops.log_softmax(logits, axis=1)
    return -job["alpha"] * keras.ops.sum(y * (-tf.math.expm1(log_q))**job.get("gamma", 0) * log_q, axis=1)


def mse(y, p, job):
    return (p - y)**2


# The loss of every element from labels, logits and smoothing; that of a question, [N], from its
# smoothed labels and logits; that of every element from labels and probabilities.
BINARY = {"crossentropy": crossentropy, "focal": focal, "poly1": poly1}
CATEGORICAL = {"crossentropy": categorical_crossentropy, "focal": categorical_focal, "poly1": categorical_poly1}
OF_PROBABILITIES = {"mse": mse}
IMPROPER = {"focal", "poly1"}  # smallest elsewhere than at the sigmoid or the softmax


def spread(of_question, n):
    """A question's loss spread over its columns: the mean is over columns."""
    return tf.repeat(of_question[:, None] / n, n, 1)


def judge(job):
    x = tf.constant(job["logits"], tf.float64)
    y = tf.constant(job["labels"], tf.float64)
    smoothing, weights = job.get("label_smoothing", 0), job.get("weights")
    head, kind = job["head"], job["loss"]
    width = y.shape[1]
    if kind not in (BINARY if head == "answers" else CATEGORICAL) and kind not in OF_PROBABILITIES:
        return None
    with tf.GradientTape() as tape:
        tape.watch(x)
        if head == "answers":
            probabilities = keras.ops.sigmoid(x)
        elif head == "tree":
            probabilities = tree(x)
        else:
            probabilities = keras.ops.softmax(x)
        if kind in OF_PROBABILITIES:
            element = OF_PROBABILITIES[kind](y, probabilities, job)
        elif head == "answers":
            element = BINARY[kind](y, x, smoothing, job)
        elif head == "tree":
            parts = []
            for q, n in enumerate(COUNTS):
                labels = y[:, FIRST[q]:FIRST[q + 1]]
                labels = (1 - smoothing) * labels + smoothing * parent(y, q) / n
                parts.append(spread(CATEGORICAL[kind](labels, x[:, FIRST[q]:FIRST[q + 1]], job), n))
            element = tf.concat(parts, 1)
        elif kind == "crossentropy":
            loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
            element = spread(loss(y, x), width)
        else:
            element = spread(CATEGORICAL[kind]((1 - smoothing) * y + smoothing / width, x, job), width)
        if weights is not None:
            weights = tf.constant(weights, tf.float64)
            if head == "tree":
                weights = tf.repeat(weights, COUNTS)
            if head == "classes":
                weights = tf.reduce_sum(weights * y, 1, keepdims=True)
            element = element * weights
        value = tf.reduce_mean(element)
    answer = {"loss": float(value), "gradient": tape.gradient(value, x).numpy().tolist()}
    if kind not in IMPROPER:
        answer["probabilities"] = probabilities.numpy().tolist()
    return answer


def main():
    kr.answer({"jobs": [judge(job) for job in kr.read_spec()["jobs"]]})


if __name__ == "__main__":
    main()
