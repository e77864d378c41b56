"""Command lines made of the commands' own options, with apt, wrong, missing or hostile values."""

import re
from pathlib import Path

from hostile import LONG, TEXTS
from kinds import command

from zoo.core.outline import trainer_arguments
from zoo.recipe.checking import arguments_of
from zoo.recipe.options import RUN_OPTIONS

SHARED = ("--plugin", "--help", "-h", "--", "--x", "-x", "-")
JUDGING = (
    "--data", "--data.path", "--root", "--features", "--protocol", "--device", "--data.x",
)  # fmt: skip
OPTIONS = {
    "fit": (
        *(f"--{name}" for name in (*RUN_OPTIONS, "seed_everything", "print_config", "config")),
        *(f"--trainer.{name}" for name in trainer_arguments()),
        *(f"--model.{name}" for name in arguments_of("model", "InfoGAN")),
        *(f"--data.{name}" for name in arguments_of("data", "Digits")),
        "--model", "--data", "--trainer", "--model.spec", "--data.path", "--trainer.callbacks+",
        "--trainer.callbacks.help", "--model.init_args.width", "--paper", "--cost", "--model.help",
    ),
    "sample": (
        "--seed", "--out", "--illustrate", "--complete", "--reconstruct", "--traverse",
        "--interpolate", "--origin", "--n", "--mask", "--steps", "--label", "--category",
        "--temperature", "--caption",
    ),
    "list": ("--markdown",),
    "evaluate": (*JUDGING, "--json"),
    "diagnose": (*JUDGING, "--out"),
    "compare": (*JUDGING, "--out", "--json", "--scores", "--table"),
    "tour": ("--only", "--out", "--epochs"),
    "probe": ("--model", "--seeds", "--quick", "--samples", "--root", "--out"),
    "faults": ("--data", "--root", "--features", "--protocol", "--json", "--table"),
    "verify": ("--all", "--protocol", "--root", "--device"),
    "gallery": ("--out", "--readme"),
    "publish": ("--name", "--full", "--seeds", "--hub"),
    "": ("--version",),
}  # fmt: skip
FILES = {"--out", "--json", "--readme", "--run_root", "--trainer.default_root_dir"}  # are written
VALUES = (
    "0", "1", "2", "-1", "3", "8", "1.5", "1e3", "nan", ".nan", ".inf", "true", "false", "null",
    "off", "auto", "cpu", "cuda", "cuda:99", "mps", "hpu", "privateuseone", "meta", "xla", "full",
    "quick", "last", "Digits", "MNIST", "ImageFolder", "Sprites", "VAE", "InfoGAN", "Toys",
    "features_digits", "inception-clean", "vae_digits", "infogan_digits", "small", "runs/small",
    "runs/small/done", "image.png", "small.yaml", "shelf", "shelf/index.json", "given", "out",
    "out/x.png", "out/x.html", "out/x.json", "pipe", "loop", "zero", "[]", "[1]", "{}", "{a: 1}",
    "[0.5, 0.999]", "16-true", "64-true", "bf16-mixed", "ddp", "top", "left", "z1", "continuous1",
    "category", "EarlyStopping", "CSVLogger", "TensorBoardLogger", "WandbLogger", "simple",
    "ModelCheckpoint", "[EarlyStopping]", "SGD", "broken.py", "noise.py", "none.py", "json", "os",
    "no.such.module", "runs/small/done/checkpoints/last.ckpt", "100000", "1000000000",
    "99999999999999999999", "9" * 5000, "x" * 300, "x" * 300 + ".png", "\udcff", "\u0664",
    "hf://owner/name", "hf://owner/name@../..", "https://host/card.json", "https://[::1/card.json",
    "https://host:99999/card.json#sha256=" + "0" * 64, "owner/name", "../x", "a b", "fid",
    "runs/../../../../x", "~", "*", "gallery", "{x", "[", "'", "!!python/name:os.system",
)  # fmt: skip


