"""Health: decisions on plain numbers, and a callback that says each finding once."""

import json
from types import SimpleNamespace

import pytest
import torch

from zoo.contract.knobs import turn
from zoo.core.errors import UserError
from zoo.training.callbacks.health import (
    Health,
    alike,
    alike_finding,
    exploding_log_det,
    idle_units,
    idle_units_finding,
    log_findings,
    lost_codes,
    lost_codes_finding,
    not_falling,
    saturated,
)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.38, 1.2, 0.05, 0.03, 0.02], True),
        ([0.05, 0.03], False),  # too early
        ([0.01, 0.02, 0.01, 0.9], False),  # recovered
        ([0.05, 0.2, 0.05], False),
        ([], False),
    ],
)
def test_saturation(losses, expected):
    assert saturated(losses) is expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([100, 101, 99, 100, 102, 103], True),
        ([100, 90, 80, 70, 60, 50], False),
        ([100, 40, 40, 40, 41, 40], False),  # fell early and stays
        ([100, 101, 102], False),  # too early
        ([-10, -20, -30, -40, -50, -60], False),  # densities are allowed negative nats
    ],
)
def test_losses_that_do_not_fall(losses, expected):
    assert not_falling(losses) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([50, 60, 55, 500, 9e3, 8e5], True),
        ([-50, -60, -55, -500, -9e3, -8e5], True),
        ([50, 60, 55, 8e5, 9e3, 500], False),  # comes back
        ([5e5, 6e5, 7e5, 7.1e5, 7.2e5, 7.3e5], False),  # large images have large ones
        ([1, 2, 3, 50, 400, 900], False),  # still small
    ],
)
def test_log_determinants(values, expected):
    assert exploding_log_det(values) is expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([100, 99, 1, 0], [2, 3]),
        ([25, 25, 25, 25], []),
        ([300, 50, 25, 125], []),
        ([5, 0, 0, 0], []),  # too few images to tell
        ([500], []),
    ],
)
def test_lost_codes(counts, expected):
    assert lost_codes(counts) == expected


def test_idle_units_are_those_that_images_do_not_move():
    codes = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    codes[:, 1] *= 0.05  # variance 0.0025
    codes[:, 3] = 7.0
    assert idle_units(codes) == [1, 3]
    finding = idle_units_finding(codes, {"beta": 4.0})
    assert finding.startswith("2 of 4 latent units are idle")
    assert "lower --model.beta (now 4)" in finding
    assert idle_units_finding(codes[:, :3], {}) is None  # one in three is not a finding


def test_lost_codes_in_words():
    assert "code 1 is hardly used" in lost_codes_finding([60, 0], {})
    assert "codes 1, 2 and 3 are hardly used" in lost_codes_finding([90, 0, 0, 0], {})
    assert lost_codes_finding([30, 30], {}) is None


def test_logged_findings_name_the_knob():
    found = log_findings(
        {"train/discriminator_loss": [0.01] * 3, "train/log_det_nats": [1, 1, 1, 1e3, 1e4, 1e5],
         "train/nelbo_nats": [9.0] * 6},
        {"lr_discriminator": 2e-4, "dropout": 0.3},
    )  # fmt: skip
    assert sorted(name.partition(" ")[0] for name in found) == ["explosion", "no", "saturation"]
    saturation = found["saturation of discriminator_loss"]
    assert "lower --model.lr_discriminator (now 0.0002)" in saturation
    assert "--model.jitter" not in saturation


@pytest.mark.parametrize(
    "name", ["train/critic_loss", "train/generator_loss", "val/nll_nats", "train/rate_nats"]
)
def test_what_need_not_fall_is_left_alone(name):
    assert log_findings({name: [1.0] * 10}, {}) == {}


def test_knobs_are_those_that_the_model_has():
    assert turn({}, ("raise", "dropout")) == ""
    assert turn({"betas": [0.5, 0.9], "lr": 1e-3}, ("lower", "lr"), ("lower", "betas")) == (
        "lower --model.lr (now 0.001) or lower --model.betas (now 0.5, 0.9)"
    )


def test_a_critic_that_ignores_its_penalty():
    found = log_findings({"train/gradient_penalty": [0.1, 9.0, 9.0, 9.0]}, {"gp_weight": 0.1})
    assert "raise --model.gp_weight (now 0.1)" in found["steepness of gradient_penalty"]
    assert log_findings({"train/gradient_penalty": [9.0, 9.0, 0.5]}, {"gp_weight": 0.1}) == {}


