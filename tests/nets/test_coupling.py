"""Layers of flows: exact inverses, and log-determinants against autograd's Jacobian in float64."""

import copy
from functools import partial

import pytest
import torch

from zoo.nets.affine import ActNorm, BatchNorm, Scaling
from zoo.nets.conditioners import ConvConditioner, MLPConditioner
from zoo.nets.coupling import Chain, Coupling
from zoo.nets.multiscale import Flatten, MultiScale, Regroup, Squeeze

MLP = partial(MLPConditioner, hidden=8, layers=2)
CONV = partial(ConvConditioner, width=6, blocks=1, height=2, columns=4)
VECTOR, MAP = (5,), (4, 2, 4)


def two_scales():
    fine = [Squeeze(), Coupling(4, CONV), Regroup(), Coupling(4, CONV, second=False), ActNorm(4)]
    coarse_network = partial(ConvConditioner, width=6, blocks=1, height=1, columns=2)
    coarse = [Squeeze(), Coupling(8, coarse_network), BatchNorm(8)]
    return MultiScale([Chain(fine), Chain(coarse)], [(4, 2, 4), (8, 1, 2)])


LAYERS = {
    "additive coupling": (lambda: Coupling(5, MLP, affine=False), VECTOR),
    "affine coupling, second half": (lambda: Coupling(5, MLP), VECTOR),
    "affine coupling, first half": (lambda: Coupling(5, MLP, second=False), VECTOR),
    "affine coupling of maps": (lambda: Coupling(4, CONV), MAP),
    "scaling": (lambda: Scaling(5), VECTOR),
    "scaling of maps": (lambda: Scaling(4), MAP),
    "activation norm": (lambda: ActNorm(5), VECTOR),
    "activation norm of maps": (lambda: ActNorm(4), MAP),
    "batch norm": (lambda: BatchNorm(5), VECTOR),
    "batch norm of maps": (lambda: BatchNorm(4), MAP),
    "flatten": (lambda: Flatten(MAP), MAP),
    "squeeze": (Squeeze, MAP),
    "regroup": (Regroup, MAP),
    "chain": (
        lambda: Chain([Coupling(5, MLP), ActNorm(5), Coupling(5, MLP, second=False)]),
        VECTOR,
    ),
    "two scales": (two_scales, (1, 4, 8)),
}


def normals(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def scrambled(name):
    """Makes a layer in float64 whose every number is random; fresh layers are nearly identities."""
    make, shape = LAYERS[name]
    torch.manual_seed(1)
    layer = make().double()
    layer.train()
    layer(3 * normals(64, *shape, seed=2) + 1)  # running and first statistics
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return layer.eval(), normals(3, *shape)


@pytest.mark.parametrize("name", LAYERS)
def test_inverse_undoes_forward_both_ways(name):
    layer, x = scrambled(name)
    y, _ = layer.forward_and_log_det(x)
    assert y.numel() == x.numel() and y.dtype == x.dtype
    torch.testing.assert_close(layer.inverse(y), x, rtol=0, atol=1e-11)
    z = normals(*y.shape, seed=5)
    torch.testing.assert_close(layer.forward_and_log_det(layer.inverse(z))[0], z, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", LAYERS)
def test_log_det_is_that_of_the_jacobian(name):
    layer, x = scrambled(name)
    _, log_det = layer.forward_and_log_det(x)
    assert log_det.shape == (3,)
    size = x[0].numel()
    found = []
    for one in x:
        jacobian = torch.autograd.functional.jacobian(lambda v: layer(v[None])[0], one)
        found.append(torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet)
    torch.testing.assert_close(log_det, torch.stack(found), rtol=0, atol=1e-9)
    moves_numbers_only = name in ("flatten", "squeeze", "regroup", "additive coupling")
    assert bool((log_det == 0).all()) == moves_numbers_only


@pytest.mark.parametrize("second", [True, False])
def test_a_coupling_keeps_one_half_and_moves_the_other_by_it(second):
    torch.manual_seed(0)
    layer = Coupling(5, MLP, second=second).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5)
    kept, moved = (slice(0, 3), slice(3, 5)) if second else (slice(3, 5), slice(0, 3))
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v[None])[0][0], normals(5))
    torch.testing.assert_close(jacobian[kept, kept], torch.eye(len(jacobian[kept])).double())
    assert (jacobian[kept, moved] == 0).all()
    assert (jacobian[moved, kept] != 0).all()
    off_diagonal = jacobian[moved, moved] - torch.diag(jacobian[moved, moved].diagonal())
    assert (off_diagonal == 0).all()


