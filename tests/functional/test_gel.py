"""GEL: every reference case, then properties that hold for all seeds, sizes and conditionings."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from zoo.functional.gel.one_sample import (
    KERNELS,
    OBJECTIVES,
    class_kernel_moments,
    dropped_modes,
    extreme_samples,
    gel_one_sample,
    gel_per_class,
    gel_two_sample,
    hellinger,
    intra_class_diversity,
    kernel_moment_mean,
    kernel_moments,
    label_conditioned_moments,
    mode_mass,
)

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ZOO_CASES", ROOT.parent / "shared" / "cases")) / "gel"
CASES = SHARED if (SHARED / "index.json").exists() else ROOT / "tests" / "cases" / "gel"
INDEX = {c["id"]: c for c in json.loads((CASES / "index.json").read_text())["cases"]}
NAMES = {"et": "et", "el": "el", "euc": "euclidean"}
GENERIC = [k for k, c in INDEX.items() if c["formulation"] == "one_sample" and "shifts" not in k]


def arrays(case):
    with np.load(CASES / INDEX[case]["file"]) as stored:
        return {k: torch.from_numpy(v) for k, v in stored.items()}


def moments_of(case, data):
    """The case's moment function."""
    spec = INDEX[case]["moment"]
    if spec["type"] == "feature_mean":
        return lambda x: x
    return lambda x: kernel_moments(x, data["witness"], spec["kernel"], spec["sigma"])


def check_weights(weights, expected, tolerance):
    error = (weights - expected).abs().max().item() * len(expected)
    assert error <= tolerance["N_prob_atol"]


def check_divergence(value, expected, tolerance):
    assert value == pytest.approx(
        expected, rel=tolerance["divergence_rtol"], abs=tolerance["divergence_atol"]
    )


def check_one(test, target, expected, data, tolerance):
    """Status, divergence and weights of all objectives that a case lists."""
    for name, want in expected.items():
        result = gel_one_sample(test, target, NAMES[name])
        assert result.status == want["status"], name
        if want["status"] == "infeasible":
            assert result.divergence == math.inf
            assert result.weights.isnan().all()
            assert result.weights.shape == (len(test),)
        else:
            assert result.residual < 1e-6
            check_divergence(result.divergence, want["divergence"], tolerance)
            check_weights(result.weights, data[want["probs"]], tolerance)


def normal(seed, *shape, scale=1.0, shift=0.0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64) * scale + shift


# Reference cases


def test_kernels_match_the_reference():
    case, data = INDEX["g01_kernels"], arrays("g01_kernels")
    for name, spec in case["expected"].items():
        got = kernel_moments(data["x"], data["w"], spec["kernel"], spec["sigma"])
        torch.testing.assert_close(got, data[name], rtol=case["tolerance"]["rtol"], atol=0)


@pytest.mark.parametrize("case", [k for k in GENERIC if not k.startswith("g03")])
def test_one_sample_case(case):
    data, f = arrays(case), moments_of(case, arrays(case))
    target = f(data["model"]).mean(0)
    check_one(f(data["test"]), target, INDEX[case]["expected"], data, INDEX[case]["tolerance"])


def test_mean_shift_case():
    case, data = INDEX["g03_mean_shift"], arrays("g03_mean_shift")
    for i, shift in enumerate(data["shifts"]):
        target, expected = (data["model"] + shift).mean(0), case["expected"][f"shift_{i}"]
        check_one(data["test"], target, expected, data, case["tolerance"])


@pytest.mark.parametrize("case", [k for k, c in INDEX.items() if c["formulation"] == "two_sample"])
def test_two_sample_case(case):
    data, f, tolerance = arrays(case), moments_of(case, arrays(case)), INDEX[case]["tolerance"]
    for name, want in INDEX[case]["expected"].items():
        result = gel_two_sample(f(data["model"]), f(data["test"]), NAMES[name])
        assert result.status == want["status"], name
        if want["status"] == "infeasible":
            assert result.divergence == result.model_divergence == math.inf
            assert result.model_weights.isnan().all() and result.test_weights.isnan().all()
            continue
        for part in ("divergence", "model_divergence", "test_divergence"):
            check_divergence(getattr(result, part), want[part], tolerance)
        check_weights(result.model_weights, data[want["model_probs"]], tolerance)
        check_weights(result.test_weights, data[want["test_probs"]], tolerance)


