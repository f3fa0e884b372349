"""TensorFlow Serving's own Python client, and a plain HTTP client, ask galaxy serve.

    python serve.py QUESTION

QUESTION is a JSON file: {"rest": address, "grpc": address, "images": [paths of JPEGs], "counts": {"rest", "grpc"} of a model of vote
counts}. Prints
the probabilities [N, columns] by "grpc" and by REST in "rows" and in "columns", those of a black
image as "zeros_grpc" and "zeros_rest", which rows are NaN ("broken") and the "errors" by gRPC for a broken file
after a good one, the "state" of the version, and the names of the "signatures"; and of the model of counts the
probabilities and the concentrations, [N, 2 columns], by "grpc" and by "rest", and with the concentrations "judged": NumPy's of the logits.
"""

import base64
import json
import sys
import urllib.request

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2, get_model_status_pb2, model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc)

SECONDS = 60


def main():
    question = json.load(open(sys.argv[1]))
    files = [open(path, "rb").read() for path in question["images"]]
    channel = grpc.insecure_channel(question["grpc"])
    client = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    votes = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(question["counts"]["grpc"]))

    def predict(signature, name, value, client=client):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "galaxy"
        request.model_spec.signature_name = signature
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return {k: tf.make_ndarray(v) for k, v in client.Predict(request, SECONDS).outputs.items()}

    def post(body, address=question["rest"]):
        url = "http://%s/v1/models/galaxy:predict" % address
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=SECONDS))

    metadata = get_model_metadata_pb2.GetModelMetadataRequest()
    metadata.model_spec.name = "galaxy"
    metadata.metadata_field.append("signature_def")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    client.GetModelMetadata(metadata, SECONDS).metadata["signature_def"].Unpack(signatures)
    shape = [d.size for d in signatures.signature_def["serving_default"].inputs["images"].tensor_shape.dim]
    zeros = np.zeros([1] + shape[1:], np.uint8)

    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "galaxy"
    state = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, SECONDS).model_version_status[0].state

    encoded = [{"b64": base64.b64encode(f).decode()} for f in files]
    rows = post({"signature_name": "serving_jpeg", "instances": encoded})["predictions"]
    columns = post({"signature_name": "serving_jpeg", "inputs": {"jpegs": encoded}})["outputs"]
    broken = predict("serving_jpeg", "jpegs", [files[0], b"no image"])
    counts = predict("serving_jpeg", "jpegs", files, votes)
    # docs/votes.md
    alpha = 0.05 + np.exp(counts["logits"].astype(float)) / (1 + np.exp(counts["logits"].astype(float)) / 100)
    counted = post({"signature_name": "serving_jpeg", "instances": encoded}, question["counts"]["rest"])["predictions"]
    json.dump({
        "grpc": predict("serving_jpeg", "jpegs", files)["probabilities"].tolist(),
        "rows": [r["probabilities"] for r in rows],
        "columns": columns["probabilities"],
        "zeros_grpc": predict("serving_default", "images", zeros)["probabilities"].tolist(),
        "zeros_rest": [p["probabilities"] for p in post({"instances": zeros.tolist()})["predictions"]],
        "broken": np.isnan(broken["probabilities"]).all(axis=1).tolist(),
        "errors": [e.decode() for e in broken["errors"]],
        "state": get_model_status_pb2.ModelVersionStatus.State.Name(state),
        "signatures": sorted(signatures.signature_def),
        "counts": {
            "grpc": np.hstack([counts["probabilities"], counts["concentrations"]]).tolist(),
            "rest": [r["probabilities"] + r["concentrations"] for r in counted],
            "judged": np.hstack([counts["probabilities"], alpha]).tolist(),
        },
    }, sys.stdout)


if __name__ == "__main__":
    main()
