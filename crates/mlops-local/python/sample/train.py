"""Trains the sample models of this folder and writes them as MLflow models.

Run it with the locked environment, only when the sample has to change:

    python train.py

It writes, beside itself, one folder for each model and a probe for each:

- `iris`         what `up` registers as version 1: a logistic regression over the iris table;
- `iris-v2`      a deliberately different model (strong regularisation) with the same right
                 answers on the probe rows: what tests move an alias to;
- `iris-broken`  loads without a complaint and answers wrong: what a probe must catch.

`NAME.probe.json` holds Open Inference Protocol inputs and the classes to expect;
`switch.json` holds one row on which `iris` and `iris-v2` answer differently, so that a test can
tell from an answer alone which of the two gave it.

The table ships with scikit-learn, so nothing is downloaded. What would differ from run to run
(identifiers, times) is replaced by fixed values: the same versions write the same bytes.
"""

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import mlflow.sklearn
import numpy
import pandas
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).resolve().parent
# One plain example of each class.
PROBE_ROWS = [0, 60, 100]
# No version: one sample serves every Python version of the lock file.
REQUIREMENTS = ["scikit-learn", "skops"]
FIXED_TIME = "2026-01-01 00:00:00.000000"


def tensors(rows: pandas.DataFrame) -> list:
    """Returns the rows as inputs of an infer request: one tensor a column, as MLServer wants it."""
    return [
        {
            "name": column,
            "shape": [len(rows), 1],
            "datatype": "FP64",
            "data": [float(value) for value in rows[column]],
        }
        for column in rows.columns
    ]


def save(name: str, model: LogisticRegression, table: pandas.DataFrame) -> Path:
    """Writes one model folder from nothing."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    mlflow.sklearn.save_model(
        model,
        str(folder),
        signature=infer_signature(table, model.predict(table)),
        input_example=table.iloc[[0]],
        pip_requirements=REQUIREMENTS,
    )
    settle(folder, name)
    return folder


def settle(folder: Path, name: str) -> None:
    """Replaces what differs from run to run."""
    archive = folder / "model.skops"
    with zipfile.ZipFile(archive) as source:
        members = {info.filename: source.read(info) for info in source.infolist()}
    # Object identifiers are memory addresses; the arrays are stored in files of the same names.
    schema = members.pop("schema.json").decode()
    found = dict.fromkeys(re.findall(r'"__id__": (\d+)', schema))
    numbers = {address: str(position) for position, address in enumerate(found, start=1)}
    schema = re.sub(r"\d{9,}", lambda match: numbers.get(match[0], match[0]), schema)
    members = {
        re.sub(r"^\d+", lambda match: numbers.get(match[0], match[0]), key): value
        for key, value in members.items()
    }
    members["schema.json"] = schema.encode()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for key in sorted(members):
            entry = zipfile.ZipInfo(key, (1980, 1, 1, 0, 0, 0))
            target.writestr(entry, members[key], zipfile.ZIP_DEFLATED)
    description = folder / "MLmodel"
    size = sum(file.stat().st_size for file in folder.iterdir() if file != description)
    identifier = name.encode().hex().ljust(32, "0")[:32]
    text = description.read_text()
    for key, value in (
        ("model_uuid", identifier),
        ("utc_time_created", f"'{FIXED_TIME}'"),
        ("model_size_bytes", str(size)),
    ):
        text = re.sub(rf"(?m)^{key}: .*$", f"{key}: {value}", text)
    description.write_text(text)


def main() -> None:
    """Trains, writes and tests the three models."""
    table, classes = load_iris(return_X_y=True, as_frame=True)
    rows = table.iloc[PROBE_ROWS]
    expected = [int(value) for value in classes.iloc[PROBE_ROWS]]
    first = LogisticRegression(max_iter=1000).fit(table, classes)
    second = LogisticRegression(max_iter=1000, C=0.05).fit(table, classes)
    broken = LogisticRegression(max_iter=1000).fit(table, (classes + 1) % 3)
    for name, model in (("iris", first), ("iris-v2", second), ("iris-broken", broken)):
        folder = save(name, model, table)
        answers = [int(value) for value in mlflow.pyfunc.load_model(str(folder)).predict(rows)]
        if (answers == expected) is (name == "iris-broken"):
            sys.exit(f"{name} answers {answers} where {expected} was expected")
        probe = {"inputs": tensors(rows), "expected": expected}
        (HERE / f"{name}.probe.json").write_text(json.dumps(probe, indent=1) + "\n")
    differing = numpy.flatnonzero(first.predict(table) != second.predict(table))
    if len(differing) == 0:
        sys.exit("iris and iris-v2 answer alike on every row")
    row = table.iloc[[int(differing[0])]]
    switch = {
        "inputs": tensors(row),
        "iris": [int(first.predict(row)[0])],
        "iris-v2": [int(second.predict(row)[0])],
    }
    (HERE / "switch.json").write_text(json.dumps(switch, indent=1) + "\n")


if __name__ == "__main__":
    main()
