"""Keras trains and is scored on what one of our runs was given.

    python peer.py SPEC.json > RESULT.json

SPEC: {"config": a run's config.json, "cache": folder, "first": checkpoint
prefix of the first weights, "order": file of int64 GalaxyIDs [steps, batch],
"rates": learning rate of every step}.
RESULT: {"test": {"rmse", "accuracy_argmax37"}, "step", "epochs": [...], "seconds"}

Everything that is a choice comes from our side: loss, optimizer, rates, dropout,
precision, split, first weights, order. What is Keras' own is how it computes,
and the masks of its dropout. As in `galaxy train`, the validation split is
scored after every epoch and the weights with the best RMSE are kept.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "parity"))

import keras_resnet as kr  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

EXAMPLE = np.dtype([("id", "<i8"), ("xxh3", "<u8"), ("split", "u1"), ("", "V7"), ("labels", "<f4", 37), ("", "V4")])
VALIDATION, TEST = 1, 2


def posterior(logits, alpha, gamma):
    """The label whose focal loss is smallest at these logits, in float64."""
    x = np.asarray(logits, np.float64)
    p, q = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    minus_log_p, minus_log_q = np.logaddexp(0, -x), np.logaddexp(0, x)
    # Both derivatives times p q, which cancels in the ratio.
    a = alpha * q**gamma * (gamma * p * minus_log_p + q)
    b = (1 - alpha) * p**gamma * (gamma * q * minus_log_q + p)
    return b / (a + b)


class Peer:
    def __init__(self, spec):
        config = self.config = json.load(open(spec["config"]))
        model = config["model"]
        policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[model["precision"]]
        kr.keras.utils.set_random_seed(config["seed"])
        self.model = kr.build(
            model["size"], model["channel_mean"], model["channel_std"], model["outputs"], model["dropout"], policy)
        kr.assign(self.model, kr.read_weights(spec["first"]))
        self.optimizer = kr.optimizer(config["optimizer"])
        self.optimizer.build(self.model.trainable_variables)
        self.alpha, self.gamma = config["objective"]["alpha"], config["objective"]["gamma"]

        @tf.function(jit_compile=False)
        def step(images, labels):
            with tf.GradientTape() as tape:
                loss = kr.focal_loss(self.model(images, training=True), labels, self.alpha, self.gamma)
            gradients = tape.gradient(loss, self.model.trainable_variables)
            self.optimizer.apply(gradients, self.model.trainable_variables)
            return loss

        self.step = step
        self.predict = tf.function(lambda images: self.model(images, training=False))

        side = json.load(open(os.path.join(spec["cache"], "manifest.json")))["size"]
        self.examples = np.fromfile(os.path.join(spec["cache"], "examples.bin"), EXAMPLE)
        self.images = np.memmap(os.path.join(spec["cache"], "images.bin"), np.uint8, "r").reshape(-1, side, side, 3)

    def score(self, split):
        rows = np.flatnonzero(self.examples["split"] == split)
        logits = np.concatenate([
            self.predict(tf.constant(self.images[rows[i:i + 64]])).numpy() for i in range(0, len(rows), 64)])
        fractions, labels = posterior(logits, self.alpha, self.gamma), self.examples["labels"][rows]
        return {
            "rmse": float(np.sqrt(np.mean((fractions - labels)**2))),
            "accuracy_argmax37": float(np.mean(fractions.argmax(1) == labels.argmax(1)))}

    def train(self, order, rates):
        row_of = {int(i): row for row, i in enumerate(self.examples["id"])}
        every, epochs, losses, best = self.config["eval_every"], [], [], None
        for step, (ids, rate) in enumerate(zip(order, rates), 1):
            rows = [row_of[int(i)] for i in ids]
            self.optimizer.learning_rate.assign(rate)
            losses.append(self.step(tf.constant(self.images[rows]), tf.constant(self.examples["labels"][rows])))
            if step == len(rates) or every and step % every == 0:
                scores = self.score(VALIDATION)
                epochs.append({"step": step, "train_loss": float(np.mean(losses)), **scores})
                losses = []
                print(json.dumps(epochs[-1]), file=sys.stderr, flush=True)
                if best is None or scores["rmse"] < best[0]:
                    best = scores["rmse"], step, {k: v.numpy() for k, v in kr.variables(self.model).items()}
        kr.assign(self.model, best[2])
        return best[1], epochs


def main():
    begin = time.time()
    spec = kr.read_spec()
    rates = spec["rates"]
    peer = Peer(spec)
    order = np.fromfile(spec["order"], "<i8").reshape(len(rates), -1)
    step, epochs = peer.train(order, rates)
    kr.answer({"test": peer.score(TEST), "step": step, "epochs": epochs, "seconds": time.time() - begin})


if __name__ == "__main__":
    main()
