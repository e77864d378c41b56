"""Models answer in their own number format, and the same whatever torch's defaults are."""

import warnings
from contextlib import contextmanager

import lightning as L
import pytest
import torch

import zoo
from zoo.contract.capabilities import capabilities
from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageSpec
from zoo.models import MODELS

DIGITS = ImageSpec(1, 8, 8, 10)


def images(spec, n=2):
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.rand(n, *spec.shape, generator=generator, device="cpu", dtype=torch.float32)
    return (noise * 255).round() / 255


def answers_of(model, x):
    """Asks for everything that a model can tell."""
    can, told = capabilities(model), {}
    small = {"rows": 1, "steps": 2, "seed": 0}
    if "sample" in can:
        told["sample"] = model.sample(2, seed=1)
    for name in (
        "encode", "reconstruct", "classify", "features", "probabilities", "attributes",
        "log_prob", "ensemble_log_prob", "elbo",
    ):  # fmt: skip
        if callable(getattr(model, name, None)):
            torch.manual_seed(0)
            told[name] = getattr(model, name)(x)
    if "decode" in can:
        size = getattr(model, "code_size", getattr(model, "latent_dim", 0))
        told["decode"] = model.decode(torch.zeros(2, size, device="cpu", dtype=torch.float32))
    if "complete" in can:
        told["complete"] = model.complete(x, x > 0.5, seed=1)
    if "traverse" in can:
        told["traverse"] = model.traverse(sorted(model.codes())[0], **small)
    if "interpolate" in can:
        told["interpolate"] = model.interpolate(**small)
    if "illustrate" in can:
        tokens = torch.ones(2, 3, device="cpu", dtype=torch.int64)
        told["illustrate"] = model.illustrate(tokens, seed=1)
    return told


@contextmanager
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def elsewhere_by_default():
    """New tensors land where none has values: whoever forgets to say where notices."""
    with torch.device("meta"):
        yield


DEFAULTS = [float64_by_default, elsewhere_by_default]


@pytest.mark.parametrize("default", DEFAULTS, ids=lambda default: default.__name__)
@pytest.mark.parametrize("name", zoo.available())
def test_torch_s_defaults_change_neither_published_weights_nor_answers(name, default):
    model = zoo.load(name)
    x, state = images(model.spec), model.state_dict()
    before = answers_of(model, x)
    with default():
        again = zoo.load(name)
        after = answers_of(again, x)
    for key, tensor in again.state_dict().items():
        assert (tensor.dtype, tensor.device) == (state[key].dtype, state[key].device), key
        published = not key.startswith(tuple(getattr(model, "not_published", ())))
        assert not published or torch.equal(tensor, state[key]), key
    for key, told in before.items():
        assert after[key].dtype == told.dtype and torch.equal(after[key], told), key


FORMATS = {torch.float64: 1e-4, torch.float16: 0.03, torch.bfloat16: 0.15}  # and what may differ
FREE = ("elbo", "traverse")  # noise of another stream; which code is first may hang on rounding
REFUSED = r"cannot answer in b?float16.*\.float\(\)"


def too_coarse(model, dtype):
    return getattr(model, "needs_float32", False) and dtype.itemsize < 4


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("name", zoo.available())
def test_published_models_answer_in_their_own_format_or_say_why_not(name, dtype):
    model = zoo.load(name)
    x = images(model.spec)
    before = answers_of(model, x)
    if too_coarse(model.to(dtype), dtype):
        with pytest.raises(UserError, match=REFUSED):
            answers_of(model, x)
        return
    for key, told in answers_of(model, x).items():
        if told.is_floating_point():
            assert told.dtype == dtype and told.isfinite().all(), key
        if key not in FREE:
            scale = 1 + before[key].abs().max()
            far = (told.double() - before[key].double()).abs() > FORMATS[dtype] * scale
            assert far.double().mean() < 0.05, key  # a pixel may fall otherwise, and those after it


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_every_family_answers_in_its_own_format_or_says_why_not(name, dtype):
    torch.manual_seed(0)
    model, x = MODELS[name](DIGITS).eval().to(dtype), images(DIGITS)
    if too_coarse(model, dtype):
        with pytest.raises(UserError, match=REFUSED):
            answers_of(model, x)
        return
    for given in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for key, told in answers_of(model, x.to(given)).items():
            if told.is_floating_point():
                assert told.dtype == dtype and told.isfinite().all(), key


VARIANTS = [(name, {}) for name in MODELS]
VARIANTS += [("VAE", arguments) for arguments in (
    {"posterior": "iaf"}, {"samples": 4, "resampled": 2},
    {"likelihood": "logistic"}, {"feature_network": "features_digits"},
)]  # fmt: skip
VARIANTS += [
    ("GAN", {"conditional": True}), ("MADE", {"augment": 1, "masks": 2}),
    ("NADE", {"augment": 1, "orders": 2}), ("PixelCNN", {"outputs": "categorical"}),
    ("RBM", {"visible": "gaussian"}), ("RBM", {"persistent": False, "centred": True}),
    ("PixelCNN", {"conditional": True}), ("RealNVP", {"prior": "mixture", "norm": "batch"}),
]  # fmt: skip


@pytest.mark.parametrize("name, arguments", VARIANTS, ids=str)
def test_every_family_trains_in_float64(name, arguments, tmp_path):
    torch.manual_seed(0)
    model = MODELS[name](DIGITS, **arguments)
    if "feature_network" in arguments:
        model.use_feature_network(zoo.load(arguments["feature_network"]))
    trainer = L.Trainer(
        max_epochs=1, limit_train_batches=6, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        precision="64-true", log_every_n_steps=1, use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bits = "dynamic" if model.needs_bits else "none"
        trainer.fit(model, DATASETS["Digits"](batch_size=32, binarize=bits))
    losses = {k: v for k, v in trainer.callback_metrics.items() if k.startswith("train/")}
    assert losses and all(loss.dtype == torch.float64 for loss in losses.values())
    assert all(torch.isfinite(loss) for loss in losses.values())
    answers_of(model, images(DIGITS))
