"""Annealed importance sampling against sums over all states, and against a linear Gaussian law."""

import math

import pytest
import torch

from zoo.functional.annealing import (
    annealed,
    between,
    constant,
    hmc,
    ladder,
    reverse_constant,
    tuned_rates,
)
from zoo.functional.likelihood import gaussian_log_prob


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ a law on five states

HEIGHTS = torch.tensor([0.0, 2.0, -1.0, 4.0, 1.0], dtype=torch.float64)  # log f_1; f_0 is flat
TRUE = float(HEIGHTS.logsumexp(0))


def start(n, generator):
    return torch.randint(5, (n,), generator=generator)


def exact_start(n, generator):
    return torch.multinomial(HEIGHTS.softmax(0), n, replacement=True, generator=generator)


def metropolis(x, beta, generator):
    """One step to a neighbour on a circle; it leaves f_beta invariant."""
    there = (x + 2 * torch.randint(2, x.shape, generator=generator) - 1) % 5
    up = beta * (HEIGHTS[there] - HEIGHTS[x])
    return torch.where(torch.rand(x.shape, generator=generator) < up.exp(), there, x)


def step(x, k, before, beta, generator):
    return (beta - before) * HEIGHTS[x], metropolis(x, beta, generator)


def test_the_constant_of_a_law_on_five_states():
    """Rejects weights taken at the state after the move, and a sum in the place of the mean."""
    found = constant(annealed(start, step, ladder(10), 4000, seed=0), math.log(5))
    assert found.standard_error < 0.03
    assert abs(found.log_z - TRUE) < 3 * found.standard_error

    def late(x, k, before, beta, generator):
        moved = metropolis(x, beta, generator)
        return (beta - before) * HEIGHTS[moved], moved

    wrong = constant(annealed(start, late, ladder(10), 4000, seed=0), math.log(5))
    assert abs(wrong.log_z - TRUE) > 6 * wrong.standard_error


def test_the_standard_error_is_the_spread_over_runs():
    """Rejects the deviation of single weights, and that of their logarithms."""
    runs = [constant(annealed(start, step, ladder(10), 100, seed=s)) for s in range(200)]
    spread = float(torch.stack([run.log_z for run in runs]).std())
    claimed = float(torch.stack([run.standard_error for run in runs]).mean())
    assert abs(claimed / spread - 1) < 0.2  # the spread itself is known to 5 %
    outside = [not run.low < TRUE - math.log(5) < run.high for run in runs]
    assert sum(outside) <= 4


def test_both_directions_close_in_on_the_truth():
    """Rejects a reverse run that starts at the base, and one whose sign is that of the forward."""
    gaps = []
    for temperatures in (1, 30):
        betas = ladder(temperatures)
        low = [float(constant(annealed(start, step, betas, 5, seed=s), math.log(5)).log_z)
               for s in range(200)]  # fmt: skip
        high = [float(reverse_constant(annealed(exact_start, step, betas[::-1], 5, seed=s),
                                       math.log(5)).log_z) for s in range(200)]  # fmt: skip
        below, above = sum(low) / 200, sum(high) / 200
        assert below < TRUE < above
        gaps.append(above - below)
    assert gaps[0] > 0.5 > 5 * gaps[1]


def test_chains_walk_in_chunks_and_a_seed_decides_all():
    sizes = []

    def watched(n, generator):
        sizes.append(n)
        return start(n, generator)

    first = annealed(watched, step, ladder(3), 25, seed=1, at_once=10)
    assert sizes == [10, 10, 5] and first.shape == (25,) and first.dtype == torch.float64
    assert torch.equal(first, annealed(start, step, ladder(3), 25, seed=1, at_once=10))
    assert not torch.equal(first, annealed(start, step, ladder(3), 25, seed=2, at_once=10))
    assert len(first.unique()) > 5 and not torch.equal(first[:10], first[10:20])


@pytest.mark.parametrize(("chains", "betas"), [(0, [0.0, 1.0]), (3, [1.0])])
def test_a_walk_of_nothing_is_refused(chains, betas):
    with pytest.raises(ValueError, match="a walk needs a chain and two laws"):
        annealed(start, step, betas, chains, seed=0)


