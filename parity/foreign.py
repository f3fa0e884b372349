"""Small Keras networks as their model.export writes them, and figures of their
predictions by NumPy and scikit-learn.

In: {"networks": [{"dir", "pixels": "0..1" or "0..255", "activation": name or null,
     "outputs": 37 or 5}], "images": file of uint8 [n,px,px,3], "labels": file of
     float32 [n,37], "classes": file of float32 [n,5], rows of 0 where there is no
     class, "count": n, "size": px}
Out: {"networks": [{"rmse", "accuracy", "question7_rmse", "ece", "precision",
     "recall", "f1", "roc_auc", "balanced_accuracy", "macro_f1", "macro_roc_auc",
     "log_loss", "confusion"}]}

'accuracy' is of the largest column; 'ece' of all 37 columns, or of the largest of
five; precision to roc_auc are lists, with null where there is nothing to divide by, and
these and what follows are of classes. A network of five outputs is scored on the images
that have a class.
"""

import keras
import numpy as np
from sklearn import metrics

import keras_resnet as kr

BINS = 15


def build(size, pixels, activation, outputs, seed):
    """Float images [n, size, size, 3] in the range to [n, outputs]."""
    init = lambda i: keras.initializers.RandomNormal(stddev=0.4, seed=seed + i)
    images = keras.Input((size, size, 3), dtype="float32", name="pictures")
    x = images if pixels == "0..1" else keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(8, 5, strides=2, activation="relu", kernel_initializer=init(0))(x)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(x))
    head = keras.layers.Dense(outputs, activation=activation, kernel_initializer=init(1))
    answers = head(x)
    if outputs == 37:  # else the largest column would never be the right one
        bias = np.linspace(-3, 1, outputs)
        bias[[0, 1, 14]] += 3
        head.bias.assign(bias)
    return keras.Model(images, answers)


def ece(predicted, observed):
    """Sum over bins of |mean predicted - mean observed|, weighted by their counts."""
    predicted, observed = np.ravel(predicted).astype(np.float64), np.ravel(observed).astype(np.float64)
    which = np.clip(np.floor(predicted * BINS).astype(int), 0, BINS - 1)
    total = 0.0
    for b in range(BINS):
        inside = which == b
        if inside.any():
            total += inside.mean() * abs(predicted[inside].mean() - observed[inside].mean())
    return total


def ratio(a, b):
    return float(a / b) if b else None


def figures(p, y):
    p, y = p.astype(np.float64), y.astype(np.float64)
    answer, truth = p.argmax(1), y.argmax(1)
    out = {"rmse": float(np.sqrt(np.mean((p - y) ** 2))), "accuracy": float(np.mean(answer == truth)),
           "precision": [], "recall": [], "f1": []}
    if p.shape[1] == 37:
        out["question7_rmse"] = float(np.sqrt(np.mean((p[:, 15:18] - y[:, 15:18]) ** 2)))
        out["ece"] = ece(p, y)
        return out
    out["ece"] = ece(p.max(1) / p.sum(1), answer == truth)
    for k in range(p.shape[1]):
        hits, answers, truths = np.sum((answer == k) & (truth == k)), np.sum(answer == k), np.sum(truth == k)
        out["precision"].append(ratio(hits, answers))
        out["recall"].append(ratio(hits, truths))
        out["f1"].append(ratio(2 * hits, answers + truths))
    classes = np.arange(p.shape[1])
    occur = np.unique(truth)
    area = {k: float(metrics.roc_auc_score(truth == k, p[:, k])) for k in occur}
    out["roc_auc"] = [area.get(k) for k in classes]
    out["macro_roc_auc"] = float(np.mean(list(area.values())))
    if len(occur) == len(classes):  # which this function asks for
        shared = p / p.sum(1, keepdims=True)
        out["macro_roc_auc"] = float(metrics.roc_auc_score(truth, shared, multi_class="ovr", average="macro"))
    out["balanced_accuracy"] = float(metrics.balanced_accuracy_score(truth, answer))
    out["macro_f1"] = float(metrics.f1_score(truth, answer, average="macro", zero_division=0))
    out["log_loss"] = float(metrics.log_loss(truth, (p / p.sum(1, keepdims=True)).astype(np.float32), labels=classes))
    out["confusion"] = metrics.confusion_matrix(truth, answer, labels=classes).tolist()
    return out


def main():
    spec = kr.read_spec()
    images = kr.images(spec["images"], spec["count"], spec["size"]).astype(np.float32)
    labels = {37: kr.labels(spec["labels"], spec["count"]), 5: kr.labels(spec["classes"], spec["count"], 5)}
    answers = []
    for i, n in enumerate(spec["networks"]):
        model = build(spec["size"], n["pixels"], n["activation"], n["outputs"], 100 * i)
        model.export(n["dir"], verbose=False)
        p = model.predict(images / 255 if n["pixels"] == "0..1" else images, verbose=0)
        if n["activation"] is None:
            p = 1 / (1 + np.exp(-p.astype(np.float64)))
        y = labels[n["outputs"]]
        scored = y.sum(1) > 0
        answers.append(figures(p[scored], y[scored]))
    kr.answer({"networks": answers})


if __name__ == "__main__":
    main()
