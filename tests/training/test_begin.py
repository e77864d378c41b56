"""Fine-tuning: a training that begins with published weights, a run's, or an address's."""

import pytest
import torch

import zoo
from zoo import fit
from zoo.core.errors import UserError
from zoo.models import MODELS
from zoo.training.begin import begin_with


def other(name, **changes):
    published = zoo.load(name)
    arguments = {**published.hparams, **changes}
    torch.manual_seed(3)
    return MODELS[type(published).__name__](published.spec, **arguments), published


@pytest.mark.parametrize("name", ["vae_digits", "infogan_digits", "features_digits"])
def test_the_same_architecture_begins_with_all_weights(name):
    model, published = other(name)
    taken, left = begin_with(model, name)
    state = published.state_dict()
    assert not left and taken == len(state)
    for key, value in model.state_dict().items():
        if not key.startswith(tuple(getattr(published, "not_published", ()))):
            torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_a_network_in_training_begins_with_its_published_average():
    model, published = other("gan_grid")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    _, left = begin_with(model, "gan_grid")
    after = model.state_dict()
    for key, value in published.generator_ema.module.state_dict().items():
        assert torch.equal(after[f"generator.{key}"], value)
    assert left and all(key.startswith(("discriminator.", "head.")) for key in left)
    assert all(torch.equal(after[key], before[key]) for key in left)  # not the stranger's chance


def test_what_does_not_fit_is_named():
    model, _ = other("vae_digits", latent_dim=5)
    _, left = begin_with(model, "vae_digits")
    assert left and all("decoder" in key or "encoder" in key or "code_" in key for key in left)


def test_nothing_that_fits_is_refused():
    model, _ = other("vae_digits")
    with pytest.raises(UserError, match=r"--from infogan_digits: none of its \d+ tensors fits"):
        begin_with(model, "infogan_digits")


def test_a_run_begins_with_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    line = ["--run_root", str(tmp_path), "--evaluate", "false", "--trainer.max_epochs", "1"]
    line += ["--trainer.limit_train_batches", "1", "--model.lr", "0"]
    assert fit.main(["vae_digits", "--from", "vae_digits", *line]) == 0
    assert "of vae_digits" in capsys.readouterr().out
    (run,) = (tmp_path / "vae_digits").iterdir()
    published, begun = zoo.load("vae_digits"), zoo.load_run(run)
    for key, value in published.decoder.state_dict().items():
        torch.testing.assert_close(begun.decoder.state_dict()[key], value, rtol=0, atol=0)
    assert fit.main(["vae_digits", "--from", str(run), "--name", "again", *line]) == 0
    # What was begun so goes on from its checkpoint, not from the beginning.
    go_on = ["--ckpt_path", "last", "--run_root", str(tmp_path), "--trainer.max_epochs", "2"]
    capsys.readouterr()
    recipe = next((tmp_path / "again").iterdir()) / "recipe.yaml"
    assert fit.main([str(recipe), "--name", "again", *go_on, "--evaluate", "false"]) == 0
    assert "begins with" not in capsys.readouterr().out


@pytest.mark.parametrize("source", ["vae_digitz", "../x", "hf://x", "https://h/card.json"])
def test_a_source_that_is_none_leaves_no_folder(source, tmp_path, capsys):
    assert fit.main(["vae_digits", "--from", source, "--run_root", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.rglob("*"))
