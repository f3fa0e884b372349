"""Keras trains on a cache made by `galaxy prepare` and is scored on its test split.

    python peer.py SPEC.json > RESULT.json

SPEC: {"recipe": "same" or "tuned", "cache": folder, "seed", "steps",
"evaluate": false where only the time of the steps is asked for, "eval_every":
steps between evaluations, 0 for an epoch, "xla": whether to compile the steps}, and

  same:  "config" (a run's config.json), "first" (checkpoint prefix of the first
         weights), "order" (file of int64 rows of the cache [steps, batch]) and
         "rates" (of every step);
  tuned: "precision" (float32 or bfloat16, the faster one here), "changes" to TUNED for
         trying others, and "first" as above, or none for random weights.

RESULT: {"test", "test_views" (the mean of 8 views): {"rmse",
"accuracy_argmax37", "macro_f1" (of classes)}, "best_step", "batch",
"step_seconds": [of every step], "first_step" (when it ended), "evaluations":
[...]}; times of the day as ISO 8601

'same' is what one of our runs was given: network, loss, optimizer, rates, dropout,
precision, split, first weights and order. What is Keras' own is how it computes,
and the masks of its dropout. 'tuned' shares the network, the cache and its split
alone. As in `galaxy train`, the validation split is scored as the run goes and the
weights with the best RMSE are kept.
"""

import datetime
import json
import math
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "parity"))

import keras_resnet as kr  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

TRAIN, VALIDATION, TEST = 0, 1, 2

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # Keras' names of precisions

# The strongest plain recipe found; bench/README.md says what else was tried.
TUNED = {
    "precision": None,  # of the convolutions; None is SPEC's
    "batch": 32,
    "dropout": 0.2,
    "peak": 1e-3,  # learning rate after the warm-up; a cosine takes it to 0
    "warmup": 0.05,  # share of the run
    "weight_decay": 0.05,  # of kernels only
    "clip_norm": 1,  # of all gradients together; 0 does not clip
    "ema": 0,  # momentum of Keras' moving average of the weights; 0 is none
    "rotate": 180,  # degrees, either way
    "flip": True,  # left to right, and top to bottom
    "zoom": 1.2,  # largest factor, either way
    "shift": 0.05,  # of the side, in each direction
}


def posterior(logits, alpha, gamma):
    """The label whose focal loss is smallest at these logits, in float64."""
    x = np.asarray(logits, np.float64)
    p, q = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    minus_log_p, minus_log_q = np.logaddexp(0, -x), np.logaddexp(0, x)
    # Both derivatives times p q, which cancels in the ratio.
    a = alpha * q**gamma * (gamma * p * minus_log_p + q)
    b = (1 - alpha) * p**gamma * (gamma * q * minus_log_q + p)
    return b / (a + b)


def moved(images, seed, recipe):
    """images, float32 [n, size, size, channels], each flipped, turned, zoomed and shifted at random.

    seed: int32 [2]. Pixels from outside repeat the nearest one of the edge.
    """
    n, size = images.shape[0], images.shape[1]
    angle, flip_x, flip_y, zoom, shift_x, shift_y = tf.unstack(
        tf.random.stateless_uniform([n, 6], seed, -1.0, 1.0), axis=1)
    angle *= recipe["rotate"] * math.pi / 180
    shrink = tf.exp(-zoom * math.log(recipe["zoom"]))
    if recipe["flip"]:
        flip_x, flip_y = tf.sign(flip_x), tf.sign(flip_y)
    else:
        flip_x = flip_y = tf.ones([n])
    cos, sin = tf.cos(angle) * shrink, tf.sin(angle) * shrink
    centre = (size - 1) / 2
    to_x, to_y = centre + shift_x * recipe["shift"] * size, centre + shift_y * recipe["shift"] * size

    def row(a, b):  # of the way back, from the output's pixel to the input's
        return [a, b, centre - a * to_x - b * to_y]

    none = tf.zeros([n])
    transforms = tf.stack(row(flip_x * cos, -flip_x * sin) + row(flip_y * sin, flip_y * cos) + [none, none], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images, transforms=transforms, output_shape=[size, size], fill_value=0.0,
        interpolation="BILINEAR", fill_mode="NEAREST")


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


