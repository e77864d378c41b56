"""Scores of codes against the factors that images were rendered from."""

from __future__ import annotations

import torch

from zoo.contract.capabilities import can
from zoo.functional.disentanglement import discretise, live_units, mutual_information
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import Score, Task, measure
from zoo.metrics.disentanglement import beta_vae, dci, factor_vae, mig, sample_codes, sap

__all__ = ["fits_factors", "fits_readers", "score_factors", "score_readers", "score_units"]

WHOLE = 10_000  # images and votes of the published protocol; half as many votes are scored
FEW = 100
BINS, GROUP = 20, 64
ALIVE = 0.01  # variance over images of a unit's mean
DCI = [f"dci_{what}" for what in ("disentanglement", "completeness", "informativeness")]


def fits_factors(task: Task) -> bool:
    """Models that encode, on data that can be rendered from known factors."""
    known = hasattr(task.data, "render") and hasattr(task.data, "factor_sizes")
    return known and can(task.model, "encode") and task.data.binarize == "none"


@protocol("units", fits_factors, ["live_units"])
def score_units(task: Task) -> list[Score]:
    """Number of units that are alive, and which factors they tell of.

    The details say for each factor which share of its entropy the unit that tells most of it tells:
    a factor near 0 is lost, however well the others are kept apart.
    """
    data, images = task.data, min(task.limit, WHOLE)

    def alive() -> list[tuple[float, dict[str, float]]]:
        codes, factors = sample_codes(task.model.encode, data, _dice(), images)  # type: ignore[arg-type]
        told = mutual_information(discretise(codes, BINS), factors).amax(dim=0)
        known = mutual_information(factors, factors).diagonal()
        sizes: tuple[int, ...] = data.factor_sizes  # type: ignore[attr-defined]
        names = getattr(data, "factor_names", [f"factor {k + 1}" for k in range(len(sizes))])
        varying = [name for name, size in zip(names, sizes, strict=True) if size > 1]
        shares = [round(share, 4) for share in (told / known.clamp(min=1e-12)).tolist()]
        return [(float(live_units(codes, ALIVE)), dict(zip(varying, shares, strict=True)))]

    return measure(["live_units"], alive, least=ALIVE, images=images)


@protocol("factors", fits_factors, ["mig", "factor_vae_score", "beta_vae_score"])
def score_factors(task: Task) -> list[Score]:
    """Mutual information gap, FactorVAE score and beta-VAE score of the codes.

    Images are drawn from all that the data set can render, as in Locatello et al. 2019,
    arXiv:1811.12359. Votes are expensive, 64 images or 64 pairs each: there are twice as many as
    importance samples, so 10,000 in a full evaluation, but 100 at least. The names say how many.
    """
    data, encode = task.data, task.model.encode
    images = min(task.limit, WHOLE)
    train = min(WHOLE, max(FEW, 2 * task.importance_samples))
    votes = {"num_train": train, "num_eval": train // 2, "group_size": GROUP}
    told = {"train_votes": train, "test_votes": train // 2}

    def gaps() -> list[float]:
        return [mig(encode, data, _dice(), num_samples=images, num_bins=BINS)]  # type: ignore[arg-type]

    def factor_votes() -> list[float]:
        return [factor_vae(encode, data, _dice(), num_variance=images, **votes)]  # type: ignore[arg-type]

    def beta_votes() -> list[float]:
        return [beta_vae(encode, data, _dice(), **votes)]  # type: ignore[arg-type]

    steps = [
        ("mig", gaps, {"bins": BINS, "images": images}),
        ("factor_vae_score", factor_votes, told),
        ("beta_vae_score", beta_votes, told),
    ]
    return [
        score
        for name, compute, how in task.progress(steps, "factors")
        for score in measure([name], compute, **how)
    ]


def fits_readers(task: Task) -> bool:
    """The same, on test images only: a classifier is trained for each factor."""
    return task.split == "test" and fits_factors(task)


@protocol("readers", fits_readers, [*DCI, "sap"])
def score_readers(task: Task) -> list[Score]:
    """DCI and SAP: how well classifiers read the factors from the whole code, and from units.

    DCI takes random forests, as in its paper: boosted trees, as in Locatello et al. 2019,
    arXiv:1811.12359, take many minutes for factors of tens of values. SAP takes a linear support
    vector machine for each factor and unit, as there. Half as many images are scored as train.
    """
    data, encode = task.data, task.model.encode
    train = min(task.limit, WHOLE)
    half = {"num_train": train, "num_test": max(1, train // 2)}
    told = {"train": train, "test": half["num_test"]}

    def forests() -> list[float]:
        return list(dci(encode, data, _dice(), trees="forest", **half).values())  # type: ignore[arg-type]

    def machines() -> list[float]:
        return [sap(encode, data, _dice(), **half)]  # type: ignore[arg-type]

    return [
        *measure(DCI, forests, trees="forest", **told),
        *measure(["sap"], machines, classifier="linear-svm", **told),
    ]


def _dice() -> torch.Generator:
    return torch.Generator().manual_seed(0)
