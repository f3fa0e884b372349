"""Answers the questions of a run of the tests, one after another: TensorFlow is imported once,
which takes longer than most answers.

Reads lines of JSON, [script, file of the question], and answers each with a line
{"answer": what the script printed, "error": its traceback or null}.
"""

import contextlib
import io
import json
import os
import runpy
import sys
import traceback
import warnings

from keras_resnet import keras  # which sets TensorFlow up before it is imported


def answer(script, question):
    sys.argv = [script, question]
    printed, error = io.StringIO(), None
    keras.backend.set_floatx("float32")
    keras.backend.clear_session()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            runpy.run_path(script, run_name="__main__")
    except (Exception, SystemExit):
        error = traceback.format_exc()
    return {"answer": printed.getvalue(), "error": error}


def main():
    # What TensorFlow itself writes to stdout would be taken for an answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        json.dump(answer(*json.loads(line)), out)
        out.write("\n")
        out.flush()


if __name__ == "__main__":
    main()
