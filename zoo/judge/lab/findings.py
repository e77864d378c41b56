"""From features that were read to what they say: plain values, ready for JSON and a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from zoo.functional.probing import (
    additive,
    combination_cells,
    enhancement,
    law_of,
    log_normal_shares,
    novelty,
    precision_at_recall,
    product_of_marginals,
    response,
    retrieval,
    total_variation,
    valley,
    weber,
)
from zoo.judge.lab.experiments import Experiment, Point

__all__ = ["Readings", "find", "over_seeds"]

Readings = Mapping[tuple[str, int], Mapping[str, Tensor]]
"""Features by name, of each training set by its name and seed."""
MIDDLE = 0.2  # of the gap between two modes: how far from its middle a bin still lies in it
DIGIT_EDGES = tuple(k + 0.5 for k in range(9))


def over_seeds(figures: Sequence[float]) -> dict[str, Any]:
    """Returns mean, standard deviation and number of the seeds' figures that are finite."""
    known = [figure for figure in figures if math.isfinite(figure)]
    return {
        "mean": fmean(known) if known else None,
        "sd": stdev(known) if len(known) > 1 else None,
        "seeds": len(known),
    }


def _plain(value: Any) -> Any:
    """Makes plain values of tensors and named tuples; what is not finite becomes None."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def find(
    experiment: Experiment,
    points: Sequence[Point],
    seeds: Sequence[int],
    readings: Readings,
    combinations: Mapping[tuple[str, int], Tensor],
) -> dict[str, Any]:
    """Works out what one model made of an experiment.

    Args:
        experiment: Which.
        points: Its training sets.
        seeds: Of the trainings.
        readings: What was read.
        combinations: Attributes that each training set may show, shape (N, A) each.

    Returns:
        A list of figures for each training set, and what follows from several of them.
    """
    work = {"modes": _modes, "combinations": _combinations, "joint": _joint}[experiment.kind]
    return _plain(work(experiment, points, seeds, readings, combinations))


# ---------------------------------------------------------------- one feature, one or two values


def _modes(
    experiment: Experiment,
    points: Sequence[Point],
    seeds: Sequence[int],
    readings: Readings,
    combinations: Mapping[tuple[str, int], Tensor],
) -> dict[str, Any]:
    (feature,) = experiment.features
    low, high, bins = experiment.edges
    edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)
    laws = {key: law_of(read[feature], edges) for key, read in readings.items()}
    singles = [point for point in points if len(point.trained) == 1]
    rows, widths = [], {}
    for point in points:
        runs = [
            response(readings[point.name, seed][feature], point.trained[0], experiment.tolerance)
            for seed in seeds
        ]
        widths[point.name] = runs
        row: dict[str, Any] = {
            "name": point.name,
            "trained": point.trained,
            "law": torch.stack([laws[point.name, seed].shares for seed in seeds]).mean(dim=0),
            "outside": fmean(laws[point.name, seed].outside for seed in seeds),
            "unread": over_seeds([laws[point.name, seed].unread for seed in seeds]),
            "runs": runs,
        }
        for name in ("mean", "sd", "sd_log", "hit"):
            row[name] = over_seeds([getattr(run, name) for run in runs])
        if point in singles:
            row["log_normal"] = over_seeds(
                [
                    total_variation(
                        laws[point.name, seed].shares,
                        log_normal_shares(run.mean_log, run.sd_log, edges.clamp(min=0)),
                    )
                    for seed, run in zip(seeds, runs, strict=True)
                    if math.isfinite(run.sd_log)
                ]
            )
        rows.append(row)
    levels = [point.trained[0] for point in singles]
    exponents = {
        name: over_seeds(
            [
                weber(levels, [getattr(widths[point.name][at], name) for point in singles])
                for at in range(len(seeds))
            ]
        )
        for name in ("sd", "sd_log")
    }
    return {
        "edges": edges,
        "points": rows,
        "exponents": exponents,
        "pairs": [
            _pair(point, singles, seeds, laws, widths, edges)
            for point in points
            if len(point.trained) == 2
        ],
    }


def _pair(
    point: Point,
    singles: Sequence[Point],
    seeds: Sequence[int],
    laws: Mapping[tuple[str, int], Any],
    widths: Mapping[str, Sequence[Any]],
    edges: Tensor,
) -> dict[str, Any]:
    """Compares a model of two modes with the mixture of the models of each."""
    alone = [next(s for s in singles if s.trained == (value,)) for value in point.trained]
    low, high = point.trained
    centres = (edges[1:] + edges[:-1]) / 2
    middle = (centres - (low + high) / 2).abs() <= MIDDLE * (high - low) + 1e-6
    at = [int((centres - value).abs().argmin()) for value in point.trained]
    figures: dict[str, list[float]] = {}
    predictions = []
    for number, seed in enumerate(seeds):
        seen = laws[point.name, seed].shares
        predicted = additive([laws[single.name, seed].shares for single in alone])
        predictions.append(predicted)
        width = fmean(widths[single.name][number].sd for single in alone)
        for name, figure in (
            ("enhancement", enhancement(seen, predicted, middle)),
            ("distance", total_variation(seen, predicted)),
            ("middle", seen[middle].sum().item()),
            ("middle_additive", predicted[middle].sum().item()),
            ("valley", valley(seen, *at) if at[0] < at[1] else math.nan),
            ("valley_additive", valley(predicted, *at) if at[0] < at[1] else math.nan),
            ("gap_over_sd", (high - low) / width if width > 0 else math.inf),
        ):
            figures.setdefault(name, []).append(figure)
    return {
        "name": point.name,
        "trained": point.trained,
        "additive": torch.stack(predictions).mean(dim=0),
        **{name: over_seeds(values) for name, values in figures.items()},
    }


# ---------------------------------------------------------------- combinations


def _combinations(
    experiment: Experiment,
    points: Sequence[Point],
    seeds: Sequence[int],
    readings: Readings,
    combinations: Mapping[tuple[str, int], Tensor],
) -> dict[str, Any]:
    rows = []
    for point in points:
        runs = []
        for seed in seeds:
            read = torch.stack([readings[point.name, seed][name] for name in experiment.features])
            known = torch.where(read < 0, torch.nan, read.double()).T
            cells = combination_cells(known, [DIGIT_EDGES] * len(experiment.features))
            runs.append(_cells(cells, combinations[point.name, seed]))
        rows.append(_summary(point, runs))
    return {"points": rows}


def _joint(
    experiment: Experiment,
    points: Sequence[Point],
    seeds: Sequence[int],
    readings: Readings,
    combinations: Mapping[tuple[str, int], Tensor],
) -> dict[str, Any]:
    rows = []
    for point in points:
        runs = []
        for seed in seeds:
            read = [readings[point.name, seed][name] for name in experiment.features]
            cells = combination_cells(torch.stack(read, dim=1), experiment.edges)
            # The attributes are digits of size and of share of red, five of them in all.
            kinds = combinations[point.name, seed][:, [1, 4]]
            values = kinds.unique()
            run = _cells(cells, torch.searchsorted(values, kinds).unique(dim=0))
            shares = cells.counts.double() / max(int(cells.counts.sum()), 1)
            if cells.counts.sum() > 0:
                run["from_independence"] = total_variation(
                    shares, product_of_marginals(cells.counts)
                )
            runs.append(run)
        row = _summary(point, runs)
        row["from_independence"] = over_seeds(
            [run["from_independence"] for run in runs if "from_independence" in run]
        )
        rows.append(row)
    return {"points": rows}


def _cells(cells: Any, shown: Tensor) -> dict[str, Any]:
    """Compares one model's combinations with those that were shown to it, shape (N, A)."""
    trained = torch.zeros(cells.counts.shape, dtype=torch.bool)
    trained[tuple(shown.T)] = True
    total = int(cells.counts.sum()) + cells.unread
    run: dict[str, Any] = {
        "counts": cells.counts,
        "trained": trained,
        "unread": cells.unread / max(total, 1),
    }
    run.update(novelty(cells.counts, trained)._asdict())
    if cells.counts.sum() > 0:
        found = retrieval(cells.counts, trained)
        run["precision"] = precision_at_recall(found)["precision"]
        run["overlap"] = found.overlap.max().item()
    return run


def _summary(point: Point, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("present", "novel", "filled", "lost", "novel_mass", "unread", "precision", "overlap")
    return {
        "name": point.name,
        "trained": point.trained,
        "runs": runs,
        **{n: over_seeds([float(run[n]) for run in runs if n in run]) for n in names},
    }