def test_couplings_start_as_the_identity():
    x = normals(2, 4, 2, 4)
    y, log_det = Coupling(4, CONV).double()(x)
    assert torch.equal(y, x) and (log_det == 0).all()


def test_squeezed_halves_are_the_colours_of_a_checkerboard():
    rows, columns = torch.arange(4)[:, None], torch.arange(6)[None]
    colour = ((rows + columns) % 2).expand(2, 2, 4, 6).double()  # 0 on the main diagonal
    y, _ = Squeeze()(colour)
    first, second = y.chunk(2, dim=1)
    assert y.shape == (2, 8, 2, 3) and (first == 0).all() and (second == 1).all()


def test_regrouped_halves_are_upper_and_lower_rows():
    row = (torch.arange(4) % 2)[:, None].expand(1, 3, 4, 6).double()
    first, second = Regroup()(Squeeze()(row)[0])[0].chunk(2, dim=1)
    assert (first == 0).all() and (second == 1).all()


def test_what_is_factored_out_first_comes_first_and_meets_no_later_stage():
    layer = two_scales().double().eval()
    x = normals(1, 1, 4, 8)
    before, _ = layer(x)
    with torch.no_grad():
        layer.stages[1].layers[2].running_mean.fill_(1.0)
    after, _ = layer(x)
    assert torch.equal(after[:, :16], before[:, :16])
    assert (after[:, 16:] != before[:, 16:]).all()


# ------------------------------------------------------------------------- normalisation


def test_activation_norm_standardises_its_first_batch_only():
    layer = ActNorm(4).double().train()
    x = 5 * normals(200, 4, 2, 2) + 3
    y, _ = layer(x)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(4).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        y.var((0, 2, 3), correction=0), torch.ones(4).double(), atol=1e-6, rtol=0
    )
    other = 2 * normals(200, 4, 2, 2, seed=1)
    assert layer(other)[0].mean() < -0.3  # still moved by the first batch's mean
    again = ActNorm(4).double()
    again.load_state_dict(layer.state_dict())
    torch.testing.assert_close(again.train()(other)[0], layer(other)[0], rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1, 1)])
def test_one_value_of_a_channel_shows_no_deviation(shape):
    layer = ActNorm(4).double().train()
    x = 5 * normals(*shape) + 3
    assert layer(x)[0].abs().max() < 1e-12
    torch.testing.assert_close(layer(x + 2)[0], torch.full_like(x, 2.0))


@pytest.mark.parametrize("shape", [(1, 4, 2, 2), (2, 4)])
def test_two_values_of_a_channel_show_one(shape):
    y, _ = ActNorm(4).double().train()(5 * normals(*shape) + 3)
    assert y.detach().var(correction=0).item() == pytest.approx(1, rel=1e-4)


def test_activation_norm_measures_nothing_outside_training():
    layer = ActNorm(3).double().eval()
    x = normals(10, 3) + 4
    assert torch.equal(layer(x)[0], x) and not bool(layer.measured)


def test_batch_norm_in_evaluation_converges_to_training_and_ignores_its_neighbours():
    layer = BatchNorm(4, momentum=0.1).double().train()
    x = 3 * normals(100, 4, 2, 2) - 2
    for _ in range(400):
        y, log_det = layer(x)
    layer.eval()
    y_eval, log_det_eval = layer(x)
    torch.testing.assert_close(y_eval, y, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_det_eval, log_det, rtol=0, atol=1e-9)
    torch.testing.assert_close(layer(x[:1])[0], y_eval[:1], rtol=0, atol=0)
    kept = copy.deepcopy(layer.state_dict())
    layer(10 * x)
    assert all(torch.equal(value, kept[key]) for key, value in layer.state_dict().items())


def test_log_dets_stay_float32_under_bfloat16():
    torch.manual_seed(0)
    layer = Coupling(4, CONV)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.3)
    x = torch.randn(8, 4, 2, 4)
    exact, exact_det = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        y, log_det = layer(x)
    assert y.dtype == log_det.dtype == torch.float32
    torch.testing.assert_close(log_det, exact_det, rtol=0.02, atol=0.1)
    torch.testing.assert_close(y[:, :2], exact[:, :2], rtol=0, atol=0)
