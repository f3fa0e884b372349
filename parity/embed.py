"""Tables of features as pandas, pyarrow and NumPy read them, the features themselves by TensorFlow, and the
nearest of each galaxy by scikit-learn.

In: {"savedmodel": folder, "images": file of uint8 [n,px,px,c], "count": n, "size": px,
     "parquet", "npy", "csv": tables of their features, "k": neighbours of each}
Out: {"features": [[float] for each image], "different": {format: values that differ in a bit},
      "ids": {format: [id]}, "types": {format: text},
      "nearest": [[row] for each image], "distances": [[cosine distance]]}
"""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

import keras_resnet as kr


def main():
    spec = kr.read_spec()
    model = tf.saved_model.load(spec["savedmodel"])
    x = kr.images(spec["images"], spec["count"], spec["size"])
    features = model.prune("images:0", "features:0")(tf.constant(x)).numpy()

    parquet = pq.read_table(spec["parquet"])
    frame = pd.read_csv(spec["csv"], float_precision="round_trip")
    npy = np.load(spec["npy"], allow_pickle=False)
    values = {
        "parquet": pd.read_parquet(spec["parquet"]).filter(regex="^f[0-9]+$").to_numpy(),
        "npy": npy,
        "csv": frame.filter(regex="^f[0-9]+$").to_numpy(np.float32),
    }
    same = lambda a, b: a.shape == b.shape and a.dtype == b.dtype == np.float32
    judge = NearestNeighbors(n_neighbors=spec["k"], metric="cosine", algorithm="brute").fit(npy)
    distances, nearest = judge.kneighbors(npy)
    kr.answer({
        "features": features.tolist(),
        "different": {
            name: int((v.view(np.uint32) != features.view(np.uint32)).sum()) if same(v, features) else -1
            for name, v in values.items()},
        "ids": {
            "parquet": parquet["GalaxyID"].to_pylist(), "csv": frame["GalaxyID"].tolist(),
            "npy": [int(line) for line in open(spec["npy"] + ".ids.txt")]},
        "types": {"parquet": ", ".join(sorted({str(f.type) for f in parquet.schema})), "npy": f"{npy.dtype} {npy.flags.c_contiguous}"},
        "nearest": nearest.tolist(), "distances": distances.tolist()})


if __name__ == "__main__":
    main()