def per_class(data, objective):
    labels, model_labels = data["test_labels"], data["model_labels"]
    witnesses = data["witness"], data["witness_labels"]
    test = class_kernel_moments(data["test"], labels, *witnesses)
    model = class_kernel_moments(data["model"], model_labels, *witnesses)
    classes = int(labels.max()) + 1
    target = torch.stack([model[model_labels == k].mean(0) for k in range(classes)])
    count = torch.bincount(model_labels, minlength=classes)
    result = gel_per_class(test, labels, target, count, objective)
    joint = gel_one_sample(
        label_conditioned_moments(test, labels, classes),
        label_conditioned_moments(model, model_labels, classes).mean(0),
        objective,
    )
    return result, joint


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_chain_rule_and_intraclass_case(objective):
    """Rejects class divergences weighted by the wrong side's shares."""
    case, data = INDEX["g17_intraclass_collapse"], arrays("g17_intraclass_collapse")
    result, joint = per_class(data, objective)
    assert result.divergence == pytest.approx(joint.divergence, rel=1e-8)
    check_weights(result.weights, joint.weights, case["tolerance"])
    for name, expected in case["expected"].items():
        if objective not in expected:
            continue
        want = expected[objective]
        if name == "joint":
            check_divergence(result.divergence, want["divergence"], case["tolerance"])
            check_weights(result.weights, data[want["probs"]], case["tolerance"])
            continue
        one = result.classes[int(name[-1])]
        assert one is not None
        check_divergence(one.divergence, want["divergence"], case["tolerance"])
        check_weights(one.weights, data[want["probs"]], case["tolerance"])
    spread = intra_class_diversity(result.conditional_weights, data["test_labels"], 4, objective)
    torch.testing.assert_close(spread.divergence, result.class_divergence, rtol=1e-8, atol=1e-12)
    if objective == "et":
        extra = case["expected_extra"]["per_class"]
        want = torch.tensor([v["entropy_ratio"] for v in extra.values()], dtype=torch.float64)
        torch.testing.assert_close(spread.entropy_ratio, want, atol=1e-4, rtol=0)
        assert spread.ess[1] < 0.6 < spread.ess[0]


@pytest.mark.parametrize("case", [k for k in INDEX if k[:3] in ("g04", "g05", "g06", "g07")])
@pytest.mark.parametrize("objective", ["et", "el", "euc"])
def test_modes_of_the_mixtures(case, objective):
    data, f = arrays(case), moments_of(case, arrays(case))
    target, extra = f(data["model"]).mean(0), INDEX[case]["expected_extra"]
    weights = gel_one_sample(f(data["test"]), target, NAMES[objective]).weights
    mass = mode_mass(weights, data["test_labels"], 10)
    gold = torch.tensor(extra["gold_proportions"])
    assert mass.tolist() == pytest.approx(extra[objective]["mode_mass"], abs=1e-4)
    assert hellinger(mass, gold) == pytest.approx(extra[objective]["hellinger_to_gold"], abs=1e-3)
    share = mode_mass(torch.full_like(weights, 1 / len(weights)), data["test_labels"], 10)
    if "dropped_modes" in extra:
        assert dropped_modes(mass, share).nonzero()[:, 0].tolist() == extra["dropped_modes"]


def test_outliers_have_the_lowest_weights():
    data, f = (
        arrays("g19_per_sample_outliers"),
        moments_of("g19_per_sample_outliers", arrays("g19_per_sample_outliers")),
    )
    weights = gel_one_sample(f(data["test"]), f(data["model"]).mean(0)).weights
    lowest, highest = extreme_samples(weights, 6)
    assert lowest.tolist() == INDEX["g19_per_sample_outliers"]["expected_extra"]["et"]["lowest"]
    assert weights[highest[0]] == weights.max()


def test_common_mode_keeps_the_mass():
    case = "g13_two_sample_common_disjoint"
    data, f = arrays(case), moments_of(case, arrays(case))
    result = gel_two_sample(f(data["model"]), f(data["test"]))
    want = INDEX[case]["expected_extra"]["et"]
    model = mode_mass(result.model_weights, data["model_labels"], 3)
    test = mode_mass(result.test_weights, data["test_labels"], 3)
    assert model[0].item() == pytest.approx(want["model_common_mass"], abs=1e-4)
    assert test[0].item() == pytest.approx(want["test_common_mass"], abs=1e-4)


