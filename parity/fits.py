"""astropy on FITS files: makes files of all kinds, and prints what it reads from files.

    fits.py QUESTION.json      reads "files", and those of all kinds that it makes in the folder "make";
                               writes pixels to the file "values", the rest to stdout
    fits.py golden FOLDER      the files and values of data/fits/testdata
"""

import bz2
import gzip
import io
import json
import os
import sys
import time
import warnings

import numpy as np
from astropy.io import fits

warnings.simplefilter("ignore")


def images(rng, size):
    """Every BITPIX, with what changes the values."""
    shape = (size - 2, size)
    hdus = [fits.PrimaryHDU()]

    def add(name, data, **cards):
        hdu = fits.ImageHDU(data, name=name)
        hdus.append(hdu)
        for key, value in cards.items():
            hdu.header[key] = value
        return hdu

    ints = {bits: np.iinfo(dtype) for bits, dtype in ((8, "u1"), (16, "i2"), (32, "i4"), (64, "i8"))}
    for bits, info in ints.items():
        data = rng.integers(info.min, info.max, shape, info.dtype, endpoint=True)
        add(f"int{bits}", data)
        add(f"scaled{bits}", data, BSCALE=0.14077320041, BZERO=4615.1918315)
        add(f"zero{bits}", data, BZERO=-3)
        add(f"scale{bits}", data, BSCALE=-2)
        blank = data.copy()
        blank.flat[::3] = 7
        add(f"blank{bits}", blank, BLANK=7)
        add(f"scaledblank{bits}", blank, BLANK=7, BSCALE=0.1)
    for dtype in ("u2", "u4", "u8", "i1"):
        info = np.iinfo(dtype)
        add(f"pseudo{dtype}", rng.integers(info.min, info.max, shape, dtype, endpoint=True))
    for dtype in ("f4", "f8"):
        data = (rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 30, shape)).astype(dtype)
        add(f"float{dtype}", data)
        holes = data.copy()
        holes.flat[::4] = np.nan
        holes.flat[1::7] = np.inf
        holes.flat[2::7] = -0.0
        add(f"holes{dtype}", holes, BLANK=7)
        add(f"scaled{dtype}", holes, BSCALE=0.3, BZERO=-1e-3)
        add(f"negative{dtype}", holes, BSCALE=-0.3)
    add("cube", rng.standard_normal((3, *shape)).astype("f4"))
    add("degenerate", rng.standard_normal((1, 1, *shape)).astype("f8"))
    add("degenerate cube", rng.integers(0, 99, (1, 2, 1, *shape)).astype("i2"))
    add("line", np.arange(5))
    add("four", np.zeros((2, 2, 3, 4), "u1"))
    return fits.HDUList(hdus)


