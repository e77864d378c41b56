"""The registry of protocols: what each says of itself, on data of any size; and people's own."""

import importlib.util
import math
import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from zoo.core.figures import shown
from zoo.data import DATASETS, ImageSpec
from zoo.judge.catalogue import SCORES, headline, meaning, parameters, row_of
from zoo.judge.protocols import modes
from zoo.judge.protocols.registry import PROTOCOLS, protocol
from zoo.judge.run import evaluate, fitting
from zoo.judge.score import Score, Task, attempt, measure, scored
from zoo.models import MODELS
from zoo.show.comparison import markdown


def built(family, spec, **arguments):
    torch.manual_seed(0)
    return MODELS[family](spec, **arguments).eval()


class Factors:
    """Images whose three pixels are their factors."""

    factor_sizes = (4, 5, 6)
    binarize = "none"
    spec = ImageSpec(1, 1, 3, 0)

    def render(self, factors):
        return (factors / torch.tensor(self.factor_sizes))[:, None, None, :].float()

    def images(self, split):
        return range(100)


class Stacks(DATASETS["Digits"]):
    """Digits that say they are stacks of one."""

    channel_data = "Digits"


def cases():
    """Yields the name of each protocol with a task that it fits, given the digits' features."""
    data, bits = DATASETS["Digits"](), DATASETS["Digits"](binarize="dynamic")
    small = {"hidden": [16]}
    yield "classifier", lambda look: Task(look.network, data)
    codes = {"noise_dim": 4, "width": 4, "features": 8}
    yield "codes", lambda look: Task(built("InfoGAN", data.spec, **codes), data)
    yield "latents", lambda look: Task(built("BetaVAE", data.spec, latent_dim=2), data)
    same = SimpleNamespace(encode=lambda x: x.flatten(1), device="cpu")
    yield "factors", lambda look: Task(same, Factors())
    yield "units", lambda look: Task(same, Factors())
    yield "readers", lambda look: Task(same, Factors())
    yield "log_prob", lambda look: Task(built("NICE", data.spec), data)
    energy = lambda: built("RBM", bits.spec, hidden=4, warming=2, burn_in=0)  # noqa: E731
    yield "annealed", lambda look: Task(energy(), bits, temperatures=5)
    walks = lambda: built("GSN", data.spec, hidden=[8], burn_in=2)  # noqa: E731
    yield "chains", lambda look: Task(walks(), data, features=look)
    yield "parzen", lambda look: Task(walks(), data, features=look)
    yield "ensemble", lambda look: Task(built("MADE", bits.spec, masks=2, **small), bits)
    yield "anomaly", lambda look: Task(built("NICE", data.spec), data)
    yield "elbo", lambda look: Task(built("VAE", bits.spec, latent_dim=2), bits)
    yield "samples", lambda look: Task(built("VAE", data.spec, latent_dim=2), data, features=look)
    grid = DATASETS["GaussianGrid"]()
    yield "centres", lambda look: Task(built("GAN", grid.spec), grid)
    stacks = Stacks()
    yield "stacks", lambda look: Task(built("GAN", data.spec), stacks, features=look)
    yield "midpoints", lambda look: Task(built("GAN", data.spec), data, features=look)


CASES = dict(cases())


def test_every_protocol_is_tried_here_or_with_its_captions():
    assert {*CASES, "attributes", "captions", "places"} == set(PROTOCOLS)


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_protocols_declare_rows_of_the_catalogue(name):
    declared = PROTOCOLS[name].scores
    assert declared and all(score in SCORES for score in declared)
    assert PROTOCOLS[name].score.__doc__


def test_every_row_comes_of_a_protocol():
    assert {score for found in PROTOCOLS.values() for score in found.scores} == set(SCORES)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("name", CASES)
def test_the_tiniest_data_end_nothing(name, limit, features, monkeypatch):
    """Every score has a value, or says in words why not; and its name is read as it was written."""
    monkeypatch.setattr(modes, "STACKS", limit)
    monkeypatch.setattr(modes, "POINTS", limit)
    task = replace(CASES[name](features), limit=limit, importance_samples=2)
    scores, seconds = evaluate(task, only=[name])
    assert list(seconds) == [name] and scores
    for score in scores:
        assert score.head in PROTOCOLS[name].scores
        if score.value is None:
            assert isinstance(score.details["status"], str) and score.details["status"]
            assert "\n" not in score.details["status"]
        else:
            assert math.isfinite(score.value)
        assert (score.unit, score.better) == (SCORES[score.head].unit, SCORES[score.head].better)
        assert parameters({"name": score.name}) == score.parameters
        shown(score.as_dict())
    assert len({score.name for score in scores}) == len(scores)


ANSWERS = (
    "sample",
    "encode",
    "log_prob",
    "log_unnormalised",
    "anneal",
    "chain",
    "ensemble_log_prob",
    "elbo",
    "decode",
    "probabilities",
)


class Diverged:
    """A model whose answers are right for most images, and no numbers for the others."""

    device = torch.device("cpu")

    def __init__(self, model, share):
        self.model, self.share = model, share

    def __getattr__(self, name):
        found = getattr(self.model, name)
        return partial(self.answer, found) if name in ANSWERS else found

    def answer(self, ask, *arguments, **more):
        answer = ask(*arguments, **more).detach().clone()
        answer[: max(1, int(self.share * len(answer)))] = math.nan
        return answer


@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("name", sorted(set(CASES) - {"codes", "centres"}))
def test_answers_that_are_no_numbers_have_no_score(name, share, features, monkeypatch):
    """Not one of those that are left: a mean over the others would hide what is wrong."""
    monkeypatch.setattr(modes, "STACKS", 40)
    task = replace(CASES[name](features), limit=40, importance_samples=2)
    scores = evaluate(replace(task, model=Diverged(task.model, share)), only=[name])[0]
    assert scores
    for score in scores:
        assert score.value is None and score.details["status"], score.name


