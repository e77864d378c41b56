"""Every registered model keeps the contract; registering is enrolling here."""

import warnings

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from zoo.contract.capabilities import capabilities
from zoo.contract.spec import Batch, check_kinds
from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageSpec
from zoo.data.registry import kinds_of_all
from zoo.models import MODELS
from zoo.shelf.weights import load
from zoo.shelf.writing import write_entry

SPECS = [ImageSpec(1, 8, 8, 10), ImageSpec(1, 28, 28, 10), ImageSpec(3, 32, 32, 10)]
SPECS += [ImageSpec(3, 64, 64, 0)]
DIGITS = SPECS[0]
BATCHES = 6  # enough for every player to have its turn


def make(name, spec=DIGITS):
    torch.manual_seed(0)
    return MODELS[name](spec)


def ids(spec):
    return "x".join(map(str, spec.shape))


class Gradients(L.Callback):
    """Notes which parameters ever received a gradient, and every loss that was logged."""

    def __init__(self):
        self.touched = set()

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        for name, parameter in pl_module.named_parameters():
            if parameter.grad is not None and bool(parameter.grad.abs().sum() > 0):
                self.touched.add(name)


@pytest.fixture
def trained(request, tmp_path):
    model = make(request.param)
    gradients = Gradients()
    trainer = L.Trainer(
        max_epochs=1, limit_train_batches=BATCHES, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        log_every_n_steps=1, callbacks=[gradients], default_root_dir=tmp_path,
        use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bits = "dynamic" if model.needs_bits else "none"
        trainer.fit(model, DATASETS["Digits"](batch_size=32, binarize=bits))
    return model, gradients, trainer


@pytest.mark.parametrize("trained", MODELS, indirect=True)
def test_finite_losses_and_every_parameter_gets_a_gradient(trained):
    model, gradients, trainer = trained
    losses = {k: v for k, v in trainer.callback_metrics.items() if k.startswith("train/")}
    assert losses and all(torch.isfinite(v) for v in losses.values())
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning - gradients.touched == set()
    assert trainer.global_step == BATCHES


@pytest.mark.parametrize("name", MODELS)
def test_shelf_round_trip_keeps_every_answer(name, tmp_path):
    model = make(name).to(memory_format=torch.channels_last).eval()  # as training leaves it
    write_entry("model", model, {}, half=False, shelf=tmp_path)
    again = load("model", shelf=tmp_path)
    if hasattr(model, "sample"):
        torch.testing.assert_close(again.sample(3, seed=1), model.sample(3, seed=1), rtol=0, atol=0)
    if hasattr(model, "encode"):
        x = torch.rand(3, *DIGITS.shape)
        torch.testing.assert_close(again.encode(x), model.encode(x), rtol=0, atol=0)


@pytest.mark.parametrize("spec", SPECS, ids=ids)
@pytest.mark.parametrize("name", [n for n in MODELS if hasattr(MODELS[n], "sample")])
def test_samples_have_the_promised_shape_and_range_and_repeat(name, spec):
    model = make(name, spec)
    model.train()
    images = model.sample(3, seed=1)
    assert images.shape == (3, *spec.shape) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert not images.requires_grad and model.training
    torch.testing.assert_close(model.sample(3, seed=1), images, rtol=0, atol=0)
    assert not torch.equal(model.sample(3, seed=2), images)
    state = torch.get_rng_state()
    model.sample(2, seed=1)
    assert torch.equal(torch.get_rng_state(), state), "a seeded sample moves the global stream"
    assert model.sample(0, seed=1).shape == (0, *spec.shape)
    with pytest.raises(UserError):
        model.sample(-1)


@pytest.mark.parametrize("name", MODELS)
def test_every_declared_capability_works(name):
    model, x = make(name), torch.rand(4, *DIGITS.shape)
    can = capabilities(model)
    assert can == capabilities(MODELS[name])
    if "encode" in can:
        assert model.encode(x).shape[0] == 4
    if "reconstruct" in can:
        assert model.reconstruct(x).shape == x.shape
    for bound in {"log_prob", "elbo"} & set(can):
        assert getattr(model, bound)(x).shape == (4,)
    if "classify" in can:
        codes = model.classify(x)
        assert codes.shape == (4,) and codes.dtype == torch.int64
        assert 0 <= codes.min() and codes.max() < model.num_codes
    if "traverse" in can:
        for code in model.codes():
            rows = model.traverse(code, rows=2, steps=3, seed=0)
            assert rows.shape[0] == 2 and rows.shape[2:] == DIGITS.shape
            again = model.traverse(code, rows=2, steps=3, seed=0)
            torch.testing.assert_close(again, rows, rtol=0, atol=0)
        with pytest.raises(UserError, match=model.codes()[0]):
            model.traverse("no such code")
    if "interpolate" in can:
        assert model.interpolate(rows=2, steps=3).shape == (2, 3, *DIGITS.shape)


@pytest.mark.parametrize("name", MODELS)
def test_images_that_do_not_fit_are_refused_in_a_sentence(name):
    try:
        make(name, ImageSpec(1, 25, 25, 10))
    except UserError as error:
        assert "25x25" in str(error)


# ------------------------------------------------------------------ in a person's own script


def plainly(model, loader, tmp_path, **arguments):
    """Trains two batches as a person would, with nothing of the zoo around."""
    trainer = L.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=tmp_path,
        **{"max_steps": 2, **arguments},
    )  # fmt: skip
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, loader)
    assert trainer.global_step == 2 and model.training
    assert any(not torch.equal(v, before[name]) for name, v in model.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_trains_under_a_plain_trainer_with_pairs_from_any_loader(name, tmp_path):
    pixels, labels = torch.randint(256, (24, 8, 8), dtype=torch.uint8), torch.arange(24) % 10
    if MODELS[name].needs_bits:
        with pytest.raises(UserError, match=r"learns from bits.*--data.binarize"):
            plainly(make(name), DataLoader(pixels, batch_size=8), tmp_path)
        pixels = pixels // 128 * 255
    plainly(make(name).eval(), DataLoader(TensorDataset(pixels, labels), batch_size=8), tmp_path)


class Streamed(IterableDataset):
    """Batches without an end."""

    def __iter__(self):
        while True:
            yield Batch(
                torch.rand(8, 3, 16, 16), torch.zeros(8).long(), torch.randint(1, 3, (8, 4)),
                torch.randint(2, (8, 1)),
            )  # fmt: skip


@pytest.mark.parametrize("name", ["StackGAN", "AttributeClassifier"])
def test_those_that_need_more_train_with_batches_from_any_loader(name, tmp_path):
    spec = ImageSpec(3, 16, 16, words=("a", "b"), attributes=(("size", 2),))
    plainly(make(name, spec), DataLoader(Streamed(), batch_size=None), tmp_path)
    with pytest.raises(UserError, match="which its loader does not yield"):
        plainly(make(name, spec), DataLoader(torch.rand(8, 3, 16, 16), batch_size=8), tmp_path)


@pytest.mark.parametrize(("name", "data", "says"), [
    ("StackGAN", "CelebA", "StackGAN needs captions or labels, which CelebA does not have: choose "
                           "Digits, MNIST, .*CaptionedShapes"),
    ("PixelCNN", "GaussianGrid", "PixelCNN needs images, which GaussianGrid does not have: choose"),
    ("Classifier", "CaptionedShapes", "Classifier needs labels, .* choose Digits"),
])  # fmt: skip
def test_a_recipe_whose_data_lack_a_kind_is_refused_with_those_that_have_it(name, data, says):
    needs, kinds = MODELS[name].needs, DATASETS[data].kinds
    with pytest.raises(UserError, match=says):
        check_kinds(name, needs, data, kinds, kinds_of_all)


def test_a_data_module_refuses_a_model_that_needs_more(tmp_path):
    with pytest.raises(UserError, match="MADE needs images, which TwoMoons does not have"):
        plainly(make("MADE"), DATASETS["TwoMoons"](), tmp_path)
