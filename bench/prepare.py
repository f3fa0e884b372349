"""A cache of images by tf.data, timed: the work that `galaxy prepare` does to images.

    python prepare.py --images DIR --cache CACHE --out FILE [--crop-first]

tf.data at its usual best: reads, decodes, crops and resizes files in parallel and
ahead, and writes batches of uint8 to one file as they come. Crop and size are those of
CACHE's manifest. --crop-first decodes no more of a file than the crop. Prints
{"images": N, "seconds": S}, from the pipeline's building to the file's end.
"""

import argparse
import glob
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf  # noqa: E402

SIDE, BATCH = 424, 64


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--crop-first", action="store_true")
    args = parser.parse_args()
    with open(os.path.join(args.cache, "manifest.json")) as f:
        manifest = json.load(f)
    size, crop = manifest["size"], manifest["crop"]
    offset = (SIDE - crop) // 2

    def decode(path):
        raw = tf.io.read_file(path)
        if args.crop_first:
            image = tf.image.decode_and_crop_jpeg(raw, [offset, offset, crop, crop], channels=3)
        else:
            image = tf.io.decode_jpeg(raw, channels=3)[offset:offset + crop, offset:offset + crop]
        return tf.cast(tf.round(tf.image.resize(image, [size, size])), tf.uint8)

    begin = time.time()
    files = sorted(glob.glob(os.path.join(args.images, "*.jpg")))
    data = tf.data.Dataset.from_tensor_slices(files)
    data = data.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    count = 0
    with open(args.out, "wb") as out:
        for batch in data.as_numpy_iterator():
            out.write(batch)
            count += len(batch)
    json.dump({"images": count, "seconds": time.time() - begin}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
