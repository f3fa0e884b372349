"""What PyTorch, timm, torchvision and safetensors' own reader say about weights and files.

In: {"do": one of the functions below, ...its arguments}
Out: what the function returns. Files of images are uint8 [n, px, px, c].
"""

import json
import sys

import numpy as np
import safetensors.torch
import timm
import torch
import torchvision


def network(arch, outputs, channels):
    """timm's network, all of whose parameters and statistics are drawn: nothing is 0 or 1, so that no two of them can be swapped unseen."""
    torch.manual_seed(7)
    model = timm.create_model(arch, pretrained=False, num_classes=outputs, in_chans=channels, zero_init_last=False)
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.5, 1)
            torch.nn.init.normal_(m.bias, 0, 0.2)
            torch.nn.init.normal_(m.running_mean, 0, 0.5)
            torch.nn.init.uniform_(m.running_var, 0.5, 2)
    return model.eval()


def logits(model, cases, mean, std):
    """Logits of a network in float32 and in float64 on normalised images."""
    out = []
    with torch.inference_mode():
        for case in cases:
            images = np.fromfile(case["images"], np.uint8).reshape(case["count"], case["size"], case["size"], -1)
            x = torch.from_numpy((images / 255 - mean) / std).permute(0, 3, 1, 2)
            single = model.float()(x.float()).double().numpy().tolist()
            double = model.double()(x).numpy().tolist()
            model.float()  # float64 has every float32: the weights come back as they were
            out.append({"logits": single, "logits64": double})
    return out


def draw(path, arch, outputs, channels, cases, mean, std, half=""):
    """Draws a network, saves it and says what it predicts; torchvision's network of the same weights predicts the same."""
    model = network(arch, outputs, channels)
    state = model.state_dict()
    if half:
        kind = getattr(torch, half)
        state = {k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}
        model.load_state_dict(state)
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    answer = logits(model, cases, mean, std)
    if channels == 3:
        other = getattr(torchvision.models, arch)(num_classes=outputs).eval()
        other.load_state_dict(state)
        assert logits(other, cases[:1], mean, std)[0]["logits"] == answer[0]["logits"], "torchvision's network is another"
    return {"cases": answer}


def load(path, arch, outputs, channels, cases, mean, std):
    """Loads a file into timm's network, strictly, and says what it predicts."""
    model = timm.create_model(arch, pretrained=False, num_classes=outputs, in_chans=channels).eval()
    model.load_state_dict(safetensors.torch.load_file(path))
    return {"cases": logits(model, cases, mean, std)}


def convert(path, again, outs):
    """Reads a file, writes its tensors by safetensors' own writer, and as each dtype of outs with their values as text."""
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as f:
        safetensors.torch.save_file(tensors, again, metadata=f.metadata())
    answer = {}
    for dtype, out in outs.items():
        kind = getattr(torch, dtype)
        safetensors.torch.save_file({k: v.to(kind) for k, v in tensors.items()}, out)
        answer[dtype] = {k: [repr(x) for x in v.to(kind).double().flatten().tolist()] for k, v in tensors.items()}
    return answer


with open(sys.argv[1]) as f:
    spec = json.load(f)
json.dump(globals()[spec.pop("do")](**spec), sys.stdout)