class Cache:
    def __init__(self, folder):
        with open(os.path.join(folder, "manifest.json")) as f:
            self.manifest = json.load(f)
        side = self.manifest["size"]
        schema = self.manifest.get("schema")
        self.columns = sum(len(q["answers"]) for q in schema["questions"]) if schema else 37
        example = np.dtype([
            ("id", "<i8"), ("xxh3", "<u8"), ("split", "u1"), ("", "V7"), ("labels", "<f4", self.columns), ("", f"V{self.columns % 2 * 4}")])
        self.examples = np.fromfile(os.path.join(folder, "examples.bin"), example)
        self.shape = side, side, len(self.manifest["channel_mean"])
        self.images = np.memmap(os.path.join(folder, "images.bin"), np.uint8, "r").reshape(-1, *self.shape)

    def rows(self, split):
        return np.flatnonzero(self.examples["split"] == split)

    def labels(self, rows):
        return self.examples["labels"][rows]


class Same:
    """The run that config.json describes: rows of every batch, rates, loss."""

    def __init__(self, spec, cache):
        with open(spec["config"]) as f:
            config = json.load(f)
        objective = config["objective"]
        beyond = [name for name, is_so in [
            ("alignment", config["model"].get("align")),
            ("augmentation", any(v for k, v in config["augment"].items() if (k, v) != ("zoom", 1))),
            ("a moving average", config["ema"]), ("image sizes", config.get("sizes")),
            ("class weights", objective.get("weights")), ("smoothed labels", objective.get("label_smoothing")),
            ("another head or loss", (objective["head"], objective["loss"]) not in [("answers", "focal"), ("classes", "crossentropy")])] if is_so]
        if beyond:
            raise SystemExit("%s has %s, which is not done here" % (spec["config"], ", ".join(beyond)))
        self.classes = objective["head"] == "classes"
        if not self.classes:
            self.alpha, self.gamma = objective["alpha"], objective["gamma"]
        self.batch, self.augment = config["batch"], None
        self.batches = iter(np.fromfile(spec["order"], "<i8").reshape(spec["steps"], self.batch))
        self.rates = spec["rates"]
        model = config["model"]
        self.model = kr.build(
            model["size"], model["channel_mean"], model["channel_std"], model["outputs"], model["dropout"], POLICIES[model["precision"]],
            arch=model["arch"])
        kr.assign(self.model, kr.read_weights(spec["first"]))
        self.optimizer = kr.optimizer(config["optimizer"])

    def loss(self, logits, labels):
        if self.classes:  # the mean over the columns too
            return kr.keras.losses.CategoricalCrossentropy(from_logits=True)(labels, logits) / labels.shape[1]
        return kr.focal_loss(logits, labels, self.alpha, self.gamma)

    def fractions(self, logits):
        return tf.nn.softmax(np.asarray(logits, np.float64)).numpy() if self.classes else posterior(logits, self.alpha, self.gamma)


class Tuned:
    """Binary cross-entropy on the vote fractions, by TUNED."""

    classes = False

    def __init__(self, spec, cache):
        recipe = {**TUNED, **(spec.get("changes") or {})}
        if recipe.keys() != TUNED.keys():
            raise SystemExit("no such setting of the tuned recipe: %s" % sorted(recipe.keys() - TUNED.keys()))
        self.batch, self.augment, steps = recipe["batch"], recipe, spec["steps"]
        warmup = max(1, round(recipe["warmup"] * steps))
        self.rates = [
            recipe["peak"] * ((i + 1) / warmup if i < warmup else (1 + math.cos(math.pi * (i - warmup) / (steps - warmup))) / 2)
            for i in range(steps)]
        self.batches = self.shuffled(cache.rows(TRAIN), spec["seed"])
        m = cache.manifest
        self.model = kr.build(
            m["size"], m["channel_mean"], m["channel_std"], cache.columns, recipe["dropout"],
            POLICIES[recipe["precision"] or spec["precision"]], pixels="float32")
        if "first" in spec:
            kr.assign(self.model, kr.read_weights(spec["first"]))
        self.optimizer = kr.keras.optimizers.Adam(
            weight_decay=recipe["weight_decay"] or None, global_clipnorm=recipe["clip_norm"] or None,
            use_ema=recipe["ema"] > 0, ema_momentum=recipe["ema"])
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])

    def shuffled(self, rows, seed):
        random = np.random.default_rng(seed)
        while True:
            order = random.permutation(rows)
            for i in range(0, len(order) - self.batch + 1, self.batch):
                yield order[i:i + self.batch]

    def loss(self, logits, labels):
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))

    def fractions(self, logits):
        return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


