"""What all tests share: the data root, a quiet environment, no network and no account."""

import os
from pathlib import Path

import pytest
import yaml

from zoo.data import DATASETS
from zoo.recipe.checking import arguments_of
from zoo.recipe.reading import read_recipe

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torch is imported: alike on all machines
RANKS = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="session")
def _quiet_environment():
    os.environ["WANDB_MODE"] = "disabled"
    os.environ.setdefault("ZOO_DATA", str(ROOT.parent / "shared" / "data"))
    yield


@pytest.fixture(autouse=True)
def _no_rank_is_left_behind():
    """Takes back what a trainer of several processes tells those that it would start."""
    before = {name: os.environ.get(name) for name in RANKS}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def offline():
    """Writes a recipe anew, with the embedded digits where it needs a data set from elsewhere."""

    def write(path, folder):
        recipe = read_recipe(path)
        local = folder / path.name
        local.write_text(yaml.safe_dump({**recipe, "data": _embedded(recipe["data"])}))
        return local

    return write


def _embedded(section):
    kind, arguments = DATASETS[section["class_path"]], dict(section.get("init_args") or {})
    if kind.needs.startswith("nothing"):  # it is always there: train on it as it is
        if "images" in arguments_of("data", section["class_path"]):  # as many as it renders
            arguments["images"] = 256
        return {**section, "init_args": arguments}
    native = getattr(kind, "native", None)
    side = native.height if native else arguments.get("size", 64)  # folders are of any size
    if side != 8:
        arguments.setdefault("resize", side)
    kept = {k: v for k, v in arguments.items() if k in arguments_of("data", "Digits")}
    return {"class_path": "Digits", "init_args": {**kept, "batch_size": 16}}