# Properties


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("seed", "n", "q"), [(0, 30, 2), (1, 200, 7), (2, 400, 40)])
def test_optimality_conditions(seed, n, q, objective):
    """The moments match and the weights have the form of the table: with both, they are optimal."""
    m, c = normal(seed, n, q), normal(seed + 10, q, scale=0.1)
    result = gel_one_sample(m, c, objective)
    assert result.status == "solved" and result.rank == q
    w = result.weights
    torch.testing.assert_close(w @ m, c, atol=1e-8, rtol=0)
    dual = {"et": lambda: w.log(), "el": lambda: 1 / w, "euclidean": lambda: w}[objective]()
    design = torch.cat([torch.ones(n, 1, dtype=m.dtype), m], 1)
    fitted = design @ torch.linalg.lstsq(design, dual[:, None]).solution
    torch.testing.assert_close(fitted[:, 0], dual, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(3))
def test_invariance_to_linear_maps_and_permutations(seed, objective):
    """Includes moments whose units differ by 1e12, and dependent copies of moments."""
    m, c = normal(seed, 120, 6), normal(seed + 10, 6, scale=0.2)
    base = gel_one_sample(m, c, objective)
    a = normal(seed + 20, 6, 6) * torch.logspace(-6, 6, 6, dtype=torch.float64)
    copies = torch.cat([torch.eye(6), normal(seed + 30, 6, 4).float()], 1).double()
    order = torch.randperm(120, generator=torch.Generator().manual_seed(seed))
    for test, target, rows in [
        (m @ a, c @ a, slice(None)),
        (m + 1e4, c + 1e4, slice(None)),
        (m @ copies, c @ copies, slice(None)),
        (m[order], c, order),
    ]:
        other = gel_one_sample(test, target, objective)
        assert other.rank == 6
        assert other.divergence == pytest.approx(base.divergence, rel=1e-7)
        torch.testing.assert_close(other.weights, base.weights[rows], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_own_mean_gives_uniform_weights(objective):
    m = normal(3, 50, 5).exp()
    result = gel_one_sample(m, m.mean(0), objective, target_count=100)
    torch.testing.assert_close(result.weights, torch.full((50,), 0.02, dtype=torch.float64))
    assert result.divergence < 1e-12
    factor = 2 if objective == "euclidean" else 1
    assert result.baseline == pytest.approx(factor * 2.5 * (1 / 50 + 1 / 100))


@pytest.mark.parametrize("objective", ["et", "el", "euclidean"])
def test_baseline_predicts_the_same_distribution_divergence(objective):
    """Rejects a factor of two: the mean of 60 ratios has a standard error of 0.08."""
    one, two = [], []
    for seed in range(60):
        m, x = normal(seed, 200, 5), normal(1000 + seed, 300, 5)
        r = gel_one_sample(m, x.mean(0), objective, target_count=300)
        one.append(r.divergence / (r.baseline or math.nan))
        r = gel_two_sample(x, m, objective)
        two.append(r.divergence / (r.baseline or math.nan))
    assert 0.75 < np.mean(one) < 1.35
    assert 0.75 < np.mean(two) < 1.35


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_hot_moments_have_a_closed_form(objective):
    labels = torch.arange(60) % 3
    p, n = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.bincount(labels)
    result = gel_one_sample(torch.eye(3, dtype=torch.float64)[labels], p, objective)
    torch.testing.assert_close(result.weights, (p / n)[labels])
    assert result.rank == 2


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(3))
def test_swapping_two_samples_swaps_the_weights(seed, objective):
    x, y = normal(seed, 70, 4), normal(seed + 10, 110, 4, shift=0.3)
    forth, back = gel_two_sample(x, y, objective), gel_two_sample(y, x, objective)
    assert forth.status == "solved"
    torch.testing.assert_close(forth.model_weights, back.test_weights, rtol=1e-6, atol=1e-10)
    torch.testing.assert_close(forth.test_weights, back.model_weights, rtol=1e-6, atol=1e-10)
    assert forth.divergence == pytest.approx(back.divergence)
    assert forth.divergence == forth.model_divergence + forth.test_divergence
    torch.testing.assert_close(forth.model_weights @ x, forth.test_weights @ y)


