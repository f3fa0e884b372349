"""pandas, pyarrow and astropy on tables of labels: writes them in many forms, and tells what is in them.

In: {"folder": where to write, "rows": number}
Out: [{"file", "columns": [name, ...], "skipped": [name, ...], "cells": [[[kind, text], ...], ...]}]

The kinds of cells are s (text), i (integer, in decimal), f (float, in hexadecimal), b (boolean) and
n (null). Texts are read back from the files that were written, by pandas, pyarrow or astropy.
"""

import csv
import gzip
import itertools
import json
import os
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table


def catalogue(rng, rows):
    """A catalogue with what real ones have in their columns."""
    votes = rng.integers(0, 80, rows)
    return pd.DataFrame({
        "id_str": [f"J{i:06d}.{i % 100:02d}+{i:d}" for i in range(rows)],
        "objid": 1237648721210769659 + rng.integers(0, 2**40, rows),
        "smooth-or-featured_smooth": votes,
        "count as float": votes.astype(float),
        "fraction": rng.random(rows),
        "small": rng.random(rows).astype("f4"),
        "path": [f"D:\\a\\{i}.fits" if i % 2 else f"x/y z/{i}.jpg" for i in range(rows)],
        "type": rng.choice(["E", "S0", "Compact,-not-star", 'five "inch"', "два;\tтри", "", " padded ", "#5"], rows),
        "missing": np.where(rng.random(rows) < 0.3, np.nan, rng.standard_normal(rows) * 10.0 ** rng.integers(-300, 300, rows)),
        "flag": rng.random(rows) < 0.5,
    })


def texts(folder, frame):
    """Tables of text, and their cells as pandas reads them without any conversion."""
    forms = itertools.product([",", "\t", ";"], ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"], ["\n", "\r\n", "\r"], [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    for n, (separator, encoding, end, quoting) in enumerate(forms):
        name = os.path.join(folder, f"text{n}")
        frame.to_csv(name, sep=separator, index=n % 2 == 0, encoding=encoding, lineterminator=end, quoting=quoting)
        read = pd.read_csv(name, sep=separator, encoding=encoding, dtype=str, keep_default_na=False, lineterminator="\r" if end == "\r" else None)
        columns = ["" if c == "Unnamed: 0" else c for c in read.columns]
        yield {"file": name, "columns": columns, "skipped": [], "cells": [[["s", c] for c in row] for row in read.to_numpy()]}
    # The last one, packed.
    text = open(name, "rb").read()
    with gzip.open(name + ".gz", "wb") as f:
        f.write(text)
    with zipfile.ZipFile(name + ".zip", "w", zipfile.ZIP_BZIP2) as f:
        f.writestr("labels/labels.csv", text)
    for packed in (name + ".gz", name + ".zip"):
        yield {"file": packed, "columns": columns, "skipped": [], "cells": [[["s", c] for c in row] for row in read.to_numpy()]}


def cell(value, kind):
    if value is None:
        return ["n", ""]
    if pa.types.is_boolean(kind):
        return ["b", str(value).lower()]
    if pa.types.is_integer(kind):
        return ["i", str(value)]
    if pa.types.is_floating(kind):
        return ["f", float(value).hex()]
    return ["s", value]


def parquets(folder, frame, rng):
    """Parquet files, and their cells as pyarrow reads them."""
    rows = len(frame)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for dtype in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"):
        info = np.iinfo(dtype)
        values = pa.array(rng.integers(info.min, info.max, rows, dtype, endpoint=True), mask=rng.random(rows) < 0.2)
        table = table.append_column(dtype, values)
    table = table.append_column("category", pa.array(rng.choice(["E", "Sa", "Sb"], rows)).dictionary_encode())
    table = table.append_column("large text", pa.array([f"é{i}" if i % 3 else None for i in range(rows)], pa.large_string()))
    table = table.append_column("nothing but null", pa.nulls(rows, pa.float64()))
    table = table.append_column("picture", pa.array([bytes([i % 256]) * 9 for i in range(rows)], pa.binary()))
    table = table.append_column("list", pa.array([[i, i + 1] for i in range(rows)]))
    table = table.append_column("struct", pa.array([{"bytes": b"x", "path": "y"}] * rows))
    table = table.append_column("time", pa.array(range(rows), pa.timestamp("us")))
    table = table.append_column("day", pa.array(range(rows), pa.date32()))
    table = table.append_column("decimal", pa.array(range(rows), pa.int64()).cast(pa.decimal128(21, 2)))
    table = table.append_column("half", pa.array(rng.random(rows).astype("f2")))
    skipped = ["picture", "list", "struct", "time", "day", "decimal", "half"]
    forms = itertools.product(["none", "snappy", "gzip", "brotli", "zstd"], ["1.0", "2.0"], [True, False], [700, None], ["1.0", "2.6"])
    for n, (compression, page, dictionary, group, version) in enumerate(forms):
        name = os.path.join(folder, f"table{n}.parquet")
        encodings = {"objid": "DELTA_BINARY_PACKED", "id_str": "DELTA_BYTE_ARRAY", "path": "DELTA_LENGTH_BYTE_ARRAY", "fraction": "BYTE_STREAM_SPLIT"} if not dictionary and version == "2.6" else None
        pq.write_table(table, name, compression=compression, data_page_version=page, use_dictionary=dictionary, row_group_size=group,
                       version=version, column_encoding=encodings, data_page_size=4096 if n % 2 else None, write_statistics=n % 3 != 0, write_page_checksum=n % 5 == 0)
        passed = ["flag"] * (page == "2.0" and version == "2.6") + skipped  # booleans are then encoded as run lengths
        read = pq.read_table(name).drop_columns(passed)
        columns = [[cell(v, t.value_type if pa.types.is_dictionary(t) else t) for v in column.to_pylist()] for column, t in zip(read.columns, read.schema.types)]
        yield {"file": name, "columns": read.column_names, "skipped": passed, "cells": list(map(list, zip(*columns)))}
    name = os.path.join(folder, "no rows.parquet")
    pq.write_table(table.slice(0, 0), name)
    yield {"file": name, "columns": table.drop_columns(skipped).column_names, "skipped": skipped, "cells": []}


def binary_tables(folder, frame):
    """FITS files, and their cells as astropy reads them."""
    frame = frame.drop(columns="type")  # which is not ASCII
    for name in ("table.fits", "table.fits.gz"):
        name = os.path.join(folder, name)
        Table.from_pandas(frame).write(name)
        with fits.open(name) as hdus:
            data = hdus[1].data
            names = data.columns.names
            rows = [[of_fits(data[c][i]) for c in names] for i in range(len(data))]
        yield {"file": name, "columns": names, "skipped": [], "cells": rows}


def of_fits(value):
    if isinstance(value, (bool, np.bool_)):
        return ["b", str(bool(value)).lower()]
    if isinstance(value, np.integer):
        return ["i", str(value)]
    if isinstance(value, np.floating):
        return ["n", ""] if np.isnan(value) else ["f", float(value).hex()]
    return ["s", str(value)]


def main():
    with open(sys.argv[1]) as f:
        spec = json.load(f)
    rng = np.random.default_rng(5)
    frame = catalogue(rng, spec["rows"])
    json.dump([*texts(spec["folder"], frame), *parquets(spec["folder"], frame, rng), *binary_tables(spec["folder"], frame)], sys.stdout)


if __name__ == "__main__":
    main()
