"""The loss of two views without labels judged: VICReg out of NumPy and Keras in float64.

In: {"loss": {"invariance", "variance", "covariance"}, "jobs": [{"first": [[...]], "second": [[...]]}],
     "network": {"start", "finish": checkpoint prefixes before and after one plain step of "rate", "arch", "size",
                 "mean", "std", "images", "examples", "width", "layers"}}
Out: {"jobs": [{"loss", "first": its gradient by the first view, "second", "std", "rank"}],
      "network": {"loss", "gap": distance of the step's gradient from Keras' over its norm, "worst": that of one variable}}

The covariance is numpy.cov, the rank comes from its eigenvalues. In the network's step both views are the
image itself.
"""

import keras
import numpy as np
import tensorflow as tf

import keras_resnet as kr

keras.backend.set_floatx("float64")


def vicreg(first, second, spec):
    """The loss of the authors' code, from the paper's equations 1 to 6."""
    n, d = first.shape
    total = spec["invariance"] * tf.reduce_mean((first - second) ** 2)
    for z in (first, second):
        centred = z - tf.reduce_mean(z, axis=0)
        covariance = tf.transpose(centred) @ centred / (n - 1)
        deviation = tf.sqrt(tf.linalg.diag_part(covariance) + 1e-4)
        total += spec["variance"] / 2 * tf.reduce_mean(keras.ops.relu(1 - deviation))
        off = covariance * (1 - tf.eye(d, dtype=z.dtype))
        total += spec["covariance"] * tf.reduce_sum(off**2) / d
    return total


def judge(job, spec):
    first, second = tf.constant(job["first"], tf.float64), tf.constant(job["second"], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([first, second])
        loss = vicreg(first, second, spec)
    gradients = tape.gradient(loss, [first, second])
    std, rank = [], []
    for z in (first.numpy(), second.numpy()):
        eigenvalues = np.linalg.eigvalsh(np.atleast_2d(np.cov(z, rowvar=False)))
        std.append(np.std(z, axis=0, ddof=1).mean())
        rank.append(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
    return {"loss": float(loss), "first": gradients[0].numpy().tolist(), "second": gradients[1].numpy().tolist(),
            "std": float(np.mean(std)), "rank": float(np.mean(rank))}


def projected(spec):
    base = kr.build(spec["size"], spec["mean"], spec["std"], dtype="float64", arch=spec["arch"])
    x = base.layers[-2].output  # the features
    for i in range(1, spec["layers"]):
        x = keras.layers.Dense(spec["width"], use_bias=False, name=f"head_projector{i}_conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"head_projector{i}_bn")(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Dense(spec["width"], use_bias=False, name=f"head_projector{spec['layers']}")(x)
    return keras.Model(base.input, x)


def rows(weights):
    """weights with 1x1 convolutions of the projector as matrices."""
    return {k: w[0, 0] if k.startswith("head/") and w.ndim == 4 else w for k, w in weights.items()}


def step(spec, loss_spec):
    model = projected(spec)
    start, finish = (rows(kr.read_weights(spec[k])) for k in ("start", "finish"))
    kr.assign(model, start)
    pixels = kr.images(spec["images"], spec["examples"], spec["size"])
    with tf.GradientTape() as tape:
        z = model(np.concatenate([pixels, pixels]), training=True)
        loss = vicreg(z[:len(pixels)], z[len(pixels):], loss_spec)
    named = kr.variables(model)
    keys = [k for k in sorted(named) if "/moving_" not in k]
    gradients = tape.gradient(loss, [named[k].value for k in keys])
    far, norm, worst = 0.0, 0.0, 0.0
    for key, gradient in zip(keys, gradients):
        ours = (start[key].astype(np.float64) - finish[key]) / spec["rate"]
        apart, size = np.sum((ours - gradient.numpy()) ** 2), np.sum(gradient.numpy() ** 2)
        far, norm, worst = far + apart, norm + size, max(worst, np.sqrt(apart / size))
    return {"loss": float(loss), "gap": float(np.sqrt(far / norm)), "worst": float(worst), "norm": float(np.sqrt(norm))}


spec = kr.read_spec()
kr.answer({"jobs": [judge(job, spec["loss"]) for job in spec["jobs"]], "network": step(spec["network"], spec["loss"])})