def test_two_samples_generalise_one():
    """A model side at a single point is the one-sample problem."""
    x = normal(0, 80, 3)
    point = torch.full((1, 3), 0.2, dtype=torch.float64)
    for objective in ("et", "el"):
        one, two = gel_one_sample(x, point[0], objective), gel_two_sample(point, x, objective)
        torch.testing.assert_close(two.test_weights, one.weights, rtol=1e-6, atol=1e-9)


# Feasibility


def hull_margin(m, c):
    """N times the largest possible smallest weight; negative or None outside the hull."""
    n, q = m.shape
    equal = np.block([[((m - c) / np.abs(m - c).max(0)).T, np.zeros((q, 1))], [np.ones(n), 0]])
    upper = np.hstack([-n * np.eye(n), np.ones((n, 1))])
    cost, sums = np.r_[np.zeros(n), -1], np.r_[np.zeros(q), 1]
    bounds = [(None, None)] * (n + 1)
    solved = linprog(cost, upper, np.zeros(n), equal, sums, bounds=bounds, method="highs")
    return solved.x[-1] if solved.status == 0 else None


@pytest.mark.parametrize("seed", range(25))
def test_status_agrees_with_a_linear_program(seed):
    rng = np.random.default_rng(seed)
    n, q = int(rng.choice([4, 10, 40, 150])), int(rng.choice([1, 2, 3]))
    m = rng.standard_t(3, (n, q)) if seed % 2 else np.exp(2 * rng.standard_normal((n, q)))
    for c in (rng.dirichlet(np.full(n, 0.3)) @ m, m.mean(0) + rng.standard_normal(q) * m.std(0)):
        margin = hull_margin(m, c)
        test, target = torch.from_numpy(m), torch.from_numpy(c)
        et, el = gel_one_sample(test, target, "et"), gel_one_sample(test, target, "el")
        if margin is not None and margin > 1e-4:
            assert (et.status, el.status) == ("solved", "solved")
        elif margin is None or margin < -1e-6:
            assert (et.status, el.status) == ("infeasible", "infeasible")
        assert gel_one_sample(test, target, "euclidean").status == "solved"


@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-5, 1e-6])
@pytest.mark.parametrize("seed", range(4))
def test_points_just_off_a_vertex(seed, gap):
    """Rejects a dual whose gradient merely vanishes: outside by any gap is infeasible."""
    m = normal(seed, 300, 3)
    direction = normal(seed + 10, 3)
    vertex = m[(m @ direction).argmax()]
    outside = vertex + gap * direction / direction.norm()
    inside = vertex - gap * (vertex - m.mean(0))
    for objective in ("et", "el"):
        assert gel_one_sample(m, outside, objective).status == "infeasible"
    assert gel_one_sample(m, inside, "et").status == "solved"
    assert gel_one_sample(m, vertex, "el").status == "infeasible"
    if gap >= 1e-3:
        assert gel_one_sample(m, inside, "el").status == "solved"


def test_et_solves_on_a_face_and_gives_the_rest_no_weight():
    m = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).double()
    result = gel_one_sample(m, torch.tensor([3.0, 1.0]), "et")
    assert result.status == "solved"
    assert result.weights[m[:, 0] < 3].sum() < 1e-6
    assert gel_one_sample(m, torch.tensor([3.0, 1.0]), "el").status == "infeasible"


def on_a_face(seed, sigma):
    """Kernel moments, the worse conditioned the smaller sigma, and two targets on their hull."""
    m = kernel_moments(normal(seed, 150, 4), normal(seed + 50, 20, 4), sigma=sigma)
    apart = (torch.arange(150) < 50).double()[:, None] / 1000
    weights = normal(seed + 90, 50).softmax(0)
    faced = torch.cat([m, apart], 1)  # the first fifty span a face
    return {"vertex": (m, m[m[:, 0].argmax()]), "face": (faced, weights @ faced[:50])}


