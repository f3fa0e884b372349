"""A model card as huggingface_hub reads it.

In: {"card": file of Markdown}
Out: {"name", "license", "library", "pipeline", "tags", "metrics": {name: value}, "split"}
"""

import json
import sys

from huggingface_hub import ModelCard

with open(sys.argv[1], encoding="utf-8") as f:
    path = json.load(f)["card"]
with open(path, encoding="utf-8") as f:
    data = ModelCard(f.read()).data
results = data.eval_results
print(json.dumps({
    "name": data.model_name, "license": data.license, "library": data.library_name,
    "pipeline": data.pipeline_tag, "tags": data.tags, "split": results[0].dataset_split,
    "metrics": {r.metric_name: r.metric_value for r in results},
}))
