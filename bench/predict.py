"""Prediction by the Keras peer, timed: the work that `galaxy predict` does.

    python predict.py --run RUN --images DIR --batch N --precision P

Keras at its usual best: a tf.data pipeline that reads, decodes, crops and resizes
files in parallel and ahead, and model.predict. Prints {"images": N, "seconds": of
model.predict}, from the model built to the last answer, as galaxy counts.
"""

import argparse
import glob
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parity"))

import keras_resnet as kr  # noqa: E402
import tensorflow as tf  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], required=True)
    args = parser.parse_args()

    config = json.load(open(os.path.join(args.run, "config.json")))
    size, crop = config["model"]["size"], config["cache"]["crop"]
    offset = (424 - crop) // 2
    model = kr.build(
        size, config["model"]["channel_mean"], config["model"]["channel_std"],
        dtype={"float32": "float32", "bfloat16": "mixed_bfloat16"}[args.precision])
    latest = open(os.path.join(args.run, "checkpoints", "LATEST")).read().strip()
    kr.assign(model, kr.read_weights(os.path.join(args.run, "checkpoints", latest, "variables")))
    model.compile(jit_compile=False)  # which is slower on a CPU

    def decode(path):
        image = tf.image.decode_and_crop_jpeg(tf.io.read_file(path), [offset, offset, crop, crop], channels=3)
        return tf.cast(tf.round(tf.image.resize(image, [size, size])), tf.uint8)

    files = sorted(glob.glob(os.path.join(args.images, "*.jpg")))
    data = tf.data.Dataset.from_tensor_slices(files)
    data = data.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(args.batch).prefetch(tf.data.AUTOTUNE)
    begin = time.time()
    logits = model.predict(data, verbose=0)
    seconds = time.time() - begin
    kr.answer({"images": len(logits), "seconds": seconds})


if __name__ == "__main__":
    main()
