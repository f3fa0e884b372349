"""ResNets out of plain Keras layers: the peer that our graph is judged by.

Nothing here is shared with the Go code. The networks are written down a second
time, from the paper (He et al. 2015, arXiv 1512.03385, table 1) and from what
the project states about them: 7x7/2 stem, 3x3/2 max pool, SAME padding, a
projection shortcut where the shape changes, the stride of a bottleneck block in
its 3x3 convolution, batch norm with epsilon 1e-5 and moving averages of momentum
0.9, dropout before the head.

Keras forbids '/' in the name of a layer, so a layer is named
'stage2_block1_conv1' and its variables go by 'stage2/block1/conv1/kernel',
the key under which a galaxy checkpoint holds them. No layer name holds an
underscore of its own, hence the mapping is one to one.
"""

import json
import math
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

# Whether blocks are bottlenecks, and how many there are in each stage.
NETWORKS = {
    "resnet6": (False, (1, 1)),
    "resnet8": (True, (1, 1)),
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
}


def build(size, mean, std, outputs=37, dropout=0.0, dtype="float32", pixels="uint8", arch="resnet34"):
    """A network from images [n, size, size, channels], 0 to 255, to logits [n, outputs].

    mean and std: a number for each channel, on the scale 0 to 1.
    dtype: a Keras dtype policy ('float32', 'float64', 'mixed_bfloat16'). The
    head always works in the policy's variable dtype, so that logits and loss
    are never computed in bfloat16.
    pixels: dtype of the images; float32 where they are resampled before.
    arch: one of NETWORKS.
    """
    policy = keras.dtype_policies.get(dtype)
    wide = policy.variable_dtype
    he = keras.initializers.HeNormal()

    def conv_bn(x, filters, kernel, stride, conv, bn):
        x = keras.layers.Conv2D(
            filters, kernel, strides=stride, padding="same", use_bias=False,
            kernel_initializer=he, dtype=policy, name=conv)(x)
        return keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, dtype=policy, name=bn)(x)

    def relu(x):
        return keras.layers.ReLU(dtype=policy)(x)

    images = keras.Input((size, size, len(mean)), dtype=pixels, name="images")
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    x = keras.layers.Rescaling(
        scale=list(1 / (255 * std)), offset=list(-mean / std), dtype=wide, name="normalise")(images)
    x = relu(conv_bn(x, 64, 7, 2, "stem_conv", "stem_bn"))
    x = keras.layers.MaxPooling2D(3, 2, padding="same", dtype=policy)(x)
    bottleneck, stages = NETWORKS[arch]
    for s, blocks in enumerate(stages, 1):
        width = 64 * 2 ** (s - 1)
        for b in range(1, blocks + 1):
            at = f"stage{s}_block{b}_"
            stride = 2 if s > 1 and b == 1 else 1
            if bottleneck:
                filters = 4 * width
                y = relu(conv_bn(x, width, 1, 1, at + "conv1", at + "bn1"))
                y = relu(conv_bn(y, width, 3, stride, at + "conv2", at + "bn2"))
                y = conv_bn(y, filters, 1, 1, at + "conv3", at + "bn3")
            else:
                filters = width
                y = relu(conv_bn(x, width, 3, stride, at + "conv1", at + "bn1"))
                y = conv_bn(y, width, 3, 1, at + "conv2", at + "bn2")
            if x.shape[-1] != filters:
                x = conv_bn(x, filters, 1, stride, at + "shortcut_conv", at + "shortcut_bn")
            x = relu(keras.layers.Add(dtype=policy)([y, x]))
    x = keras.layers.GlobalAveragePooling2D(dtype=wide)(x)
    if dropout:
        x = keras.layers.Dropout(dropout, dtype=wide)(x)
    logits = keras.layers.Dense(outputs, kernel_initializer=he, dtype=wide, name="head")(x)
    return keras.Model(images, logits)


def variables(model):
    """{checkpoint key: Keras variable} of every variable of the model."""
    named = {}
    for layer in model.layers:
        for v in layer.weights:
            if "seed" in v.name:  # Dropout's generator: no part of the network
                continue
            named[layer.name.replace("_", "/") + "/" + v.name] = v
    return named


