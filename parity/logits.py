"""Logits and moving averages of a Keras ResNet on given weights and images.

In: {"arch": name, "checkpoint": prefix, "mean": [c], "std": [c],
     "cases": [{"size": px, "count": n, "images": file of uint8 [n,px,px,c]}]}
Out: {"cases": [{"size", "inference": logits, "training": logits,
      "inference64": ..., "training64": ..., "moving": {key: array},
      "moving64": {key: array}}]}

The *64 figures are the same network computed in float64 from the same float32
weights: the truth that tells rounding from error. 'training' is a forward pass
on batch statistics; 'moving' holds the moving averages after that one pass.
"""

import keras_resnet as kr


def run(case, spec, weights, dtype):
    model = kr.build(case["size"], spec["mean"], spec["std"], dtype=dtype, arch=spec["arch"])
    kr.assign(model, weights)
    x = kr.images(case["images"], case["count"], case["size"])
    inference = model(x, training=False).numpy()
    training = model(x, training=True).numpy()
    moving = {k: v.numpy().tolist() for k, v in kr.variables(model).items() if "/moving_" in k}
    return inference.tolist(), training.tolist(), moving


def main():
    spec = kr.read_spec()
    weights = kr.read_weights(spec["checkpoint"])
    cases = []
    for case in spec["cases"]:
        inference, training, moving = run(case, spec, weights, "float32")
        inference64, training64, moving64 = run(case, spec, weights, "float64")
        cases.append(dict(
            size=case["size"], inference=inference, training=training, moving=moving,
            inference64=inference64, training64=training64, moving64=moving64))
    kr.answer({"cases": cases})


if __name__ == "__main__":
    main()
