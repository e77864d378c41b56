"""Total correlation against closed forms, enumerated batches and the best discriminator."""

import itertools
import math

import pytest
import torch

from zoo.functional.adversarial import discriminator_loss
from zoo.functional.total_correlation import (
    batch_log_weights,
    decompose,
    density_ratio_tc,
    permute_units,
)

RHO = 0.8
EXACT = -0.5 * math.log(1 - RHO**2)  # of two normal numbers with this correlation


def correlated(n, seed=0):
    a, b = torch.randn(2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.stack([a, RHO * a + math.sqrt(1 - RHO**2) * b], dim=1)


def test_permuted_units_keep_their_values_and_lose_their_company():
    z = correlated(20_000)
    out = permute_units(z, torch.Generator().manual_seed(1))
    assert torch.equal(out.sort(dim=0).values, z.sort(dim=0).values)
    assert abs(torch.corrcoef(z.T)[0, 1] - RHO) < 0.02
    # One order for all units would keep the correlation, and so would none.
    assert abs(torch.corrcoef(out.T)[0, 1]) < 0.03


def test_every_order_is_as_likely_and_orders_are_independent():
    z = torch.arange(3.0)[:, None].expand(3, 2)
    generator = torch.Generator().manual_seed(0)
    seen = torch.zeros(6, 6)
    orders = {order: k for k, order in enumerate(itertools.permutations(range(3)))}
    for _ in range(7200):
        first, second = permute_units(z, generator).long().T.tolist()
        seen[orders[tuple(first)], orders[tuple(second)]] += 1
    chi_square = ((seen - 200).square() / 200).sum()  # 35 degrees of freedom
    assert chi_square < 75


def test_the_best_discriminator_tells_the_total_correlation():
    z = correlated(200_000)
    best = -0.5 * torch.logdet(torch.eye(2, dtype=torch.float64) * (1 - RHO**2)) / 2
    inverse = torch.linalg.inv(torch.tensor([[1, RHO], [RHO, 1]], dtype=torch.float64))
    logits = best - 0.5 * ((z @ inverse) * z).sum(1) + 0.5 * z.square().sum(1)
    assert density_ratio_tc(logits).item() == pytest.approx(EXACT, abs=0.005)


def test_a_discriminator_that_learned_tells_it_too():
    """Quadratic logits hold the best ones; learned with the loss that FactorVAE minimises."""
    z = correlated(50_000)
    permuted = permute_units(z, torch.Generator().manual_seed(2))

    def features(x):
        a, b = x.T
        return torch.stack([torch.ones_like(a), a * a, b * b, a * b], dim=1)

    weights = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        loss = discriminator_loss(features(z) @ weights, features(permuted) @ weights)
        loss.backward()
        return loss

    solver.step(closure)
    found = density_ratio_tc(features(z) @ weights).item()
    # The divergence of the product from the joint law is 1.27, that of labels the other way -.51.
    assert found == pytest.approx(EXACT, abs=0.03)


# ---------------------------------------------------------------- batches

N = 5
MEANS = torch.tensor([[-1.0, 0.3], [0.2, 1.0], [1.4, -0.5], [0.0, 0.0], [2.0, 1.7]]).double()
LOG_VARS = torch.tensor([[-1.0, 0.0], [0.2, -0.4], [0.0, 0.3], [-2.0, 0.5], [0.1, 0.1]]).double()


def densities(z, own):
    """q(z | x_n) of all examples, the one that z comes from first."""
    law = torch.distributions.Normal(MEANS, (LOG_VARS / 2).exp())
    values = law.log_prob(z).sum(dim=1).exp()
    return values[own], [values[n] for n in range(N) if n != own], values.mean()


def estimate(estimator, own, others):
    weights = batch_log_weights(1 + len(others), N, estimator).exp().double()
    return (weights[0] * torch.stack([own, *others])).sum()


@pytest.mark.parametrize("batch", [2, 3, 4, 5])
def test_stratified_weights_are_right_in_the_mean_over_all_batches(batch):
    z = torch.tensor([0.4, 0.1]).double()
    own, others, exact = densities(z, 1)
    found = [
        estimate("stratified", own, chosen) for chosen in itertools.permutations(others, batch - 1)
    ]
    torch.testing.assert_close(torch.stack(found).mean(), exact, rtol=1e-6, atol=0)


def test_every_row_of_the_stratified_weights_is_that_of_its_own_example():
    """A matrix that is filled along its flat diagonal puts 1 / N elsewhere from row to row."""
    weights = batch_log_weights(4, 50, "stratified").exp()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(weights.diagonal(), torch.full((4,), 1 / 50))
    for row in range(4):
        assert weights[row].sort().values.tolist() == pytest.approx(
            [1 / 50, (50 - 3) / (50 * 3), 1 / 3, 1 / 3]
        )


def test_weighted_weights_have_the_expectation_of_the_paper_and_bound_from_below():
    z, batch = torch.tensor([0.4, 0.1]).double(), 3
    own, _, exact = densities(z, 1)
    everyone = [own, *densities(z, 1)[1]]
    found = [
        estimate("weighted", own, chosen)
        for chosen in itertools.product(everyone, repeat=batch - 1)
    ]
    known = (own + (batch - 1) * exact) / (N * batch)
    torch.testing.assert_close(torch.stack(found).mean(), known, rtol=1e-6, atol=0)
    assert torch.stack(found).log().mean() < exact.log()


def test_parts_are_those_of_the_enumerated_aggregate_posterior():
    """With all examples in the batch and even weights, q(z) is a known mixture."""
    torch.manual_seed(0)
    z = MEANS + (LOG_VARS / 2).exp() * torch.randn(N, 2, dtype=torch.float64)
    parts = decompose(z, MEANS, LOG_VARS, torch.full((N, N), -math.log(N)))
    normal, std = torch.distributions.Normal, (LOG_VARS / 2).exp()
    mixing = torch.distributions.Categorical(torch.ones(N, dtype=torch.float64))
    mixture = torch.distributions.MixtureSameFamily
    units = torch.distributions.Independent(normal(MEANS, std), 1)
    joint = mixture(mixing, units).log_prob(z)
    product = sum(
        mixture(mixing, normal(MEANS[:, d], std[:, d])).log_prob(z[:, d]) for d in range(2)
    )
    own, prior = units.log_prob(z), normal(0.0, 1.0).log_prob(z).sum(1)
    known = [(own - joint).mean(), (joint - product).mean(), (product - prior).mean()]
    torch.testing.assert_close(list(parts), known)


@pytest.mark.parametrize("estimator", ["weighted", "stratified"])
def test_parts_add_up_to_the_rate(estimator):
    torch.manual_seed(1)
    mean, log_var = torch.randn(16, 3).double(), torch.randn(16, 3).double()
    noise = torch.randn(16, 3).double()
    z = mean + (log_var / 2).exp() * noise
    parts = decompose(z, mean, log_var, batch_log_weights(16, 1000, estimator))
    law = torch.distributions.Normal(mean, (log_var / 2).exp())
    rate = (law.log_prob(z) - torch.distributions.Normal(0, 1).log_prob(z)).sum(1).mean()
    torch.testing.assert_close(sum(parts), rate)


def test_total_correlation_of_codes_with_a_known_law():
    """Means from a correlated normal law, blurred: q(z) is normal, and TC has a closed form."""
    n, blur = 3000, 0.3
    means = correlated(n)
    torch.manual_seed(3)
    z = means + math.sqrt(blur) * torch.randn(n, 2, dtype=torch.float64)
    log_var = torch.full_like(means, math.log(blur))
    found = decompose(z, means, log_var, torch.full((n, n), -math.log(n)))
    rho = RHO / (1 + blur)
    assert found.total_correlation.item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.03)
    index_code = 0.5 * math.log((1 + blur) ** 2 * (1 - rho**2) / blur**2)
    assert found.index_code.item() == pytest.approx(index_code, abs=0.06)


def test_senseless_sizes_are_refused():
    with pytest.raises(ValueError, match="cannot be drawn"):
        batch_log_weights(5, 4)
    with pytest.raises(ValueError, match="at least 2"):
        batch_log_weights(1, 4, "stratified")
    with pytest.raises(ValueError, match="estimator"):
        batch_log_weights(2, 4, "even")  # type: ignore[arg-type]
