"""Images that Pillow writes, or reads, for images_test.go.

    python images.py QUESTION

QUESTION is a JSON file: "make", a folder to fill with images of all kinds, or "root", a folder to
search for images; "seconds", how long to measure. Prints a list of {"path", "width", "height",
"rgb", "grey"}: a file, and the files of its pixels, uint8 RGB, over black, 16 bits divided by 257,
and of those in mode L.
"depth" is 8, or 16 for a file of 16 bits in colour, of which Pillow reads the high bytes alone.
With "draft", a JPEG's path, it writes the pixels that libjpeg gives in mode L to the file "pixels".
With "time", a path, it prints {"seconds"} instead: how long Pillow takes to decode the file, in
RGB, and to reduce it to 64 px with its box filter.
"""

import itertools
import json
import os
import sys
import time

import numpy as np
from PIL import Image


def make(folder):
    rng = np.random.default_rng(5)
    width, height = 37, 26
    y, x = np.mgrid[0:height, 0:width]
    light = np.exp(-np.hypot(x - 18, y - 13) / 6)
    grey = np.clip(20 + 220 * light + rng.normal(0, 4, light.shape), 0, 255).astype(np.uint8)
    rgb = np.stack([grey, (grey * 0.8).astype(np.uint8), 255 - grey], -1)
    alpha = rng.integers(0, 256, grey.shape, np.uint8)
    images = {
        "grey": Image.fromarray(grey),
        "grey16": Image.fromarray(rng.integers(0, 65536, grey.shape, np.uint16)),
        "bilevel": Image.fromarray(grey > 60),
        "rgb": Image.fromarray(rgb),
        "rgba": Image.fromarray(np.dstack([rgb, alpha])),
        "la": Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]),
        "palette": Image.fromarray(rgb).quantize(50),
        "palette4": Image.fromarray(rgb).quantize(4),
    }
    ways = {
        "png": [{}, {"compress_level": 1}, {"optimize": True}],
        "tif": [{"compression": c} for c in (None, "tiff_lzw", "tiff_deflate", "packbits")],
        "webp": [{"lossless": True, "exact": True}, {"quality": 30}, {"quality": 90}],
        "bmp": [{}],
    }
    kinds = {
        "png": images, "bmp": ["grey", "rgb", "palette"],
        "tif": ["grey", "grey16", "rgb", "palette"], "webp": ["rgb", "rgba"],
    }
    for suffix in ways:
        for kind, (i, options) in itertools.product(kinds[suffix], enumerate(ways[suffix])):
            images[kind].save(os.path.join(folder, f"{kind}{i}.{suffix}"), **{k: v for k, v in options.items() if v})
    y, x = np.mgrid[0:424, 0:424]
    light = np.exp(-np.hypot(x - 212, y - 212) / 40)
    noise = rng.normal(0, 4, (424, 424, 3))
    large = np.clip(8 + 200 * light[..., None] * [1, 0.8, 0.5] + noise, 0, 255).astype(np.uint8)
    Image.fromarray(large).save(os.path.join(folder, "large-rgb.png"))
    Image.fromarray(large[..., 0]).save(os.path.join(folder, "large-grey.png"))
    deep = np.clip(2000 + 60000 * light + 250 * noise[..., 0], 0, 65535).astype(np.uint16)
    Image.fromarray(deep).save(os.path.join(folder, "large-grey16.png"))
    images["palette"].save(os.path.join(folder, "transparent.png"), transparency=bytes(range(50)))
    images["rgb"].save(os.path.join(folder, "keyed.png"), transparency=tuple(int(v) for v in rgb[3, 3]))


def pixels(image):
    """The image as uint8 RGB over black, and its depth."""
    if image.mode.startswith("I;16"):
        return np.repeat(np.round(np.asarray(image) / 257)[..., None], 3, 2).astype(np.uint8)
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        values = np.asarray(image.convert("RGBA")).astype(int)
        return np.round(values[..., :3] * values[..., 3:] / 255).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


def depth(path, image):
    if image.format == "TIFF" and image.mode == "RGB":
        return max(image.tag_v2.get(258, (8,)))
    return 8


def measure(path, seconds):
    best = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        with Image.open(path) as image:
            image.convert("RGB").resize((64, 64), Image.Resampling.BOX)
        best.append(time.perf_counter() - start)
    return sorted(best)[len(best) // 2]


def main():
    with open(sys.argv[1]) as f:
        question = json.load(f)
    if question.get("time"):
        json.dump({"seconds": measure(question["time"], question["seconds"])}, sys.stdout)
        return
    if question.get("draft"):
        with Image.open(question["draft"]) as image:
            image.draft("L", image.size)
            np.asarray(image).tofile(question["pixels"])
        json.dump(None, sys.stdout)
        return
    root = question.get("make") or question["root"]
    if question.get("make"):
        make(root)
    answer = []
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                with Image.open(path) as image:
                    if image.format not in ("PNG", "TIFF", "WEBP", "BMP"):
                        continue
                    values, bits = pixels(image), depth(path, image)
            except Exception:
                continue
            out = os.path.join(question["pixels"], str(len(answer)))
            values.tofile(out)
            np.asarray(Image.fromarray(values).convert("L")).tofile(out + "-grey")
            answer.append({
                "path": path, "width": values.shape[1], "height": values.shape[0],
                "rgb": out, "grey": out + "-grey", "depth": bits})
    json.dump(answer, sys.stdout)


main()
