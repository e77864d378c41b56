"""Speed and memory of feature scores, side by side with the packages they replace.

Run with ``pytest tests/benchmarks/test_features_speed.py --benchmark-only -m "slow or not slow"``
on a quiet machine; each group holds ours and the reference on the same 10,000 by 10,000 features.
"""

import subprocess
import sys

import pytest
import torch
from prdc import compute_prdc
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from zoo.functional.features import kernel_distance, kernel_distance_full
from zoo.functional.frechet import frechet_distance, gaussian_moments
from zoo.functional.neighbours import nearest_neighbours, neighbour_scores

SAMPLES = 10_000
WIDTHS = {"64": (64, 20), "2048": (2048, 2)}  # width, rounds

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=WIDTHS.values(), ids=WIDTHS.keys())
def sets(request):
    width, rounds = request.param
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(SAMPLES, width, generator=generator)
    fake = 1.02 * torch.randn(SAMPLES, width, generator=generator) + 0.01
    return real, fake, rounds


def our_frechet(real, fake):
    return frechet_distance(*gaussian_moments(real), *gaussian_moments(fake)).item()


def their_frechet(real, fake):
    statistics = [fid_features_to_statistics(features) for features in (real, fake)]
    return fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]


def our_kernel(real, fake):
    return kernel_distance(real, fake, generator=torch.Generator().manual_seed(0)).mean.item()


def their_kernel(real, fake):
    score = kid_features_to_metric(
        real, fake, kid_subsets=100, kid_subset_size=1000, rng_seed=0, verbose=False
    )
    return score["kernel_inception_distance_mean"]


def our_kernel_full(real, fake):
    return kernel_distance_full(real, fake).item()


def our_neighbours(real, fake):
    return [score.item() for score in neighbour_scores(real, fake, manifold_k=5, density_k=5)]


def their_neighbours(real, fake):
    return list(compute_prdc(real.numpy(), fake.numpy(), 5).values())


def our_memorisation(real, fake):
    return nearest_neighbours(fake, real)[0].mean().item()


GROUPS = {
    "frechet-ours": our_frechet,
    "frechet-torch_fidelity": their_frechet,
    "kernel-ours": our_kernel,
    "kernel-torch_fidelity": their_kernel,
    "kernel-ours_full": our_kernel_full,
    "neighbours-ours": our_neighbours,
    "neighbours-prdc": their_neighbours,
    "nearest-ours": our_memorisation,
}


@pytest.mark.parametrize("name", GROUPS)
def test_speed(benchmark, sets, name):
    real, fake, rounds = sets
    benchmark.group = f"{name.split('-')[0]} width {real.shape[1]}"
    quick = real.shape[1] == 64
    benchmark.pedantic(GROUPS[name], (real, fake), rounds=rounds, warmup_rounds=int(quick))


def test_neighbour_scores_equal_prdc_at_full_size(sets):
    real, fake, _ = sets
    theirs = their_neighbours(real.double(), fake.double())  # in float32 it rounds distances
    assert our_neighbours(real, fake) == pytest.approx(theirs, abs=1e-12)


MEMORY = """
import resource, torch
from zoo.functional.features import *
from zoo.functional.frechet import *
from zoo.functional.neighbours import neighbour_scores
real, fake = torch.randn(2, 10_000, 2048)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
gaussian_moments(real[:100])
before = peak()
{call}
print(peak() - before)
"""

CALLS = {
    "frechet": "frechet_distance(*gaussian_moments(real), *gaussian_moments(fake))",
    "kernel": "kernel_distance(real, fake, generator=None, subsets=3)",
    "kernel_full": "kernel_distance_full(real, fake)",
    "neighbours": "neighbour_scores(real, fake)",
}


@pytest.mark.parametrize("name", CALLS)
def test_memory_is_bounded(name):
    """A fresh process each, as peak memory never falls; inputs (160 MiB) are not counted."""
    pytest.importorskip("resource", reason="peak memory is read the Unix way")
    script = MEMORY.format(call=CALLS[name])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 512, f"{name} took {done.stdout.strip()} MiB beyond its inputs"
