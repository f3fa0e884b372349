"""What TensorFlow's own readers find in our files.

In: {"checkpoint": prefix, "savedmodels": [{"dir", "images": file, "count", "size",
     "jpegs": [file, ...]}], "events": folder}
Out: {"tensors": {key: {"shape", "dtype", "values"}},
      "savedmodels": [{signature: {"input", "dtype", "shape",
                                   "outputs": {name: array}, "cli": {name: array}}}],
      "events": {tag: [[step, value], ...]}}
Any of the three may be missing from the input; then it is from the output.

'outputs' come from tf.saved_model.load, 'cli' from the program saved_model_cli,
called in this process.
'values' are the first sixteen numbers of a tensor and its sum.
"""

import contextlib
import os
import tempfile

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow.python.tools import saved_model_cli

import keras_resnet as kr


def tensors(prefix):
    reader = tf.train.load_checkpoint(prefix)
    found = {}
    for key, shape in reader.get_variable_to_shape_map().items():
        value = reader.get_tensor(key)
        flat = np.asarray(value, np.float64).ravel()
        found[key] = {
            "shape": list(shape), "dtype": value.dtype.name,
            "values": [*flat[:16].tolist(), float(flat.sum())]}
    return found


def run_cli(folder, signature, key, value):
    """The outputs of `saved_model_cli run` on the same input."""
    with tempfile.TemporaryDirectory() as scratch:
        given = os.path.join(scratch, "input.npy")
        np.save(given, value)
        with contextlib.redirect_stdout(None):  # it prints the outputs too
            saved_model_cli.create_parser().parse_args([
                "run", "--dir", folder, "--tag_set", "serve", "--signature_def", signature,
                "--inputs", f"{key}={given}", "--outdir", scratch]).func()
        os.remove(given)
        return {f.removesuffix(".npy"): np.load(os.path.join(scratch, f)).tolist() for f in os.listdir(scratch)}


def signatures(case):
    """Calls every signature: encoded JPEGs where the input is strings, else the pixels."""
    loaded = tf.saved_model.load(case["dir"], tags=["serve"])
    answers = {}
    for name, f in loaded.signatures.items():
        inputs = f.structured_input_signature[1]
        (key, spec), = inputs.items()
        if spec.dtype == tf.string:
            # A plain bytes array (it drops zeros at the end, but a JPEG ends
            # with FF D9) can be stored without pickle.
            value = np.array([open(p, "rb").read() for p in case["jpegs"]])
        else:
            value = kr.images(case["images"], case["count"], case["size"])
        outputs = f(**{key: tf.constant(value)})
        answers[name] = {
            "input": key, "dtype": spec.dtype.name,
            "shape": [-1 if d is None else d for d in spec.shape.as_list()],
            "outputs": {k: v.numpy().tolist() for k, v in outputs.items()},
            "cli": run_cli(case["dir"], name, key, value)}
    return answers


def events(folder):
    accumulator = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0})  # 0: all points
    accumulator.Reload()
    found = {}
    tags = accumulator.Tags()
    for tag in tags["scalars"]:
        found[tag] = [[e.step, e.value] for e in accumulator.Scalars(tag)]
    for tag in tags["tensors"]:  # TensorFlow 2's way to write a scalar
        found[tag] = [[e.step, float(tf.make_ndarray(e.tensor_proto))] for e in accumulator.Tensors(tag)]
    return found


def main():
    spec, result = kr.read_spec(), {}
    if "checkpoint" in spec:
        result["tensors"] = tensors(spec["checkpoint"])
    if "savedmodels" in spec:
        result["savedmodels"] = [signatures(case) for case in spec["savedmodels"]]
    if "events" in spec:
        result["events"] = events(spec["events"])
    kr.answer(result)


if __name__ == "__main__":
    main()