# Values that an option takes, so that a line goes on to the work behind the checks.
APT = {
    "fit": {
        "--seed_everything": "0 7", "--name": "other a.b", "--wandb": "off",
        "--pictures_every": "1 9",
        "--save_every": "1 3", "--evaluate": "true false", "--monitor": "val/elbo val/x train/loss",
        "--monitor_mode": "min max", "--silence_limit": "5 .5", "--log_checkpoints": "true false",
        "--from": "infogan_digits vae_digits runs/small/done", "--data.batch_size": "600 1000",
        "--ckpt_path": "last runs/small/done/checkpoints/last.ckpt runs/small/done",
        "--model.noise_dim": "1 4", "--model.hidden": "8", "--model.dropout": "0 .5",
        "--model.jitter": "0 .1", "--model.ema_decay": "0 .9 .999", "--model.width": "1 4",
        "--data.binarize": "none static dynamic", "--data.resize": "16 8", "--data.pad": "1 4",
        "--data.workers": "0", "--data.val_size": "100 0 null", "--data.root": "out given",
        "--trainer.max_epochs": "0 1 2 3 -1", "--trainer.max_steps": "0 1 2 5 -1",
        "--trainer.max_time": "00:00:00:01 00:01:00:00 {seconds: 1}",
        "--trainer.limit_train_batches": "0 1 1.0 .5 2", "--trainer.limit_val_batches": "0 1 .5",
        "--trainer.precision": "32-true bf16-mixed 64-true 16-mixed bf16-true 32 64",
        "--trainer.gradient_clip_val": "1 .1 0 null", "--trainer.log_every_n_steps": "0 1 10",
        "--trainer.logger": "true false CSVLogger [CSVLogger] null",
        "--trainer.callbacks+": "EarlyStopping LearningRateMonitor ModelSummary RichProgressBar",
        "--trainer.profiler": "simple advanced null", "--trainer.fast_dev_run": "true 2 false",
        "--trainer.overfit_batches": "1 .5 0", "--trainer.deterministic": "true warn false",
        "--trainer.benchmark": "true false", "--trainer.inference_mode": "true false",
        "--trainer.detect_anomaly": "true false", "--trainer.min_epochs": "0 1",
        "--trainer.accumulate_grad_batches": "1 2", "--trainer.enable_progress_bar": "true false",
        "--trainer.enable_model_summary": "true false", "--trainer.enable_checkpointing": "true",
        "--trainer.devices": "1 auto", "--trainer.num_nodes": "1", "--trainer.strategy": "auto",
        "--trainer.barebones": "true false", "--trainer.min_steps": "1",
        "--trainer.default_root_dir": "out", "--trainer.plugins": "[] null",
        "--trainer.sync_batchnorm": "true false", "--trainer.use_distributed_sampler": "true false",
        "--trainer.reload_dataloaders_every_n_epochs": "0 1",
        "--trainer.gradient_clip_algorithm": "norm value null",
    },
    "sample": {
        "--seed": "0 7 9223372036854775807", "--n": "1 2 9", "--label": "0 3 9", "--origin": "",
    },
    "evaluate": {
        "--data": "Digits", "--features": "features_digits", "--protocol": "quick full",
        "--device": "cpu auto", "--root": "out given", "--data.path": "given shelf",
    },
    "tour": {"--epochs": "1 2"},
    "probe": {"--seeds": "1 2", "--samples": "10 20"},
    "faults": {
        "--data": "Toys Digits", "--features": "features_digits", "--protocol": "quick",
        "--table": "out/x.json",
    },
    "verify": {"--protocol": "quick full", "--device": "cpu auto", "--root": "out"},
    "gallery": {"--readme": "README.md"},
    "publish": {"--name": "vae_digits y a-b.c", "--full": "", "--seeds": "runs/small/done"},
    "list": {"--markdown": ""},
}  # fmt: skip
APT["diagnose"] = APT["evaluate"]
APT["compare"] = {**APT["evaluate"], "--scores": "fid precision", "--table": "out/x.json"}
LINES = (  # other sound lines, in the place of the first
    ["fit", "small.yaml", "--print_config"],
    ["fit", "runs/small/done/recipe.yaml", "--wandb=off"],
    ["fit", "small.yaml", "--model", "VAE"],
    ["fit", "small.yaml", "--model=GAN", "--wandb=off"],
    ["fit", "small.yaml", "--help"],
    ["sample", "vae_digits", "--help"],
    ["sample", "infogan_digits", "--traverse", "--n", "2", "--steps", "3", "--out", "out/x.png"],
    ["sample", "infogan_digits", "--traverse", "category", "--n", "2", "--out", "out/x.png"],
    ["sample", "vae_digits", "--interpolate", "--n", "2", "--out", "out/x.png"],
    ["sample", "vae_digits", "--reconstruct", "image.png", "--out", "out/x.png"],
    ["sample", "vae_digits", "--origin", "--n", "1", "--steps", "2", "--out", "out/x.png"],
    ["sample", "runs/small/done", "--label", "3", "--n", "2", "--out", "out/x.png"],
    ["evaluate", "shelf", "--data", "ImageFolder", "--data.path", "shelf"],
    ["evaluate", "runs/small/done", "--protocol", "full", "--json", "out/x.json"],
    ["compare", "vae_digits", "infogan_digits", "runs/small/done", "--out", "out/x.png"],
    ["sample", "infogan_digits", "--label", "3", "--out", "out/x.png"],
    ["verify", "--all"],
    ["gallery", "--out", "out/site", "--readme", "README.md"],
    ["publish", "vae_digits", "--hub", "owner/name"],
    ["list", "--markdown"],
    ["", "list"],
    ["publish", "runs/small/done", "--seeds", "runs/small/done", "--name", "y"],
)


