"""What the peers of the training step have in common: flags, data, answer."""

import argparse
import json
import os
import sys

import numpy as np

EXAMPLE = np.dtype([("id", "<i8"), ("xxh3", "<u8"), ("split", "u1"), ("", "V7"), ("labels", "<f4", 37), ("", "V4")])


def arguments(**more):
    """The flags; more are those of one peer, with what argparse is to know of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "bfloat16", "float16"], required=True)
    parser.add_argument("--jit", action="store_true")
    for name, known in more.items():
        parser.add_argument("--" + name.replace("_", "-"), **known)
    return parser.parse_args()


def load(cache):
    """The manifest, the images, uint8 [n, size, size, 3], and the labels, float32 [n, 37], of a cache."""
    with open(os.path.join(cache, "manifest.json")) as f:
        manifest = json.load(f)
    size = manifest["size"]
    images = np.fromfile(os.path.join(cache, "images.bin"), np.uint8).reshape(-1, size, size, 3)
    labels = np.fromfile(os.path.join(cache, "examples.bin"), EXAMPLE)["labels"]
    return manifest, images, labels


def batches(images, labels, n):
    """tf.data's batches of n examples over arrays in memory, for ever."""
    import tensorflow as tf  # which PyTorch does without

    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.shuffle(1000).repeat().batch(n, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def answer(ends):
    """Prints the wall-clock time at the end of every step, seconds."""
    json.dump({"ends": ends}, sys.stdout)
    sys.stdout.write("\n")
