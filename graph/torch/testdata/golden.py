"""Writes golden.safetensors: the tensors of a ResNet of two bottleneck blocks under torchvision's names, with tiny shapes.

    python3 graph/torch/testdata/golden.py graph/torch/testdata/golden.safetensors

It knows nothing of the Go code: the names are those of torchvision/models/resnet.py, the bytes those of
https://github.com/huggingface/safetensors, both written down here a second time. A tensor's values tell their place,
so that a transposition the wrong way is seen.
"""

import json
import struct
import sys

import numpy as np


def places(*shape):
    """float16 of shape, in which the value at (a, b, c, d) is 512 a + 64 b + 8 c + d."""
    at = np.indices(shape)
    return sum(at[len(shape) - 1 - i] * 8**i for i in range(len(shape))).astype("<f2")


def norm(name):
    yield name + ".weight", places(3) + np.float16(1)
    yield name + ".bias", places(3) + np.float16(2)
    yield name + ".running_mean", places(3) + np.float16(3)
    yield name + ".running_var", places(3) + np.float16(4)
    yield name + ".num_batches_tracked", np.array(7, "<i8")


def tensors():
    yield "conv1.weight", places(3, 2, 4, 5)
    yield from norm("bn1")
    for stage in (1, 2):
        block = f"layer{stage}.0"
        for i in (1, 2, 3):
            yield f"{block}.conv{i}.weight", places(3, 2, 4, 5)
            yield from norm(f"{block}.bn{i}")
        yield f"{block}.downsample.0.weight", places(3, 2, 4, 5)
        yield from norm(f"{block}.downsample.1")
    yield "fc.weight", places(2, 3)
    yield "fc.bias", places(2)


header, data = {"__metadata__": {"format": "pt"}}, b""
for name, x in tensors():
    kind = {"<f2": "F16", "<i8": "I64"}[x.dtype.str]
    header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [len(data), len(data) + x.nbytes]}
    data += x.tobytes()
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
