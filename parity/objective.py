"""Heads and losses judged: the same values and gradients from Keras in float64.

In: {"jobs": [{"head", "loss", "label_smoothing"?, "weights"?: [...],
     "logits": [[...]], "labels": [[...]]}]}
Out: {"jobs": [{"loss": mean over all elements, "gradient": [[...]], "probabilities": [[...]]}]}

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


def judge(job):
    x = tf.constant(job["logits"], tf.float64)
    y = tf.constant(job["labels"], tf.float64)
    smoothing, weights = job.get("label_smoothing", 0), job.get("weights")
    head, kind = job["head"], job["loss"]
    width = y.shape[1]
    with tf.GradientTape() as tape:
        tape.watch(x)
        if head == "answers":
            probabilities = keras.ops.sigmoid(x)
        elif head == "tree":
            probabilities = tree(x)
        else:
            probabilities = keras.ops.softmax(x)
        if kind == "mse":
            element = (probabilities - y)**2
        elif head == "answers":
            # One column at a time, as Keras' loss is a mean over the columns.
            loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
            element = tf.stack([loss(y[:, j:j + 1], x[:, j:j + 1]) for j in range(width)], 1)
        elif head == "tree":
            parts = []
            for q, n in enumerate(COUNTS):
                labels = y[:, FIRST[q]:FIRST[q + 1]]
                labels = (1 - smoothing) * labels + smoothing * parent(y, q) / n
                # Keras' categorical_crossentropy has the right value here and a wrong gradient,
                # softmax - labels: TensorFlow's op takes it for granted that labels sum to 1.
                of_question = -keras.ops.sum(labels * keras.ops.log_softmax(x[:, FIRST[q]:FIRST[q + 1]], axis=1), axis=1)
                # The question's loss spread over its columns: the mean is over columns.
                parts.append(tf.repeat(of_question[:, None] / n, n, 1))
            element = tf.concat(parts, 1)
        else:
            loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
            element = tf.repeat(loss(y, x)[:, None] / width, width, 1)
        if weights is not None:
            weights = tf.constant(weights, tf.float64)
            if head == "tree":
                weights = tf.repeat(weights, COUNTS)
            if head == "five":
                weights = tf.reduce_sum(weights * y, 1, keepdims=True)
            element = element * weights
        value = tf.reduce_mean(element)
    return {"loss": float(value), "gradient": tape.gradient(value, x).numpy().tolist(), "probabilities": probabilities.numpy().tolist()}


def main():
    kr.answer({"jobs": [judge(job) for job in kr.read_spec()["jobs"]]})


if __name__ == "__main__":
    main()
