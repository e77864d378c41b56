"""The lab's statistics: hand examples, planted truths and the figures of the reference."""

import json
import math
from pathlib import Path

import pytest
import torch

from zoo.functional.probing import (
    PIE_EDGES,
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

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = json.loads((ROOT / "tests" / "cases" / "probes" / "bias_reference.json").read_text())


def test_response_widths_of_the_reference_panels():
    # Mean and deviation as the specification states them; catches a deviation with n.
    stated = {1: (1.00, 0), 2: (2.17, 0.41), 3: (3.17, 0.75), 4: (4.17, 0.75), 5: (5.33, 1.21),
              6: (6.17, 1.17), 7: (7.67, 1.03)}  # fmt: skip
    widths = {}
    for k, (mean, sd) in stated.items():
        counts = torch.tensor(REFERENCE["dots_gan_panels"]["generated_counts"][str(k)])
        found = response(counts, k)
        assert (round(found.mean, 2), round(found.sd, 2)) == (mean, sd)
        widths[k] = found
    some = [k for k in widths if k >= 2]
    ratio = [widths[k].sd / widths[k].mean for k in some]
    assert 0.13 <= min(ratio) and max(ratio) <= 0.24
    assert weber(some, [widths[k].sd for k in some]) > 0.5  # the spread rises with k


def test_a_log_normal_law_is_found_and_webers_law_with_it():
    generator = torch.Generator().manual_seed(0)
    levels, sds, logs = [1.0, 2.0, 4.0, 8.0], [], []
    for level in levels:
        z = torch.randn(20_000, generator=generator, dtype=torch.float64)
        found = response(level * torch.exp(0.2 * z), level, tolerance=0.1 * level)
        sds.append(found.sd)
        logs.append(found.sd_log)
        assert found.mean_log == pytest.approx(math.log(level), abs=0.01)
    assert logs == pytest.approx([0.2] * 4, rel=0.02)
    assert weber(levels, sds) == pytest.approx(1, abs=0.02)
    assert weber(levels, logs) == pytest.approx(0, abs=0.02)
    assert math.isnan(weber([2.0, 2.0], [1.0, 2.0])) and math.isnan(weber([1, 2], [0.0, 1.0]))
    edges = torch.tensor([0.0, 0.5, 1.0, 2.0, torch.inf])
    shares = log_normal_shares(0.3, 0.4, edges)
    draws = torch.exp(0.3 + 0.4 * torch.randn(100_000, generator=generator, dtype=torch.float64))
    torch.testing.assert_close(shares, law_of(draws, edges).shares, atol=0.006, rtol=0)
    assert shares.sum().item() == pytest.approx(1)


def test_what_cannot_be_read_is_counted_and_not_averaged():
    found = response(torch.tensor([-1, 2, 4, 0]), 2)
    assert (found.read, found.unread, found.mean, found.hit) == (3, 1, 2.0, pytest.approx(1 / 3))
    assert found.mean_log == pytest.approx(math.log(8) / 2)  # 0 has no logarithm
    nothing = response(torch.tensor([torch.nan, torch.nan]), 0.5)
    assert nothing.read == 0 and nothing.unread == 2 and math.isnan(nothing.mean)
    law = law_of(torch.tensor([0, 1, 5, -1]), torch.tensor([0.5, 1.5, 2.5]))
    assert law.shares.tolist() == pytest.approx([1 / 3, 0])
    assert law.outside == pytest.approx(2 / 3) and law.unread == 0.25
    assert law_of(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0, 2.0])).shares.tolist() == [
        0,
        0.5,
    ]


def test_additive_models_have_an_enhancement_of_one_and_prototypes_more():
    edges = torch.arange(8) + 0.5
    first = log_normal_shares(math.log(2), 0.15, edges)
    second = log_normal_shares(math.log(4), 0.15, edges)
    predicted = additive([first, second])
    assert predicted.sum().item() == pytest.approx(1, abs=1e-3)
    middle = edges[:-1] == 2.5
    assert enhancement(predicted, predicted, middle) == pytest.approx(1)
    merged = log_normal_shares(math.log(3), 0.2, edges)
    assert enhancement(merged, predicted, middle) > 2
    assert total_variation(predicted, predicted) == 0
    assert total_variation(first, second) == pytest.approx((first - second).abs().sum() / 2)
    assert enhancement(merged, torch.zeros(7), middle) == math.inf
    assert additive([first, second], [3, 1])[1].item() == pytest.approx(
        (0.75 * first + 0.25 * second)[1].item()
    )
    # Trained on counts 2 and 4: bins 1 and 3.
    assert valley(predicted, 1, 3) < 0.5 and valley(merged, 1, 3) == 1
    assert math.isnan(valley(torch.zeros(5), 1, 3))


