"""Inception features: the resizing that their names promise, and weights that run no code."""

import os
import pickle
import sys

import pytest
import torch
import torch.nn.functional as F

from zoo.core.errors import UserError
from zoo.judge.inception import inception
from zoo.judge.subject import features_for

fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network of random weights, in the format of torch-fidelity's file."""
    torch.manual_seed(0)
    whole = fidelity.FeatureExtractorInceptionV3
    load, whole.load_state_dict = whole.load_state_dict, lambda self, state: None
    torch_load, torch.load = torch.load, lambda *a, **k: {}
    try:
        network = whole("x", ["2048"], feature_extractor_weights_path="none")
    finally:
        whole.load_state_dict, torch.load = load, torch_load
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_legacy_is_what_torch_fidelity_computes(weights, images):
    look = inception("legacy", weights)
    network = fidelity.FeatureExtractorInceptionV3(
        "x", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    features, logits = network((images * 255).round().to(torch.uint8))
    found = look(images)
    torch.testing.assert_close(found[0], features)
    torch.testing.assert_close(found[1], logits.softmax(1))


def test_clean_resizes_with_antialiasing(weights):
    fine = torch.rand(2, 3, 400, 400, generator=torch.Generator().manual_seed(2))
    small = F.interpolate(fine, (299, 299), mode="bicubic", antialias=True, align_corners=False)
    clean, legacy = inception("clean", weights), inception("legacy", weights)
    torch.testing.assert_close(clean(fine)[0], legacy(small)[0])
    assert (clean(fine)[0] - legacy(fine)[0]).abs().max() > 1e-3 * clean(fine)[0].abs().max()


def test_grey_images_count_in_three_equal_channels(weights, images):
    look = inception("legacy", weights)
    grey = images.mean(1, keepdim=True)
    torch.testing.assert_close(look(grey)[0], look(grey.expand(-1, 3, -1, -1))[0])


def test_names_say_how_images_are_resized(weights, digits, monkeypatch):
    monkeypatch.setenv("ZOO_INCEPTION", str(weights))
    legacy, clean = (features_for(digits, f"inception-{how}") for how in ("legacy", "clean"))
    assert (legacy.name, clean.name) == ("inception,legacy-resize", "inception,clean-resize")
    assert legacy.sha256 == clean.sha256
    assert legacy.classes == 0  # ImageNet's classes are not the data's


class Evil:
    def __reduce__(self):
        return os._exit, (3,)


def test_foreign_files_run_no_code(tmp_path, weights):
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="not a readable file of weights"):
        inception("legacy", path)
    with pytest.raises(UserError, match="there is no file"):
        inception("legacy", tmp_path / "none.pth")
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="no weights of torch-fidelity's Inception"):
        inception("legacy", path)


def test_without_torch_fidelity_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(UserError, match="pip install torch-fidelity"):
        inception("legacy")


def test_without_a_network_the_way_out_is_named(monkeypatch):
    def fail(*_, **__):
        raise OSError("no route")

    monkeypatch.delenv("ZOO_INCEPTION", raising=False)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(UserError, match="ZOO_INCEPTION"):
        inception("clean")