def test_samples_that_are_alike():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(200, 1, 4, 4, generator=generator)
    assert alike(images[:100], images) == pytest.approx(1, abs=0.05)
    one = images[:1] + 0.2 * (images - images[:1])  # one image with a little of the others
    assert alike(one, images) == pytest.approx(0.2, abs=0.02)
    assert alike_finding(images[:100], images, {}) is None
    said = alike_finding(one, images, {"packing": 1})
    assert "20% as much" in said and "raise --model.packing (now 1)" in said


# ------------------------------------------------------------------------- the callback


class Model:
    """Infers a code that is always 0, from two units of which neither moves."""

    device = torch.device("cpu")
    hparams = {"lr_discriminator": 2e-4}
    num_codes = 4

    def __init__(self):
        self.said, self.seen = [], 0

    def classify(self, x):
        self.seen = len(x)
        assert 0 <= x.min() and x.max() <= 1
        return torch.zeros(len(x), dtype=torch.int64)

    def encode(self, x):
        return torch.ones(len(x), 2)

    def print(self, text):
        self.said.append(text)


def epochs(health, model, number, loss=0.01, start=0, **more):
    images = SimpleNamespace(
        __len__=None, fetch=lambda rows: torch.full((len(rows), 1, 2, 2), 255, dtype=torch.uint8)
    )

    class Images(list):
        fetch = staticmethod(images.fetch)

    data = SimpleNamespace(images=lambda split: Images(range(700)))
    for epoch in range(start, start + number):
        trainer = SimpleNamespace(
            current_epoch=epoch, max_epochs=10, is_global_zero=True, fast_dev_run=False,
            callback_metrics={"train/discriminator_loss": torch.tensor(loss)}, datamodule=data,
        )  # fmt: skip
        for key, value in more.items():
            setattr(trainer, key, value)
        health.on_train_epoch_end(trainer, model)


def test_each_finding_is_said_once_and_kept(tmp_path):
    health, model = Health(tmp_path, every=2), Model()
    epochs(health, model, 10)
    assert len(model.said) == 3 and all(line.startswith("health: ") for line in model.said)
    kept = json.loads((tmp_path / "health.json").read_text())
    assert {name: finding["epoch"] for name, finding in kept.items()} == {
        "saturation of discriminator_loss": 3, "lost codes": 6, "idle units": 6,
    }  # fmt: skip
    assert model.seen == 500


def test_a_healthy_run_leaves_no_file(tmp_path):
    health, model = Health(tmp_path, every=100), Model()
    epochs(health, model, 5, loss=1.3)
    assert model.said == [] and list(tmp_path.iterdir()) == []


def test_a_figure_that_was_not_logged_again_counts_once(tmp_path):
    health, model = Health(tmp_path, every=100), Model()
    old = {"train/discriminator_loss": torch.tensor(0.01)}
    epochs(health, model, 8, callback_metrics=old)
    assert model.said == []


def test_a_continued_run_says_nothing_twice(tmp_path):
    whole, model = Health(tmp_path, every=2), Model()
    epochs(whole, model, 7)
    again, other = Health(tmp_path, every=2), Model()
    again.load_state_dict(json.loads(json.dumps(whole.state_dict())))  # plain values only
    epochs(again, other, 3, start=7)
    assert other.said == []
    assert again.history["train/discriminator_loss"] == pytest.approx([0.01] * 10)


def test_other_processes_keep_silent(tmp_path):
    health, model = Health(tmp_path, every=2), Model()
    epochs(health, model, 10, is_global_zero=False)
    assert model.said == [] and list(tmp_path.iterdir()) == []
    assert len(health.findings) == 3  # so that all processes hold one state


def test_a_trial_run_writes_nothing(tmp_path):
    epochs(Health(tmp_path, every=2), Model(), 10, fast_dev_run=True)
    assert list(tmp_path.iterdir()) == []


def test_every_must_be_positive(tmp_path):
    with pytest.raises(UserError, match="at least 1"):
        Health(tmp_path, 0)


def test_a_generator_that_makes_one_image_is_named(tmp_path):
    class Generator:
        device, hparams = torch.device("cpu"), {"lr_generator": 1e-3}

        def sample(self, n, *, seed=None):
            return torch.full((n, 1, 2, 2), 0.5)

        def print(self, text):
            self.said = text

    model, health = Generator(), Health(tmp_path, every=1)
    fetch = lambda rows: torch.randint(256, (len(rows), 1, 2, 2), dtype=torch.uint8)  # noqa: E731
    images = type("Images", (list,), {"fetch": staticmethod(fetch)})(range(700))
    trainer = SimpleNamespace(
        current_epoch=9, max_epochs=10, is_global_zero=True, fast_dev_run=False,
        callback_metrics={}, datamodule=SimpleNamespace(images=lambda split: images),
    )  # fmt: skip
    health.on_train_epoch_end(trainer, model)
    assert "samples are alike: they vary 0% as much" in model.said
    assert "lower --model.lr_generator" in model.said