def test_valleys_part_the_modes_as_in_the_reference():
    # Its curves are bimodal at gaps of .2 and more, merged at .1; catches peaks beside the modes.
    for k, known in REFERENCE["pie_two_mode_red_proportion"].items():
        if "valley" not in known:
            continue
        low, high = sorted(known["train"])
        at = torch.arange(0.01, 1, 0.02)
        law = sum(
            part["mass"] * torch.exp(-0.5 * ((at - part["mean"]) / part["fwhm_sd"]) ** 2)
            / part["fwhm_sd"] for part in (known["lo"], known["hi"])
        )  # fmt: skip
        law = law / law.sum()
        bins = [int((at - value).abs().argmin()) for value in (low, high)]
        assert valley(law, *bins) < (0.95 if abs(high - low) < 0.25 else 0.5), k


def test_combinations_of_pies_fall_into_the_public_codes_cells():
    radius, place, share = 0.35 + torch.tensor([1, 3, 5, 7, 9]) / 20, 0.05, 0.1
    sizes = [len(edges) + 1 for edges in PIE_EDGES.values()]
    assert math.prod(sizes) == 2025
    rows = torch.tensor(
        [[radius[a], (b - 5) * place, (c - 5) * place, (2 * d + 1) * share]
         for a in range(5) for b in range(1, 10) for c in range(1, 10) for d in range(5)]
    )  # fmt: skip
    cells = combination_cells(rows, list(PIE_EDGES.values()))
    assert cells.counts.shape == (5, 9, 9, 5) and (cells.counts == 1).all() and cells.unread == 0
    one = combination_cells(torch.tensor([[0.4, 0.2, -0.2, 0.9]]), list(PIE_EDGES.values()))
    assert one.counts[0, 8, 0, 4] == 1  # catches rows taken for columns
    broken = combination_cells(torch.tensor([[0.4, torch.nan, 0, 0.9]]), list(PIE_EDGES.values()))
    assert broken.counts.sum() == 0 and broken.unread == 1


def test_precision_and_recall_by_hand_on_three_by_three():
    counts = torch.tensor([[9, 4, 0], [4, 2, 1], [0, 0, 0]])
    trained = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0]]).bool()
    found = retrieval(counts, trained)
    assert found.kept.tolist() == [1, 3, 4, 5]  # cells with as many samples are kept together
    assert found.precision.tolist() == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])
    assert found.recall.tolist() == pytest.approx([1 / 4, 2 / 4, 3 / 4, 3 / 4])
    assert found.overlap.tolist() == pytest.approx([1 / 4, 2 / 5, 3 / 5, 3 / 6])
    assert precision_at_recall(found, 0.7) == pytest.approx({"precision": 3 / 4, "recall": 3 / 4})
    legacy = precision_at_recall(found, 0.5, legacy_names=True)
    assert legacy == pytest.approx({"precision": 1 / 2, "recall": 2 / 3})
    assert math.isnan(precision_at_recall(found)["precision"])  # one trained cell never comes
    with pytest.raises(ValueError, match="trained"):
        retrieval(counts, torch.zeros(3, 3))


def test_replayed_images_are_not_novel_and_uniform_ones_fill_every_cell():
    trained = torch.zeros(10, 10, dtype=torch.bool)
    trained.flatten()[::5] = True
    replayed = 50 * trained.long()
    found = novelty(replayed, trained)
    assert found == (20, 0, 0.0, 0, 0.0)
    uniform = torch.full((10, 10), 10)
    found = novelty(uniform, trained)
    assert found == (100, 80, 1.0, 0, pytest.approx(0.8))
    # Four samples are chance, and so are five of very many.
    few = replayed.clone()
    few[0, 1] = 4
    assert novelty(few, trained).novel == 0 and novelty(few, trained).novel_mass > 0
    few[0, 1] = 5
    assert novelty(few, trained).novel == 1
    assert novelty(1000 * replayed + few, trained).novel == 0
    few[0, 0] = 0
    assert novelty(few, trained).lost == 1
    assert math.isnan(novelty(uniform, torch.ones(10, 10).bool()).filled)


def test_shares_of_filled_cells_are_those_of_the_reference():
    known = REFERENCE["two_mnist_combinations"]
    stated = [0, 0, 0.01, 0.05, 0.18, 0.20, 0.23, 0.75, 0.80]
    for size, novel, share in zip(
        known["train"], known["novel_generated"]["WGANGP_CNN"], stated, strict=False
    ):
        counts, trained = torch.zeros(100, dtype=torch.int64), torch.zeros(100).bool()
        trained[:size] = True
        counts[: size + novel] = 100
        assert round(novelty(counts, trained).filled, 2) == share


def test_independent_features_are_the_product_of_their_marginals():
    first, second, third = (torch.tensor(p).double() for p in ([0.2, 0.8], [0.5, 0.3, 0.2], [1.0]))
    joint = first[:, None, None] * second[:, None] * third
    torch.testing.assert_close(product_of_marginals(joint), joint)
    diagonal = torch.eye(2)
    assert product_of_marginals(diagonal).tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert total_variation(diagonal / 2, product_of_marginals(diagonal)) == 0.5
    support = torch.tensor([[1, 1, 0], [1, 1, 0]])
    assert ((product_of_marginals(support) > 0) == (support > 0)).all()
