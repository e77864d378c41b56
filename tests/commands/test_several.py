"""`zoo.fit --seeds --grid` from the line to the table."""

import json

import pytest

from zoo.fit import main

SMALL = ["vae_digits", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3",
         "--trainer.accelerator=cpu", "--wandb=off", "--model.hidden=[8]"]  # fmt: skip


def test_two_seeds_of_two_values(tmp_path, capsys):
    line = [*SMALL, f"--run_root={tmp_path}", "--seeds", "2", "--grid", "model.latent_dim=2,3"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "vae_digits: 4 of 4 runs" in said and "latent_dim=2" in said and "latent_dim=3" in said
    record = json.loads((tmp_path / "vae_digits-several.json").read_text())
    assert [(entry["values"], entry["seed"]) for entry in record] == [
        ("latent_dim=2", 0), ("latent_dim=2", 1), ("latent_dim=3", 0), ("latent_dim=3", 1),
    ]  # fmt: skip
    values = [entry["scores"][0]["value"] for entry in record]
    assert len(set(values)) == 4
    assert main(line) == 0
    assert capsys.readouterr().out.count("done before") == 4


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--seeds", "2", "--seed_everything=3"], "--seed_everything and --seeds exclude"),
        (["--seeds", "2", "--ckpt_path=last"], "--ckpt_path and --seeds or --grid exclude"),
        (["--grid", "model.latent_dmi=2"], "Did you mean latent_dim?"),
        (["--grid", "model.latent_dim"], "--grid takes a key and values"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(more, words, tmp_path, capsys):
    assert main([*SMALL, f"--run_root={tmp_path}", *more]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