@pytest.mark.parametrize("sigma", [1.0, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("which", ["vertex", "face"])
def test_rounding_never_proves_a_target_on_a_face_infeasible(which, sigma):
    """The condition is 1e2 to 1e8; at the last, whitened moments have seven digits."""
    found = []
    for seed in range(8):
        m, c = on_a_face(seed, sigma)[which]
        result = gel_one_sample(m, c, "et")
        found.append(result.status)
        if result.status == "undecided":
            assert math.isnan(result.divergence) and result.weights.isnan().all()
        assert gel_one_sample(m, c, "el").status == "infeasible"
    assert set(found) <= ({"solved"} if sigma >= 0.01 else {"solved", "undecided"})
    assert found.count("solved") >= 6


@pytest.mark.parametrize(("sigma", "outside", "inside"), [(1.0, 1e-6, 1e-4), (0.001, 1e-4, 1e-3)])
def test_what_is_off_by_more_than_rounding_is_decided(sigma, outside, inside):
    for seed in range(8):
        m, c = on_a_face(seed, sigma)["vertex"]
        away = c - m.mean(0)
        assert gel_one_sample(m, c + outside * away).status == "infeasible"
        assert gel_one_sample(m, c - inside * away).status == "solved"
        assert gel_one_sample(m, c + 1e-13 * away).status != "infeasible"  # no digits for that


def test_a_class_that_is_undecided_leaves_the_whole_so():
    m, c = on_a_face(0, 0.0001)["vertex"]
    near = c + 1e-10 * (c - m.mean(0))
    assert gel_one_sample(m, near).status == "undecided"
    labels, rows = torch.arange(300) // 150, m.repeat(2, 1)
    found = gel_per_class(rows, labels, torch.stack([m.mean(0), near]), torch.tensor([10, 10]))
    assert found.status == "undecided" and math.isnan(found.divergence)
    assert found.weights.isnan().all() and not found.conditional_weights[:150].isnan().any()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_more_moments_than_samples(objective):
    m = normal(0, 12, 30)
    assert gel_one_sample(m, normal(1, 30), objective).status == "infeasible"
    weights = torch.full((12,), 0.5 / 11, dtype=torch.float64)
    weights[3] = 0.5
    result = gel_one_sample(m, weights @ m, objective)  # in general position, the only solution
    assert (result.status, result.rank) == ("solved", 11)
    torch.testing.assert_close(result.weights, weights, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_single_test_sample(objective):
    m = torch.tensor([[1.0, -2.0]])
    result = gel_one_sample(m, m[0], objective)
    assert (result.status, result.divergence, result.weights.tolist()) == ("solved", 0.0, [1.0])
    assert gel_one_sample(m, m[0] + 0.1, objective).status == "infeasible"
    two = gel_two_sample(m, m, objective)
    assert (two.status, two.divergence) == ("solved", 0.0)
    assert gel_two_sample(m, m + 1, objective).status == "infeasible"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_constant_moments_must_match(objective):
    m = torch.cat([normal(0, 40, 2), torch.full((40, 1), 5.0, dtype=torch.float64)], 1)
    good = torch.tensor([0.1, 0.1, 5.0], dtype=torch.float64)
    assert gel_one_sample(m, good, objective).status == "solved"
    good[2] += 1e-3
    assert gel_one_sample(m, good, objective).status == "infeasible"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_single_precision_moments(objective):
    """Dependent moments rounded to 32 bits are still recognised as dependent."""
    m = normal(0, 300, 5)
    m = torch.cat([m, m @ normal(1, 5, 3)], 1)
    target = normal(2, 200, 5) @ torch.cat([torch.eye(5).double(), normal(1, 5, 3)], 1)
    exact = gel_one_sample(m, target.mean(0), objective)
    rounded = gel_one_sample(m.float(), target.mean(0).float(), objective)
    assert exact.rank == rounded.rank == 5
    assert rounded.weights.dtype == torch.float64
    torch.testing.assert_close(rounded.weights, exact.weights, rtol=1e-3, atol=1e-6)


def test_steep_kernel_values_and_duplicate_witnesses():
    x, model = normal(0, 500, 4, scale=1.6), normal(1, 2000, 4, scale=1.3)
    w = normal(2, 12, 4, scale=2.0)
    m = kernel_moments(x, w, sigma=2.0)
    assert m.max() / m.min() > 1e6
    c = kernel_moment_mean(model, w, sigma=2.0)
    for objective in OBJECTIVES:
        base = gel_one_sample(m, c, objective)
        twice = gel_one_sample(m.repeat(1, 2), c.repeat(2), objective)
        assert (base.status, base.rank) == (twice.status, twice.rank) == ("solved", 12)
        torch.testing.assert_close(twice.weights, base.weights, rtol=1e-5, atol=1e-9)


# Moments and helpers


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_mean_streams_over_chunks(kernel):
    x, w = normal(0, 9001, 3), normal(1, 4, 3)
    torch.testing.assert_close(
        kernel_moment_mean(x, w, kernel), kernel_moments(x, w, kernel).mean(0)
    )


def test_kernels_far_from_the_origin():
    """Rejects an expanded rbf distance that loses its digits to a common offset."""
    x, w = normal(0, 20, 3), normal(1, 5, 3)
    near = kernel_moments(x, w, "rbf", 0.5)
    torch.testing.assert_close(
        kernel_moments(x + 1e4, w + 1e4, "rbf", 0.5), near, rtol=1e-6, atol=0
    )


def test_absent_classes():
    labels = torch.tensor([0] * 20 + [1] * 20)
    m, target = normal(0, 40, 2), torch.zeros(3, 2, dtype=torch.float64)
    result = gel_per_class(m, labels, target, torch.tensor([10, 0, 0]))
    assert result.status == "solved"
    assert result.divergence == pytest.approx(math.log(2) + result.class_divergence[0].item())
    assert result.class_divergence[1:].isnan().all() and result.weights[20:].eq(0).all()
    assert gel_per_class(m, labels, target, torch.tensor([10, 0, 0]), "el").status == "infeasible"
    lost = gel_per_class(m, labels, target, torch.tensor([10, 10, 1]))
    assert (lost.status, lost.divergence) == ("infeasible", math.inf)
    assert lost.weights.isnan().all() and lost.conditional_weights.isfinite().all()


def test_helpers_pass_nan_through():
    nan, labels = torch.full((4,), math.nan), torch.tensor([0, 0, 1, 1])
    mass = mode_mass(nan, labels, 2)
    assert mass.isnan().all()
    assert not dropped_modes(mass, torch.tensor([0.5, 0.5])).any()
    assert math.isnan(hellinger(mass, torch.tensor([0.5, 0.5])))
    spread = intra_class_diversity(nan, labels, 2)
    assert spread.ess.isnan().all()


def test_hellinger_ignores_negative_and_scale():
    assert hellinger(torch.tensor([-0.1, 2.0]), torch.tensor([0.0, 1.0])) == 0
    assert hellinger(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])) == pytest.approx(
        math.sqrt(1 - math.sqrt(0.5))
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: gel_one_sample(m, m[0], "etx"), "unknown objective 'etx'; did you mean 'et'"),
        (lambda m: gel_one_sample(m, m[0], "euclid"), "did you mean 'euclidean'"),
        (lambda m: gel_one_sample(m[:0], m[0]), r"non-empty.*\(0, 2\)"),
        (lambda m: gel_one_sample(m, m[0, :1]), r"shape \(2,\).*got \(1,\)"),
        (lambda m: gel_one_sample(m * math.nan, m[0]), "test_moments holds 6 non-finite"),
        (lambda m: gel_one_sample(m, m[0] / 0), "target holds 2 non-finite"),
        (lambda m: gel_one_sample(m, m[0], target_count=0), "at least 1, got 0"),
        (lambda m: gel_two_sample(m, m[:, :1]), "width 2 but test_moments have width 1"),
        (lambda m: kernel_moments(m, m, "rfb"), "unknown kernel 'rfb'; did you mean 'rbf'"),
        (lambda m: kernel_moments(m, m[:, :1]), "width 2 but the witnesses have width 1"),
        (lambda m: kernel_moments(m, m, sigma=-1.0), "sigma must be positive and finite, got -1.0"),
        (lambda m: kernel_moments(m * 1e3, m * 1e3), "exponential kernel overflowed"),
        (lambda m: class_kernel_moments(m, torch.tensor([0, 1, 2]), m, torch.tensor([0, 1, 1])),
         "class 2 has samples but no witness"),
        (lambda m: label_conditioned_moments(m, torch.tensor([0, 1, 2]), 2), r"\[0, 2\), got 0..2"),
        (lambda m: mode_mass(m[:, 0], torch.tensor([0, 1, 5]), 2), r"\[0, 2\), got 0..5"),
        (lambda m: gel_per_class(m, torch.zeros(3, dtype=torch.int64), m[:1], torch.zeros(1)),
         "model side is empty"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]))
    assert "\n" not in str(caught.value)
