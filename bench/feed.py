"""Batches of tf.data that nobody trains on, timed: what `galaxy train` gets to read.

    python feed.py --cache CACHE --batch N --seconds S

tf.data as step.py has it, over arrays in memory. Prints {"images": N, "seconds": S,
"held_mib": how much more anonymous memory the process has than before it read them}.
"""

import argparse
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import peer  # noqa: E402
import tensorflow as tf  # noqa: E402


def anonymous():
    """This process' anonymous memory, MiB; 0 where the system does not tell."""
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith("RssAnon:"))
    except (OSError, StopIteration):
        return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    tf.constant(0)  # TensorFlow's own start is no part of what is held
    before = anonymous()
    _, images, labels = peer.load(args.cache)
    batches = iter(peer.batches(images, labels, args.batch))
    del images, labels
    next(batches)
    count, held, begin = 0, 0, time.time()
    tick = begin
    while (now := time.time()) < begin + args.seconds:
        x, _ = next(batches)
        count += x.shape[0]
        if now > tick + 0.1:
            tick, held = now, max(held, anonymous() - before)
    json.dump({"images": count, "seconds": time.time() - begin, "held_mib": held}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