def read_weights(prefix):
    """{key: array} of the model variables in the checkpoint at prefix.

    Optimizer slots and counters lie beside them and are passed over: only keys
    whose last part is one of Keras' own variable names are the network's.
    """
    reader = tf.train.load_checkpoint(prefix)
    parts = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}
    return {k: reader.get_tensor(k) for k in sorted(reader.get_variable_to_shape_map())
            if k.rsplit("/", 1)[-1] in parts}


def assign(model, weights):
    """Sets every variable of model; any name or shape too many or too few is an error."""
    named = variables(model)
    if named.keys() != weights.keys():
        raise SystemExit(
            "variables differ: only in Keras %s; only in the checkpoint %s"
            % (sorted(named.keys() - weights.keys()), sorted(weights.keys() - named.keys())))
    for key, v in named.items():
        if tuple(v.shape) != weights[key].shape:
            raise SystemExit(f"{key}: shape {tuple(v.shape)} in Keras, {weights[key].shape} in the checkpoint")
        v.assign(weights[key].astype(v.dtype))


def focal_loss(logits, labels, alpha, gamma):
    """Mean focal loss of soft labels in [0, 1], from logits, over every element.

    softplus(-x) is -log p and softplus(x) is -log(1-p): no clip is needed.
    """
    alpha, gamma = float(alpha), float(gamma)
    p, q = tf.sigmoid(logits), tf.sigmoid(-logits)
    positive = labels * alpha * q**gamma * tf.nn.softplus(-logits)
    negative = (1 - labels) * (1 - alpha) * p**gamma * tf.nn.softplus(logits)
    return tf.reduce_mean(positive + negative)


class MuonOfKernels(keras.optimizers.Muon):
    """Keras' Muon, which is for matrices alone, on the blocks' kernels [height, width, in, out] as
    matrices [height * width * in, out] of which a side is 256 at most."""

    def _should_use_adamw(self, variable):
        shape = variable.shape
        return len(shape) != 4 or "stem" in variable.path or min(math.prod(shape[:-1]), shape[-1]) > 256

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign(m, gradient + self.momentum * m)
        ahead = tf.reshape(gradient + self.momentum * m, [-1, variable.shape[-1]])
        step = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(ahead, self.ns_steps))
        self.assign_sub(variable, tf.reshape(step, variable.shape))


def optimizer(spec):
    """The Keras optimizer that spec describes, with the keys of a run's config.json."""
    common = dict(
        learning_rate=0.0,  # assigned before every step
        weight_decay=spec["weight_decay"] or None,
        global_clipnorm=spec["clip_norm"] or None)
    if spec["kind"] == "sgd":
        made = keras.optimizers.SGD(momentum=spec["momentum"], nesterov=True, **common)
    elif spec["kind"] == "adamw":
        # Keras' AdamW is its Adam with a decay that cannot be left out.
        made = keras.optimizers.Adam(
            beta_1=spec["beta1"], beta_2=spec["beta2"], epsilon=spec["epsilon"], **common)
    elif spec["kind"] == "muon":
        made = MuonOfKernels(
            momentum=spec["momentum"], adam_beta_1=spec["beta1"], adam_beta_2=spec["beta2"], epsilon=spec["epsilon"],
            adam_weight_decay=common["weight_decay"], rms_rate=0.5, **common)
    else:
        raise SystemExit("unknown optimizer " + spec["kind"])
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made


def read_spec():
    """The JSON object of the file that the command line names."""
    with open(sys.argv[1]) as f:
        return json.load(f)


def answer(result):
    """Prints result as the one line of JSON on stdout that the caller reads."""
    json.dump(result, sys.stdout)
    sys.stdout.write("\n")


def images(path, n, size):
    return np.fromfile(path, np.uint8).reshape(n, size, size, -1)


def labels(path, n, outputs=37):
    return np.fromfile(path, "<f4").reshape(n, outputs)
