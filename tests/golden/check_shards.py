"""Reads a folder of shards that clipx wrote (curate filter, dedup, decontaminate, run) as other readers do: Python's tarfile, and
webdataset where it is installed. Both must find the same samples, as many as sizes.json says, each with an image and a JSON object.

    python3 tests/golden/check_shards.py FOLDER
"""
import json
import pathlib
import sys
import tarfile


def by_tarfile(path):
    samples = {}
    with tarfile.open(path) as tar:
        for member in tar:
            assert member.isfile() and member.mtime == 0 and member.uid == 0, member.name
            key, suffix = member.name.split(".", 1) if "/" not in member.name else (
                member.name[: member.name.index(".", member.name.rindex("/"))], member.name.rsplit("/", 1)[1].split(".", 1)[1])
            samples.setdefault(key, {})[suffix] = tar.extractfile(member).read()
    return samples


def by_webdataset(path):
    import webdataset
    samples = {}
    for sample in webdataset.WebDataset(str(path), shardshuffle=False):
        samples[sample["__key__"]] = {k: v for k, v in sample.items() if not k.startswith("__")}
    return samples


def main(folder):
    sizes = json.loads((folder / "sizes.json").read_text())
    assert sorted(sizes) == sorted(p.name for p in folder.glob("*.tar")), "sizes.json names other shards"
    try:
        import webdataset
        others = webdataset.__version__
    except ImportError:
        others = None
    total = 0
    for name, count in sizes.items():
        samples = by_tarfile(folder / name)
        assert len(samples) == count, (name, len(samples), count)
        if others:
            assert by_webdataset(folder / name) == samples, name
        for key, members in samples.items():
            facts = json.loads(members["json"])
            assert isinstance(facts["curate"], dict), key
            assert any(suffix in members for suffix in ("jpg", "png", "jpeg", "webp")), key
        total += count
    print(f"{total} samples in {len(sizes)} shards: tarfile" + (f" and webdataset {others}" if others else ", no webdataset here"))


main(pathlib.Path(sys.argv[1]))
