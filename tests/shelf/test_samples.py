"""Samples of every published model for seed 0 stay what they were, to the last bit.

Kernels of other processors and releases of torch round otherwise. So the hash of the bytes is kept
for each kind of machine that it was taken on, and everywhere else the images' mean grey values must
agree: all but a few, since one pixel that falls otherwise changes all later pixels of its image.

``python tests/shelf/test_samples.py`` takes the hashes of this machine, for a new model or release.
"""

import hashlib
import json
import platform
import re
from pathlib import Path

import pytest
import torch

import zoo

FILE = Path(__file__).with_name("samples.json")
KEPT = json.loads(FILE.read_text()) if FILE.is_file() else {}
COUNT = 8


def machine():
    """Tells machines apart that round sums differently: by torch, and a hash of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = platform.processor()
    found = re.findall(r"^(?:vendor_id|cpu family|model|model name)\s*: (.*)$", text, re.MULTILINE)
    kind = hashlib.sha256(", ".join(dict.fromkeys(found)).encode()).hexdigest()[:8]
    return f"torch {torch.__version__.partition('+')[0]}, processor {kind}"


def drawn(name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = zoo.load(name)
        if not hasattr(model, "sample"):
            return None
        return model.sample(COUNT, seed=0).contiguous()
    finally:
        torch.set_num_threads(threads)


def taken(images):
    """Returns the hash of images, and the mean of each."""
    means = [round(value, 6) for value in images.double().flatten(1).mean(dim=1).tolist()]
    return hashlib.sha256(images.numpy().tobytes()).hexdigest(), means


@pytest.mark.parametrize("name", zoo.available())
def test_samples_stay_what_they_were(name):
    images = drawn(name)
    if images is None:
        assert name not in KEPT  # a classifier
        return
    sha256, means = taken(images)
    assert sha256 == KEPT[name]["sha256"].get(machine(), sha256)
    far = sum(abs(a - b) > 1e-4 for a, b in zip(means, KEPT[name]["means"], strict=True))
    assert far <= COUNT // 4


def test_nothing_is_kept_of_models_that_are_gone():
    assert KEPT.keys() <= set(zoo.available())


if __name__ == "__main__":
    for name in zoo.available():
        if (images := drawn(name)) is not None:
            sha256, means = taken(images)
            old = KEPT.get(name, {"sha256": {}, "means": means})
            KEPT[name] = {"sha256": {**old["sha256"], machine(): sha256}, "means": old["means"]}
    FILE.write_text(json.dumps(KEPT, indent=1, sort_keys=True) + "\n")
