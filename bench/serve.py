"""A service of the Keras peer by FastAPI: what galaxy serve is compared with.

    GALAXY_RUN=RUN uvicorn serve:app --workers N

It takes TensorFlow Serving's request of one file, {"instances": [{"b64": "…"}]}, and answers with the
logits and the probabilities of each image, as galaxy serve does. One worker per core, each with one thread,
and a traced function.
"""

import base64
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parity"))

import keras_resnet as kr  # noqa: E402
import tensorflow as tf  # noqa: E402
from fastapi import FastAPI, Request  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

run = os.environ["GALAXY_RUN"]
config = json.load(open(os.path.join(run, "config.json")))
size, crop = config["model"]["size"], config["cache"]["crop"]
offset = (424 - crop) // 2
model = kr.build(
    size, config["model"]["channel_mean"], config["model"]["channel_std"],
    dtype=os.environ.get("KERAS_DTYPE", "float32"))
latest = open(os.path.join(run, "checkpoints", "LATEST")).read().strip()
kr.assign(model, kr.read_weights(os.path.join(run, "checkpoints", latest, "variables")))


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def predict(file):
    image = tf.image.decode_and_crop_jpeg(file, [offset, offset, crop, crop], channels=3)
    image = tf.cast(tf.round(tf.image.resize(image, [size, size])), tf.uint8)
    logits = model(image[None], training=False)[0]
    return logits, tf.sigmoid(logits)


app = FastAPI()


@app.get("/readyz")
def ready():
    return "ready"


@app.post("/v1/models/galaxy:predict")
async def answer(request: Request):
    predictions = []
    for one in (await request.json())["instances"]:
        logits, probabilities = predict(tf.constant(base64.b64decode(one["b64"])))
        predictions.append({"logits": logits.numpy().tolist(), "probabilities": probabilities.numpy().tolist()})
    return {"predictions": predictions}
