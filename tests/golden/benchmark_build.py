"""clip_benchmark build reads what clipx eval --json prints: LAION's own code makes a CSV of it, which must have every measure.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install --no-deps clip-benchmark==1.6.2
    /tmp/venv/bin/python tests/golden/benchmark_build.py build/release/clipx

Its build command needs nothing but the standard library, but cli.py imports torch and all data sets and models: where those are not
installed they are replaced by empty modules. The data are the images of examples/ with classes and captions made here.
"""

import csv
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import types

HERE = pathlib.Path(__file__).resolve().parents[2]


def cli():
    """clip_benchmark.cli; where an import of it is missing, over empty modules."""

    class anything(types.ModuleType):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return []

    try:
        return importlib.import_module("clip_benchmark.cli")
    except ImportError:
        names = ("torch", "datasets", "datasets.builder", "metrics", "models", "model_collection")
        for name in [n if n == "torch" else "clip_benchmark." + n for n in names]:
            sys.modules[name] = anything(name)
        return importlib.import_module("clip_benchmark.cli")


def results(clipx, folder):
    """The JSON files of a zero-shot and a retrieval evaluation."""
    images = sorted((HERE / "examples/images").glob("*.png"))
    for image in images:
        for kind in ("classes/" + image.stem, "captions"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / image.name).write_bytes(image.read_bytes())
        (folder / "captions" / (image.stem + ".txt")).write_text(f"a photo of a {image.stem}\na {image.stem}\n")
    (folder / "classes.txt").write_text("".join(image.stem + "\n" for image in images))
    commands = {"zeroshot": ["--data", folder / "classes", "--classes", folder / "classes.txt"], "retrieval": ["--data", folder / "captions"]}
    for task, arguments in commands.items():
        with open(folder / f"{task}.json", "w") as out:
            subprocess.run([clipx, "eval", task, "--json", *arguments], stdout=out, check=True)
    return [folder / f"{task}.json" for task in commands]


def main():
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        files = results(sys.argv[1], folder)
        table = folder / "benchmark.csv"
        sys.argv = ["clip_benchmark", "build", *map(str, files), "--output", str(table)]
        cli().main()
        rows = list(csv.DictReader(open(table)))
        assert len(rows) == len(files), rows
        for path, row in zip(files, rows):
            want = json.loads(path.read_text())
            for name, value in want["metrics"].items():
                assert float(row[name]) == value, (path, name, value, row)
            for name in ("dataset", "model", "pretrained", "task", "language"):
                assert row[name] == want[name] and row[name], (path, name, row)
            assert row["model_fullname"] == want["model"] + " " + want["pretrained"]
            print(row["task"], row["dataset"], row["model_fullname"], *(f"{n}={row[n]}" for n in want["metrics"]))


if __name__ == "__main__":
    main()
