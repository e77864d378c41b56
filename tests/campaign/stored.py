"""Files of tensors, spoilt: weights of published models, and the folders of runs."""

import hashlib
import json
import struct
from functools import partial

import torch
import yaml
from hostile import json_of, replace_file, spoil, spoil_bytes, value
from kinds import call, command, readers, recipe_text

from zoo.shelf.run_weights import load_run

# ------------------------------------------------------------------------- weights


def _spoil_safetensors(rng, content):
    size = struct.unpack("<Q", content[:8])[0]
    header, data = content[8 : 8 + size], content[8 + size :]
    act = rng.randrange(6)
    if act == 0:
        number = rng.choice((0, 1, 7, size - 1, size + 1, 2**31, 2**63, 2**64 - 1, len(content)))
        return struct.pack("<Q", number) + content[8:]
    if act == 1:
        return spoil_bytes(rng, content)
    if act == 2:
        return content[: 8 + size] + spoil_bytes(rng, data)
    tree = json.loads(header)
    name = rng.choice([*tree])
    if act == 3 and "shape" in tree[name]:
        tree[name] = {
            **tree[name],
            rng.choice(("dtype", "shape", "data_offsets")): rng.choice(
                ("F64", "BF16", "I64", "BOOL", "U8", "F8_E4M3", "C64", "x", [], [0], [-1], [2**40],
                 [0, 0], [0, 2**63], [8, 4], [1] * 70, value(rng))
            ),
        }  # fmt: skip
    elif act == 4:
        tree["__metadata__"] = value(rng)
    else:
        tree = spoil(rng, tree)
    written = json_of(rng, tree)
    return struct.pack("<Q", len(written)) + written + data


def weights(sandbox, rng):
    """Weights of published models; the card agrees with them more often than not."""
    name = rng.choice(("vae_digits", "infogan_digits", "features_digits"))
    (path,) = (sandbox.shelf / name).glob("*.safetensors")
    content = _spoil_safetensors(rng, path.read_bytes())
    path.write_bytes(content)
    about = repr(content[:400])
    if rng.random() < 0.1:
        others = [sandbox.work / "image.png", sandbox.shelf / "index.json"]
        about = replace_file(rng, path, others)
    elif rng.random() < 0.75:
        card = sandbox.card(name)
        card["weights"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        sandbox.put_card(name, json.dumps(card).encode())
    return readers(sandbox, rng, name)(f"{name}: {about}")


# ------------------------------------------------------------------------- runs


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (self.mark, "w")


def _tensor_or_value(sandbox, rng):
    return rng.choice((
        lambda: value(rng), lambda: value(rng), lambda: value(rng),
        lambda: torch.zeros(rng.choice((0, 1, 3))), lambda: torch.full((4,), float("nan")),
        lambda: torch.zeros(2, 2).to_sparse(), lambda: torch.empty(2, device="meta"),
        lambda: torch.zeros(1).expand(10**9), lambda: torch.zeros(2, dtype=torch.complex64),
        lambda: torch.zeros(2, dtype=torch.int64), lambda: torch.tensor(True), lambda: {1: 2},
        lambda: torch.zeros(1).as_strided((2**20, 2**20), (0, 0)), lambda: (1, 2),
        lambda: Evil(str(sandbox.mark)), lambda: b"x", lambda: {1, 2}, lambda: 1j,
    ))()  # fmt: skip


def _spoil_checkpoint(sandbox, rng, path):
    if rng.random() < 0.3:
        path.write_bytes(spoil_bytes(rng, path.read_bytes()))
        return "bytes"
    checkpoint = spoil(
        rng, torch.load(path, weights_only=True), lambda rng: _tensor_or_value(sandbox, rng)
    )
    old = rng.random() < 0.1
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not old)
    return "tree"


def run_folders(sandbox, rng):
    """Runs whose recipe, record, figures or checkpoint are spoilt."""
    run = sandbox.run
    path = rng.choice((
        run / "recipe.yaml", run / "environment.json", run / "metrics.csv",
        *[run / "checkpoints" / "last.ckpt"] * 4,
    ))  # fmt: skip
    if rng.random() < 0.07:
        about = replace_file(rng, path, [sandbox.work / "image.png", sandbox.work / "small.yaml"])
    elif path.suffix == ".ckpt":
        about = _spoil_checkpoint(sandbox, rng, path)
    elif path.suffix == ".csv":
        path.write_bytes(spoil_bytes(rng, path.read_bytes()))
        about = "bytes"
    else:
        if path.suffix == ".json":
            content = json_of(rng, spoil(rng, json.loads(path.read_text())))
        else:
            content = recipe_text(sandbox, rng, yaml.safe_load(path.read_text()))
        path.write_bytes(content)
        about = content[:1500].decode("utf-8", "replace")
    out, line = sandbox.out, [sandbox.work / "small.yaml", "--run_root", sandbox.runs]
    more = ["--trainer.max_epochs", 2]
    return rng.choice((
        partial(call, load_run, run), partial(call, load_run, run),
        partial(command, "sample", [run, "--n", 2, "--out", out / "x.png"]),
        partial(command, "evaluate", [run, "--json", out / "x.json"]),
        partial(command, "diagnose", [run, "--out", out / "x.html"]),
        partial(command, "publish", [run, "--name", "x"], may_write=(sandbox.shelf,)),
        partial(command, "fit", [*line, *more, "--ckpt_path", "last"]),
        partial(command, "fit", [run / "recipe.yaml", *line[1:], *more, "--ckpt_path", "last"]),
        partial(command, "fit", [*line, *more, "--ckpt_path", run / "checkpoints" / "last.ckpt"]),
        partial(command, "fit", [*line, "--from", run]),
    ))(about=f"{path.name}: {about}")  # fmt: skip