class Trainer:
    def __init__(self, recipe, cache, seed, xla):
        self.recipe, self.cache, self.model = recipe, cache, recipe.model
        optimizer, model = recipe.optimizer, recipe.model
        optimizer.build(model.trainable_variables)

        @tf.function(jit_compile=xla)
        def update(images, labels):
            with tf.GradientTape() as tape:
                loss = recipe.loss(model(images, training=True), labels)
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            return loss

        # XLA cannot resample, so that stays outside.
        @tf.function(jit_compile=False, input_signature=[
            tf.TensorSpec([recipe.batch, *cache.shape], tf.uint8), tf.TensorSpec([recipe.batch, cache.columns]), tf.TensorSpec([], tf.int32)])
        def step(images, labels, number):
            if recipe.augment:
                images = moved(tf.cast(images, tf.float32), tf.stack([seed, number]), recipe.augment)
            return update(images, labels)

        self.step = step
        self.predict = tf.function(lambda images: model(images, training=False), reduce_retracing=True)

    def score(self, split, views=((0, 1),)):
        """RMSE and accuracy of the mean over views: (quarter turns, 1 or -1 to mirror)."""
        rows = self.cache.rows(split)

        def fractions(images):
            return np.mean([
                self.recipe.fractions(self.predict(tf.constant(np.rot90(images[:, :, ::mirror], turns, (1, 2)))))
                for turns, mirror in views], axis=0)

        found = np.concatenate([fractions(self.cache.images[rows[i:i + 64]]) for i in range(0, len(rows), 64)])
        labels = self.cache.labels(rows)
        scores = {
            "rmse": float(np.sqrt(np.mean((found - labels)**2))),
            "accuracy_argmax37": float(np.mean(found.argmax(1) == labels.argmax(1)))}
        if self.recipe.classes:
            from sklearn.metrics import f1_score  # which other comparisons do without
            scores["macro_f1"] = float(f1_score(labels.argmax(1), found.argmax(1), average="macro"))
        return scores

    def averaged(self):
        """Puts Keras' moving average in place of the weights, and returns what puts them back."""
        if not self.recipe.optimizer.use_ema:
            return lambda: None
        variables = self.model.trainable_variables
        live = [v.numpy() for v in variables]
        self.recipe.optimizer.finalize_variable_values(variables)

        def back():
            for v, value in zip(variables, live):
                v.assign(value)
        return back

    def train(self, evaluate, every):
        recipe, seconds, losses, evaluations, best = self.recipe, [], [], [], None
        every, steps = every or len(self.cache.rows(TRAIN)) // recipe.batch, len(recipe.rates)
        for number, rate in enumerate(recipe.rates, 1):
            begin = time.perf_counter()
            rows = next(recipe.batches)
            recipe.optimizer.learning_rate.assign(rate)
            losses.append(float(self.step(
                tf.constant(self.cache.images[rows]), tf.constant(self.cache.labels(rows)), tf.constant(number))))
            seconds.append(time.perf_counter() - begin)
            if number == 1:
                first = now()
            if evaluate and (number == steps or number % every == 0):
                back = self.averaged()
                scores = self.score(VALIDATION)
                evaluations.append({"step": number, "train_loss": float(np.mean(losses)), **scores, "time": now()})
                losses = []
                print(json.dumps(evaluations[-1]), file=sys.stderr, flush=True)
                if best is None or scores["rmse"] < best[0]:
                    best = scores["rmse"], number, {k: v.numpy() for k, v in kr.variables(self.model).items()}
                back()
        result = {"batch": recipe.batch, "step_seconds": seconds, "first_step": first, "evaluations": evaluations}
        if evaluate:
            kr.assign(self.model, best[2])
            views = [(turns, mirror) for mirror in (1, -1) for turns in range(4)]
            result.update(best_step=best[1], test=self.score(TEST), test_views=self.score(TEST, views))
        return result


def main():
    spec = kr.read_spec()
    kr.keras.utils.set_random_seed(spec["seed"])
    cache = Cache(spec["cache"])
    recipe = {"same": Same, "tuned": Tuned}[spec["recipe"]](spec, cache)
    kr.answer(Trainer(recipe, cache, spec["seed"], spec["xla"]).train(spec["evaluate"], spec.get("eval_every", 0)))


if __name__ == "__main__":
    main()
