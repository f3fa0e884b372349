"""astropy's stretches of images: prints 0 to 1 for every pixel, NaN where nothing is.

    stretch.py QUESTION.json      reads float32 pixels from the file "values", [bands, pixels] for each case;
                                  writes float64 of the same shape to the file "levels"
"""

import json
import sys
import warnings

import numpy as np
from astropy.visualization import AsinhStretch, LinearStretch, LogStretch, ManualInterval, SqrtStretch, make_lupton_rgb
from astropy.visualization.lupton_rgb import AsinhMapping

warnings.simplefilter("ignore")


class Unrounded(AsinhMapping):
    """make_lupton_rgb's mapping, with the fractions of a level that it cuts off."""

    def levels(self, bands):
        bands = [band - minimum for band, minimum in zip(bands, self.minimum)]
        factor = self.map_intensity_to_uint8(self.intensity(*bands))
        out = np.maximum([band * factor for band in bands], 0)
        return out / np.maximum(out.max(axis=0), 255)


def limits(values, case):
    values = values[np.isfinite(values)].astype("f8")
    if not case["percentile"]:
        return case["low"], case["high"]
    low, high = np.percentile(values, [case["low"], case["high"]])
    return (low, high) if low < high else (values.min(), values.max())


def stretched(bands, case):
    if case["function"] == "lupton":
        low, high = limits(bands, case)
        a = case["softening"]
        q = 10 * np.sinh(np.arcsinh(1 / a) / 10)
        exact = bands.astype("f8")
        levels = Unrounded(low, a * q * (high - low), q).levels(exact)
        shown = make_lupton_rgb(*exact[:, None], minimum=low, stretch=a * q * (high - low), Q=q)
        assert np.abs(np.moveaxis(shown[0], -1, 0) - np.floor(255 * levels)).max() <= 1
        return levels
    function = {
        "linear": LinearStretch(),
        "sqrt": SqrtStretch(),
        "log": LogStretch(),
        "asinh": AsinhStretch(case["softening"] or 0.1),
    }[case["function"]]
    out = []
    for band in bands:
        interval = ManualInterval(*limits(bands if case["joint"] else band, case))
        exact = np.where(np.isfinite(band), band.astype("f8"), np.nan)
        out.append(function(interval(exact, clip=True), clip=False))
    return np.array(out)


def main():
    with open(sys.argv[1]) as f:
        question = json.load(f)
    values = np.fromfile(question["values"], "<f4")
    at, levels = 0, []
    for case in question["cases"]:
        bands = values[at : at + case["bands"] * case["pixels"]].reshape(case["bands"], case["pixels"])
        at += bands.size
        levels.append(stretched(bands, case).astype("f8").ravel())
    np.concatenate(levels).tofile(question["levels"])
    json.dump({}, sys.stdout)


main()
