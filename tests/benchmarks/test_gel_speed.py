"""How long the published size takes: 10,000 test samples, 1,024 witnesses, 50,000 generated."""

import pytest
import torch

from zoo.functional.gel.one_sample import gel_one_sample, kernel_moment_mean, kernel_moments


@pytest.mark.parametrize("width", [64, 2048])
def test_one_sample_kernel_gel(benchmark, width):
    draw = torch.Generator().manual_seed(0)
    test, witness, model = (torch.randn(n, width, generator=draw) for n in (10_000, 1024, 50_000))

    def run():
        target = kernel_moment_mean(model, witness)
        return gel_one_sample(kernel_moments(test, witness), target, target_count=len(model))

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        result = benchmark.pedantic(run, rounds=1)
    finally:
        torch.set_num_threads(threads)
    assert result.status == "solved"
    assert result.baseline < result.divergence < 1.4 * result.baseline