def test_points_that_are_no_numbers_reach_no_mode(monkeypatch):
    monkeypatch.setattr(modes, "POINTS", 40)
    task = CASES["centres"](None)
    found = {s.head: s for s in evaluate(replace(task, model=Diverged(task.model, 1)))[0]}
    assert found["modes"].value == found["high_quality"].value == 0
    assert found["mode_kl"].value is None


def test_a_small_folder_has_all_scores_that_few_images_allow(tmp_path, features, replay, images):
    """Five unseen images are too few for five neighbours, and enough for a distance."""
    for number, image in enumerate((images("train")[0][:54] * 255).byte()):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{number:02d}.png")
    data = DATASETS["ImageFolder"](str(tmp_path), size=8, channels="grey")
    assert len(data.images("test")) < 6
    scores = evaluate(Task(replay(images("test")[0], data.spec), data, features=features))[0]
    found = {score.head: score for score in scores}
    assert set(found) == {"fid", "kid", "precision", "recall", "density", "coverage",
                          "inception_style", "memorisation_z"}  # fmt: skip
    for name in ("precision", "recall", "density", "coverage"):
        assert found[name].value is None and "6" in shown(found[name].as_dict())
    for name in ("fid", "inception_style", "memorisation_z"):
        assert found[name].value is not None


def test_a_protocol_that_fails_as_a_whole_loses_its_own_scores_alone(digits, monkeypatch):
    def broken(task):
        raise ValueError("nothing to count.\nMore on another line.")

    task = CASES["anomaly"](None)
    whole = {score.name: score.value for score in evaluate(replace(task, limit=20))[0]}
    monkeypatch.setattr(PROTOCOLS["anomaly"], "score", broken)
    found = {score.name: score for score in evaluate(replace(task, limit=20))[0]}
    lost = found.pop("anomaly_auroc")
    assert lost.value is None and lost.details == {"status": "nothing to count"}
    assert lost.better == "higher"
    assert {name: score.value for name, score in found.items()} == {
        name: value for name, value in whole.items() if not name.startswith("anomaly")
    }
    with pytest.raises(ValueError, match="nothing to count"):  # others would wait for this one
        evaluate(replace(task, limit=20, world=2))


def test_defects_are_no_missing_scores(monkeypatch):
    def defect(task):
        raise TypeError("a bug")

    monkeypatch.setattr(PROTOCOLS["anomaly"], "score", defect)
    with pytest.raises(TypeError, match="a bug"):
        evaluate(replace(CASES["anomaly"](None), limit=5))


def test_scores_that_fail_together_say_why_together():
    def fails():
        return [1 / 0]

    tag = {"features": "f", "count": 2, "split": "test"}
    lost = measure(["fid", "kid"], fails, **tag)
    assert [s.name for s in lost] == ["fid[f,2,test]", "kid[f,2,test]"]
    assert {s.details["status"] for s in lost} == {"division by zero"}
    (known,) = attempt(["kid"], lambda: [scored("fid", 1.0, **tag)], **tag)
    assert known == Score("fid[f,2,test]", 1.0, "", "lower", {}, tag)


def test_values_of_a_protocol_that_are_missing_are_left_out():
    tag = {"features": "f", "resize": None, "count": 2000, "split": "test", "bits": False}
    score = scored("fid", 1.0, **tag)
    assert score.name == "fid[f,2k,test]"
    assert score.as_dict()["parameters"] == {"features": "f", "count": 2000, "split": "test"}


OWN = '''
"""A score of one's own: one row and one protocol, in one file."""

from zoo.judge.catalogue import Row, add
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import scored

add(Row("ink", "{count:short},{split}", "share", "lower", "Share of black in an image.", rank=-1))


def fits_ink(task):
    return task.data.spec.channels == 1


@protocol("ink", fits_ink, ["ink"])
def score_ink(task):
    """Mean of what is not white."""
    images = task.data.images(task.split).fetch(range(task.count))
    ink = 1 - float(images.float().mean()) / 255
    return [scored("ink", ink, count=task.count, split=task.split)]
'''


@pytest.fixture
def own(tmp_path):
    """Imports a file from outside of the package, and forgets it afterwards."""
    path = tmp_path / "own_score.py"
    path.write_text(OWN)
    spec = importlib.util.spec_from_file_location("own_score", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    SCORES._entries.pop("ink")
    PROTOCOLS._entries.pop("ink")


def test_a_new_score_is_one_file_and_one_row(own, replay, images, digits):
    task = Task(replay(images("test")[0]), digits, limit=100)
    assert fitting(task) == ["ink"]
    (score,) = evaluate(task)[0]
    assert score.name == "ink[100,test]" and 0 < score.value < 1
    assert (score.unit, score.better) == ("share", "lower")
    plain = score.as_dict()
    assert row_of(plain).brief(0.25) == "25 %"
    assert meaning(score.name) == "Share of black in an image."
    assert headline([{"name": "error[test]", "value": 0.0}, plain]) == plain
    other = {**plain, "value": plain["value"] + 0.1}
    table = markdown({"a": {"scores": [plain]}, "b": {"scores": [other]}})
    assert f"| `ink[100,test]` | **{shown(plain)}** | {shown(other)} | lower |" in table


def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="'samples' is registered twice"):
        protocol("samples", lambda task: True, ["fid"])(lambda task: [])


def test_names_of_protocols_need_no_torch():
    code = (
        "import sys; from zoo.judge.protocols.registry import PROTOCOLS; "
        "assert len(PROTOCOLS) > 10; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
