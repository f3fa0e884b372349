"""Training steps of the Keras peer, timed: the work that `galaxy train` does.

    python step.py --cache CACHE --batch N --steps N --precision P [--jit] [--save-every N --save-to FILE]

Keras at its usual best: compile and fit, with a tf.data pipeline over arrays in
memory. With --save-every, Keras' own callback saves the weights and the optimizer's
state at the end of every Nth step. Prints
{"ends": [wall-clock time at the end of every step, seconds]}.
"""

import os
import sys
import time

import peer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parity"))

import keras_resnet as kr  # noqa: E402


class Clock(kr.keras.callbacks.Callback):
    async_safe = True  # or else fit waits for the loss of every step, which it does not on its own

    def __init__(self, steps):
        super().__init__()
        self.ends = [0.0] * steps

    def on_train_batch_end(self, batch, logs=None):
        self.ends[batch] = time.time()  # once the step's loss is there


def main():
    args = peer.arguments(save_every={"type": int}, save_to={})
    manifest, images, labels = peer.load(args.cache)
    data = peer.batches(images, labels, args.batch)

    model = kr.build(
        manifest["size"], manifest["channel_mean"], manifest["channel_std"], dropout=0.2,
        dtype=args.precision if args.precision == "float32" else "mixed_" + args.precision)
    optimizer = kr.keras.optimizers.AdamW(1e-3, weight_decay=0.05, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer, loss=lambda labels, logits: kr.focal_loss(logits, labels, 0.25, 2.0), jit_compile=args.jit)
    clock = Clock(args.steps)
    callbacks = [clock]  # first: a save is no part of the step that it comes after
    if args.save_every:
        callbacks.append(kr.keras.callbacks.ModelCheckpoint(args.save_to, save_freq=args.save_every))
    model.fit(data, steps_per_epoch=args.steps, epochs=1, verbose=0, callbacks=callbacks)
    peer.answer(clock.ends)


if __name__ == "__main__":
    main()