def test_ladders_lead_from_0_to_1_and_bend_towards_both_ends():
    even, bent = torch.tensor(ladder(8)), torch.tensor(ladder(8, bend=4))
    torch.testing.assert_close(even, torch.arange(9) / 8)
    assert bent[0] == 0 and bent[-1] == 1
    steps = bent.diff()
    assert steps.min() > 0 and steps[0] < 0.05 and steps[3] > 0.2
    torch.testing.assert_close(steps, steps.flip(0))


# ------------------------------------------------------------------ continuous states

ROWS = torch.tensor([[1.0, 0.5], [-0.5, 2.0], [0.3, 0.3]], dtype=torch.float64)  # x = A z + noise
DEVIATION = 0.4
X = torch.tensor([[0.5, -1.0, 0.2], [2.0, 1.0, 0.0]], dtype=torch.float64)  # two problems at once


def log_prior(z):
    return gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z)).sum(-1)


def log_joint(z):
    mean, log_std = z @ ROWS.T, torch.tensor(math.log(DEVIATION), dtype=torch.float64)
    return log_prior(z) + gaussian_log_prob(X, mean, log_std).sum(-1)


def codes(n, generator):
    return torch.randn(n, 2, 2, generator=generator, dtype=torch.float64)


def test_hamiltonian_steps_leave_a_law_invariant():
    """Rejects a step never refused, half a leap too many, and momenta that are kept."""
    variance = torch.tensor([1.0, 0.04], dtype=torch.float64)

    def law(x):
        return -(x.square() / variance).sum(-1) / 2

    generator = seeded()
    x = torch.randn(20_000, 2, generator=generator, dtype=torch.float64) * variance.sqrt()
    shares = []
    for _ in range(5):
        x, accepted = hmc(law, x, torch.tensor(0.33), 3, generator)
        shares.append(float(accepted.mean()))
    assert 0.5 < min(shares) < 0.95  # long leaps: what is refused decides
    assert (x.mean(0).abs() < 4 * (variance / 20_000).sqrt()).all()
    assert (x.var(0) / variance - 1).abs().max() < 4 * math.sqrt(2 / 20_000)


def test_leaps_are_tuned_to_the_wanted_share_problem_by_problem():
    """Rejects a rate for all problems alike, and a rule that shortens what is accepted."""
    widths = torch.tensor([1.0, 0.01], dtype=torch.float64)

    def narrow(x):
        return -(x / widths[:, None]).square().sum(-1) / 2

    rates = tuned_rates(codes, narrow, narrow, ladder(300), seed=0, leaps=5)
    assert len(rates) == 301 and rates[-1].shape == (2,)
    torch.testing.assert_close(rates[-1] / widths, (rates[-1] / widths).flip(0), rtol=0.2, atol=0)
    x = codes(2000, seeded()) * widths[:, None]
    share = hmc(narrow, x, rates[-1], 5, seeded())[1].mean(0)
    assert ((share - 0.65).abs() < 0.12).all()


def test_a_linear_gaussian_law_is_known_within_the_error():
    """p(x) is normal with covariance A A^T + s^2: rejects the prior counted twice in between."""
    covariance = ROWS @ ROWS.T + DEVIATION**2 * torch.eye(3, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(
        torch.zeros(3, dtype=torch.float64), covariance
    ).log_prob(X)
    betas = ladder(100, bend=4)
    rates = tuned_rates(codes, log_prior, log_joint, betas, seed=7, leaps=5)
    walk = between(log_prior, log_joint, rates, leaps=5)
    found = constant(annealed(codes, walk, betas, 200, seed=0))
    assert found.log_z.shape == (2,) and (found.standard_error < 0.1).all()
    assert ((found.log_z - exact).abs() < 3 * found.standard_error).all()

    precision = ROWS.T @ ROWS / DEVIATION**2 + torch.eye(2, dtype=torch.float64)
    mean = (X @ ROWS / DEVIATION**2) @ precision.inverse()

    def posterior(n, generator):
        noise = torch.randn(n, 2, 2, generator=generator, dtype=torch.float64)
        return mean + noise @ torch.linalg.cholesky(precision.inverse()).T

    back = between(log_prior, log_joint, rates[::-1], leaps=5)
    high = reverse_constant(annealed(posterior, back, betas[::-1], 200, seed=1))
    assert ((high.log_z - exact).abs() < 3 * high.standard_error).all()
    assert ((high.low < high.log_z) & (high.log_z < high.high)).all()