def tiles(rng, size):
    """Images in tiles: methods, tiles, quantising, dithering."""
    shape = (size - 2, size)
    hdus = [fits.PrimaryHDU()]

    def add(name, data, method, quantise=None, **more):
        if quantise:
            more |= {"quantize_method": quantise, "dither_seed": int(rng.integers(1, 10001))}
        hdus.append(fits.CompImageHDU(data, name=name, compression_type=method, **more))

    small = np.cumsum(rng.integers(-3, 4, shape), axis=1)
    cube = np.cumsum(rng.integers(-9, 10, (5, *shape)), axis=2)
    some = (max(2, size // 3), max(2, size // 2))
    for method in ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS"):
        for dtype in ("u1", "i2", "i4", "u2", "u4", "i1"):
            if method == "PLIO_1" and dtype in ("u2", "u4", "i1"):
                continue
            data = (abs(small) if method == "PLIO_1" or dtype[0] == "u" else small).astype(dtype)
            add(f"{method} {dtype}", data, method)
            add(f"{method} {dtype} tiles", data, method, tile_shape=some)
        if method != "PLIO_1":
            wild = rng.integers(-(2**31), 2**31, shape).astype("i4")
            wild[:2] = 5
            add(f"{method} wild", wild, method, tile_shape=(3, size))
            add(f"{method} cube", cube.astype("i2"), method, tile_shape=(2, 3, size // 2))
            add(f"{method} long cube", cube.astype("i4")[:, None], method)
    for method in ("GZIP_1", "GZIP_2", "NOCOMPRESS"):
        add(f"{method} i8", rng.integers(-(2**62), 2**62, shape), method)
        add(f"{method} u8", rng.integers(0, 2**64, shape, "u8"), method)
        for dtype in ("f4", "f8"):
            data = rng.standard_normal(shape).astype(dtype)
            data[1, 1] = np.nan
            add(f"{method} lossless {dtype}", data, method, quantize_level=0)
    sky = rng.standard_normal((3 * size, 2 * size)) + 100 * np.exp(-np.hypot(*np.indices((3 * size, 2 * size)) - size) / 9)
    sky[3:6, 1:9] = 0
    for dither in ("NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2"):
        names = {"NO_DITHER": -1, "SUBTRACTIVE_DITHER_1": 1, "SUBTRACTIVE_DITHER_2": 2}
        for method in ("RICE_1", "GZIP_1", "GZIP_2"):
            for dtype in ("f4", "f8"):
                data = sky.astype(dtype)
                add(f"{method} {dtype} {dither}", data, method, names[dither])
                holes = data.copy()
                holes[2:4, 2:9] = np.nan
                holes[7] = 3.25  # cannot be quantised
                add(f"{method} {dtype} {dither} holes", holes, method, names[dither], tile_shape=(2, 2 * size) if size % 2 else (1, 2 * size))
    add("scaled float", sky.astype("f4"), "RICE_1", 1)
    hdus[-1].header["BSCALE"], hdus[-1].header["BZERO"] = 2.0, 0.1
    blank = small.astype("i2")
    blank[1:3, 1:3] = 7
    add("blank", blank, "RICE_1")
    hdus[-1].header["BLANK"] = 7
    add("HCOMPRESS_1", small.astype("i2") if size > 20 else np.zeros((16, 16), "i2"), "HCOMPRESS_1")
    return fits.HDUList(hdus)


def tables(rng, size):
    """Columns of all forms."""
    columns = [
        fits.Column("id", "K", array=rng.integers(-(2**63), 2**63, size, "i8")),
        fits.Column("uid", "K", bzero=2**63, array=rng.integers(0, 2**64, size, "u8")),
        fits.Column("name", "12A", array=[f"J{i:05d}+{i}  " for i in range(size)]),
        fits.Column("null", "J", null=-99, array=np.where(np.arange(size) % 3, np.arange(size), -99)),
        fits.Column("flag", "L", array=rng.random(size) < 0.5),
        fits.Column("byte", "B", array=rng.integers(0, 256, size).astype("u1")),
        fits.Column("sbyte", "B", bzero=-128, array=rng.integers(-128, 128, size).astype("i1")),
        fits.Column("short", "I", unit="mag", array=rng.integers(-(2**15), 2**15, size).astype("i2")),
        fits.Column("ushort", "I", bzero=2**15, array=rng.integers(0, 2**16, size).astype("u2")),
        fits.Column("uint", "J", bzero=2**31, array=rng.integers(0, 2**32, size).astype("u4")),
        fits.Column("float", "E", array=np.where(np.arange(size) % 4, rng.standard_normal(size), np.nan).astype("f4")),
        fits.Column("double", "D", array=rng.standard_normal(size)),
        fits.Column("scaled", "I", array=rng.integers(-300, 300, size).astype("i2")),
        fits.Column("flux", "3E", array=rng.standard_normal((size, 3)).astype("f4")),
        fits.Column("words", "12A", dim="(4,3)", array=np.array([[f"a{i}", "", f"c{i}"] for i in range(size)])),
        fits.Column("bits", "11X", array=rng.random((size, 11)) < 0.5),
        fits.Column("complex", "C", array=rng.standard_normal(size).astype("c8")),
        fits.Column("variable", "PJ()", array=np.array([np.arange(i % 4) for i in range(size)], dtype=object)),
        fits.Column("last", "J", array=np.arange(size)),
    ]
    ascii_columns = [fits.Column("x", "F8.3", array=np.arange(size) / 7, ascii=True)]
    table = fits.BinTableHDU.from_columns(columns, name="all")
    scaled = 1 + [c.name for c in columns].index("scaled")
    # astropy would scale the column back, so the file gets TSCAL and TZERO for these.
    table.header[f"XSCAL{scaled}"], table.header[f"XZERO{scaled}"] = 0.01, 3.25
    return fits.HDUList([fits.PrimaryHDU(), table, fits.TableHDU.from_columns(ascii_columns, name="ascii")])


def primary(rng, size):
    """An image in the primary HDU behind a header with all kinds of cards."""
    hdu = fits.PrimaryHDU(rng.standard_normal((size, size + 1)).astype("f4"))
    hdu.header["LONG"] = "it's a 'long' one & goes on " * 6
    hdu.header["HIERARCH ESO DET DIT"] = 5.5
    hdu.header["EMPTY"] = ""
    hdu.header["BAND"] = ("g", "with a comment / and a slash")
    hdu.header["EXPTIME"] = 1.5e-3
    hdu.header["COUNT"] = -12
    hdu.header["GOOD"] = True
    for i in range(size):
        hdu.header["HISTORY"] = f"step {i}"
    return fits.HDUList([hdu])


def make(folder, size):
    """Writes the files and returns their paths."""
    rng = np.random.default_rng(21)
    paths = []
    for kind in (images, tiles, tables, primary):
        path = os.path.join(folder, kind.__name__ + ".fits")
        kind(rng, size).writeto(path)
        with open(path, "rb") as f:
            content = f.read().replace(b"XSCAL", b"TSCAL").replace(b"XZERO", b"TZERO")
        with open(path, "wb") as f:
            f.write(content)
        paths.append(path)
        for suffix, compress in ((".gz", gzip.compress), (".bz2", bz2.compress)):
            with open(path + suffix, "wb") as f:
                f.write(compress(content))
            paths.append(path + suffix)
    return paths


def cell(value):
    """A cell of a table as text; floats in hexadecimal."""
    if isinstance(value, (np.floating, float)):
        return "null" if np.isnan(value) else float(value).hex()
    return str(value)


def column_cells(hdu, column):
    """The columns that a column becomes, as [name, cells]."""
    values = hdu.data[column.name]
    if column.name == "bits":
        return [[column.name, ["".join("01"[int(b)] for b in row) for row in values]]]
    if values.ndim == 1:
        cells = ["null" if column.null is not None and v == column.null else cell(v) for v in values]
        return [[column.name, cells]]
    return [[f"{column.name}_{i + 1}", [cell(v) for v in values[:, i]]] for i in range(values.shape[1])]


def read(path, out):
    """What astropy has of a file: the HDUs, with values as raw float64 in the file out or as a list."""
    answer = []
    with fits.open(path) as hdus:
        for i, hdu in enumerate(hdus):
            one = {"name": hdu.name if i else "", "compressed": getattr(hdu, "compression_type", "")}
            if hdu.is_image and hdu.shape and 0 not in hdu.shape:
                one["axes"] = hdu.shape[::-1]
                values = hdu.data.astype(np.float64)
                if out is None:
                    one["values"] = [v.hex() for v in values.ravel().tolist()]
                else:
                    one["at"] = out.tell()
                    out.write(values.tobytes())
            elif isinstance(hdu, fits.BinTableHDU):
                one["columns"] = [c for column in hdu.columns if column.format[0] not in "CMPQ" for c in column_cells(hdu, column)]
            answer.append(one)
    return {"path": path, "hdus": answer}


def seconds(bitpix, size, path):
    """Writes an image and returns how long astropy takes to read it from memory as float64."""
    data = np.arange(size * size).reshape(size, size) % 120
    fits.PrimaryHDU(data.astype(">f4" if bitpix < 0 else ">i2")).writeto(path)
    with open(path, "rb") as f:
        content = f.read()
    best = np.inf
    for _ in range(7):
        rounds = max(1, 2**20 // size**2)
        start = time.perf_counter()
        for _ in range(rounds):
            with fits.open(io.BytesIO(content)) as hdus:
                hdus[0].data.astype(np.float64)
        best = min(best, (time.perf_counter() - start) / rounds)
    return best


def main():
    if sys.argv[1] == "golden":
        folder = sys.argv[2]
        keep = ("images.fits.gz", "tiles.fits.gz", "tables.fits.gz", "primary.fits.bz2")
        golden = []
        for path in make(folder, 5):
            name = os.path.basename(path)
            if name in keep:
                golden.append(read(path, None) | {"path": name})
            else:
                os.remove(path)
        with gzip.open(os.path.join(folder, "values.json.gz"), "wt") as f:
            json.dump(golden, f)
        return
    with open(sys.argv[1]) as f:
        question = json.load(f)
    files = make(question["make"], 23) if question["make"] else question["files"] or []
    with open(question["values"], "wb") as out:
        read_files = [read(path, out) for path in files]
    speed = [{"path": path, "seconds": seconds(bitpix, size, path)} for bitpix, size, path in question["time"] or []]
    json.dump({"files": read_files, "speed": speed}, sys.stdout)


if __name__ == "__main__":
    main()
