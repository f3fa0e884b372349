"""Grad-CAM by Keras' GradientTape, after Selvaraju et al. 2017 (arXiv 1610.02391).

In: {"arch": name, "checkpoint": prefix, "mean": [c], "std": [c], "size": px,
     "images": file of uint8 [n,px,px,c], "selected": [output of each image]}
Out: {"maps": [[h*w] for each image], "features": [[channels] for each image]}
"""

import keras
import keras_resnet as kr
import tensorflow as tf


def main():
    spec = kr.read_spec()
    model = kr.build(spec["size"], spec["mean"], spec["std"], arch=spec["arch"])
    kr.assign(model, kr.read_weights(spec["checkpoint"]))
    pool = next(layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    inner = keras.Model(model.input, [pool.input, pool.output, model.output])
    x = kr.images(spec["images"], len(spec["selected"]), spec["size"])
    with tf.GradientTape() as tape:
        feature_maps, features, logits = inner(x, training=False)
        chosen = tf.gather(logits, spec["selected"], axis=1, batch_dims=1)
    alpha = tf.reduce_mean(tape.gradient(chosen, feature_maps), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(alpha * feature_maps, axis=3))
    kr.answer({"maps": tf.reshape(maps, (len(x), -1)).numpy().tolist(), "features": features.numpy().tolist()})


if __name__ == "__main__":
    main()
