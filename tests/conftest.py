"""What all tests share: the data root, a quiet environment, no network and no account."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="session")
def _quiet_environment():
    os.environ["WANDB_MODE"] = "disabled"
    os.environ.setdefault("ZOO_DATA", str(ROOT.parent / "shared" / "data"))
    yield
