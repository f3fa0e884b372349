"""Training steps of the Keras peer from given weights on given batches.

In: {"arch": name of the network, "start": checkpoint prefix, "finish": checkpoint prefix of our run's end,
     "mean", "std", "size", "batch", "images": uint8 [steps*batch,size,size,channels],
     "labels": float32 [steps*batch,37], "alpha", "gamma", "losses": ours,
     "learning_rates": one per step, "optimizer": as in a run's config.json,
     "twins": k}
Out: {"losses": [run][step], "pairs": distances of every two Keras runs,
      "ours": distances of our run to every Keras run, "norms": gradient norms}

Run 0 starts from the weights as they are, runs 1..k from weights in which every
float32 element was moved by one unit in the last place, up or down by a seeded
coin. How far those runs drift apart is what rounding alone does to this
training: the yardstick for our run.

A distance is {"loss": [step], "l2": ..., "max": ..., "moving": ...}: |difference|
of the losses, the Euclidean and the largest distance of all trained weights,
and the Euclidean distance of all moving averages.
"""

import itertools

import numpy as np
import tensorflow as tf

import keras_resnet as kr


def nudged(weights, seed):
    """weights with every element of the trained ones moved by one ulp."""
    rng = np.random.default_rng(seed)
    moved = {}
    for key in sorted(weights):
        w = weights[key]
        toward = np.where(rng.random(w.shape) < 0.5, np.float32(-np.inf), np.float32(np.inf))
        moved[key] = w if "/moving_" in key else np.nextafter(w, toward)
    return moved


class Trainer:
    def __init__(self, spec):
        self.spec = spec
        self.model = kr.build(spec["size"], spec["mean"], spec["std"], arch=spec["arch"])
        self.optimizer = kr.optimizer(spec["optimizer"])
        self.optimizer.build(self.model.trainable_variables)
        self.fresh = [v.numpy() for v in self.optimizer.variables]

        @tf.function(jit_compile=False)
        def step(images, labels):
            with tf.GradientTape() as tape:
                loss = kr.focal_loss(self.model(images, training=True), labels, spec["alpha"], spec["gamma"])
            gradients = tape.gradient(loss, self.model.trainable_variables)
            self.optimizer.apply(gradients, self.model.trainable_variables)
            return loss, tf.linalg.global_norm(gradients)

        self.step = step

    def run(self, weights, images, labels):
        """Losses, gradient norms and final weights of one training."""
        kr.assign(self.model, weights)
        for v, fresh in zip(self.optimizer.variables, self.fresh):
            v.assign(fresh)
        losses, norms = [], []
        for x, y, lr in zip(images, labels, self.spec["learning_rates"]):
            self.optimizer.learning_rate.assign(lr)
            loss, norm = self.step(tf.constant(x), tf.constant(y))
            losses.append(float(loss))
            norms.append(float(norm))
        return losses, norms, {k: v.numpy() for k, v in kr.variables(self.model).items()}


def distance(a, b):
    (losses_a, weights_a), (losses_b, weights_b) = a, b
    if weights_a.keys() != weights_b.keys():
        raise SystemExit("the two runs hold different variables: %s" % sorted(weights_a.keys() ^ weights_b.keys()))
    squares, moving, largest = 0.0, 0.0, 0.0
    for key, w in weights_a.items():
        d = w.astype(np.float64) - weights_b[key]
        if "/moving_" in key:
            moving += float((d * d).sum())
        else:
            squares += float((d * d).sum())
            largest = max(largest, float(np.abs(d).max()))
    return {
        "loss": [abs(x - y) for x, y in zip(losses_a, losses_b)],
        "l2": squares**0.5, "max": largest, "moving": moving**0.5}


def main():
    spec = kr.read_spec()
    start = kr.read_weights(spec["start"])
    steps, batch = len(spec["learning_rates"]), spec["batch"]
    images = kr.images(spec["images"], steps * batch, spec["size"])
    images = images.reshape(steps, batch, *images.shape[1:])
    labels = kr.labels(spec["labels"], steps * batch).reshape(steps, batch, -1)

    trainer = Trainer(spec)
    runs, norms = [], None
    for twin in range(spec["twins"] + 1):
        weights = nudged(start, twin) if twin else start
        losses, seen, finish = trainer.run(weights, images, labels)
        norms = norms or seen
        runs.append((losses, finish))
    ours = (spec["losses"], kr.read_weights(spec["finish"]))
    moved = distance((spec["losses"], start), ours)
    kr.answer({
        "losses": [losses for losses, _ in runs],
        "norms": norms,
        "pairs": [distance(a, b) for a, b in itertools.combinations(runs, 2)],
        "ours": [distance(ours, run) for run in runs],
        "travelled": {"l2": moved["l2"], "max": moved["max"], "moving": moved["moving"]}})


if __name__ == "__main__":
    main()