def _value(rng, kind):
    """Draws the value of an option, with paths that the sandbox has."""
    if rng.random() < 0.02:
        return "x" * LONG
    found = rng.choice(VALUES) if rng.random() < 0.7 else rng.choice(TEXTS)
    # No shell can pass on a null, and what a command is to write must stay in the sandbox.
    found = found.replace("\0", "").replace("\ud800", "\udcfe")
    return found.lstrip("/") if kind in FILES else found


def _sound(rng, sandbox, verb):
    """A sound line of a command."""
    out, model = sandbox.out, rng.choice(("vae_digits", "infogan_digits", "runs/small/done"))
    return {
        "fit": [rng.choice(("small.yaml", "infogan_digits", "small.yaml")), "--model.width", "4",
                "--model.features", "8", "--trainer.accelerator", "cpu", "--wandb", "off",
                "--evaluate", "false", "--run_root", f"{sandbox.runs}"],
        "sample": [model, "--n", "2", "--out", f"{out}/x.png"],
        "list": [], "evaluate": [model, "--json", f"{out}/x.json"],
        "diagnose": [model, "--out", f"{out}/x.html"],
        "compare": ["vae_digits", model, "--out", f"{out}/x.png"],
        "tour": ["--only", "vae_digits", "--out", f"{out}/tour", "--epochs", "1"],
        "probe": [rng.choice(("numerosit", "tour")), "--model", "vae_digits"],  # trains for hours
        "faults": ["--data", "Toys", "--json", f"{out}/x.json"],
        "verify": [rng.choice(("vae_digits", "infogan_digits"))],
        "gallery": ["--out", f"{out}/site"], "publish": ["runs/small/done", "--name", "x"],
        "": [rng.choice(("list", "fit", "verify", "sample", "", "zoo", "x" * 300, "\x1b[2J"))],
    }[verb]  # fmt: skip


def _add_apt(rng, line, verb):
    """Adds an option with a value that it takes, if the verb has some."""
    known = APT.get(verb)
    if known:
        option = rng.choice([*known])
        value = rng.choice(known[option].split(" ") if "{" not in known[option] else ["0:0:0:1"])
        line += [option, value] if value else [option]


def _spoil(rng, line, verb):
    """Makes one change to a line."""
    place = rng.randrange(len(line) + 1)
    act = rng.randrange(9)
    option = rng.choice(OPTIONS[verb] if rng.random() < 0.9 else SHARED)
    if act < 4:
        found = _value(rng, option)
        more = rng.choice(([option, found], [f"{option}={found}"], [option, found, found]))
        line[place:place] = more if rng.random() < 0.5 else []
        line += more
    elif act == 4 and line:
        at = rng.randrange(len(line))
        line[at] = _value(rng, line[at - 1] if at else None)
    elif act == 5 and line:
        del line[rng.randrange(len(line))]
    elif act == 6:
        line.insert(place, rng.choice((option, option[:-1], f"{option}=", f"{option}+", "--", "")))
    elif act == 7:
        line.insert(place, _value(rng, None))
    elif line:
        rng.shuffle(line)


def command_lines(sandbox, rng):
    """Command lines of every verb, in a folder with a run, a shelf and odd files.

    Two of five are sound, with a few apt options; the others are spoilt besides.
    """
    _odd_files(sandbox.work)
    if rng.random() < 0.3:
        verb, *line = rng.choice(LINES)
    else:
        verb = rng.choice(("fit", "fit", "fit", "sample", "sample", *OPTIONS))
        line = _sound(rng, sandbox, verb)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        _add_apt(rng, line, verb)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        _spoil(rng, line, verb)
    named = [re.sub(r"^--[\w.]+=", "", word) for word in line]
    free = [Path(word) for word in named if len(word) < 4000 and "\0" not in word]
    if verb in ("publish", "gallery", "tour"):
        free.append(sandbox.shelf)  # it is what publishing changes, and the README's wall
    codes = (0, 1, 2) if verb in ("verify", "tour") else (0, 2)
    return command(verb, line, "", may_write=tuple(free), codes=codes)


def _odd_files(work):
    import os

    (work / "README.md").write_text(
        "# x\n<!-- python -m zoo.list --markdown -->\n<!-- end of table -->\n"
    )
    (work / "broken.py").write_text("def x(:\n")
    (work / "noise.py").write_text("raise RuntimeError('a\\x1b[31m\\nb')\n")
    os.mkfifo(work / "pipe")
    (work / "loop").symlink_to("loop")
    (work / "zero").symlink_to("/dev/zero")
