"""Outputs see the inputs before them in the order, all of them, and no others: by autograd."""

import pytest
import torch
from torch import nn

from zoo.core.errors import UserError
from zoo.nets.masked import MaskedLinear, MaskedMLP, hidden_degrees

FEATURES = 7


def jacobian(net, context=None):
    """Sums |d output_i / d input_j| over outputs of a dimension and some inputs, shape (D, D)."""
    total = 0
    for _ in range(4):
        x = torch.randn(FEATURES, dtype=torch.float64)

        def outputs(x):
            return net(x[None], None if context is None else context[None])[0]

        total = total + torch.autograd.functional.jacobian(outputs, x).abs().sum(1)
    return total


def shuffled(seed=3):
    return torch.randperm(FEATURES, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hidden", [[], [40], [40, 30], [25, 60, 40]])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("order", [None, shuffled()], ids=["raster", "shuffled"])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_outputs_see_what_is_before_them_and_only_that(hidden, outputs, direct, order, seed):
    """`>=` in place of `>` at the outputs lights up the diagonal; `>` in the hidden layers leaves
    the dimension just before unseen."""
    torch.manual_seed(0)
    net = MaskedMLP(FEATURES, hidden, outputs, order=order, direct=direct, activation=nn.Tanh)
    net = net.double()
    position = torch.arange(FEATURES) if order is None else order
    if seed is not None:
        net.set_order(position, torch.Generator().manual_seed(seed))
    sees = jacobian(net)
    before = position[:, None] > position
    assert (sees[~before] == 0).all()
    if seed is None or direct or not hidden:
        assert (sees[before] > 1e-9).all()
    else:  # drawn degrees may leave gaps, but not many
        assert (sees[before] > 1e-9).double().mean() > 0.6


@pytest.mark.parametrize("hidden", [[], [12, 12]])
def test_every_output_sees_the_context(hidden):
    torch.manual_seed(0)
    net = MaskedMLP(FEATURES, hidden, 2, context=3, activation=nn.Tanh).double()
    x = torch.randn(1, FEATURES, dtype=torch.float64)
    context = torch.randn(1, 3, dtype=torch.float64)
    sees = torch.autograd.functional.jacobian(lambda c: net(x, c)[0], context)
    assert sees.shape[:2] == (FEATURES, 2) and (sees.abs() > 1e-9).all()
    causal = jacobian(net, context[0])
    assert (causal.triu() == 0).all() and (causal.tril(-1)[1:].sum(1) > 0).all()


def test_every_layer_takes_part():
    net = MaskedMLP(FEATURES, [20, 20], 2, context=3, direct=True)
    net(torch.randn(9, FEATURES), torch.randn(9, 3)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_weights_that_do_not_exist_get_no_gradient():
    mask = torch.tensor([[1, 0, 1], [0, 0, 1]])
    layer = MaskedLinear(mask)
    layer(torch.randn(5, 3)).square().sum().backward()
    assert torch.equal(layer.weight.grad != 0, mask.bool())
    assert "mask" not in layer.state_dict()


def test_degrees_reach_from_the_least_to_the_last_but_one():
    even = hidden_degrees(1000, 50, least=3)
    assert even.unique().tolist() == list(range(3, 49))
    drawn = hidden_degrees(5000, 50, least=3, generator=torch.Generator().manual_seed(0))
    assert drawn.unique().tolist() == list(range(3, 49))


def test_one_input_depends_on_nothing():
    net = MaskedMLP(1, [5], 2)
    x = torch.randn(2, 1)
    assert torch.equal(net(x)[0], net(x)[1])


def test_an_order_that_is_none_is_refused():
    with pytest.raises(UserError, match="permutation"):
        MaskedMLP(4, [8], order=torch.tensor([0, 1, 1, 3]))


@pytest.mark.parametrize("hidden", [[], [40], [40, 30]])
@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("seed", [None, 1])
def test_unrolling_finds_what_the_plain_loop_finds(hidden, context, seed):
    torch.manual_seed(0)
    net = MaskedMLP(FEATURES, hidden, 2, context, direct=True, dropout=0.5).double().eval()
    net.set_order(shuffled(), seed and torch.Generator().manual_seed(seed))
    noise = torch.randn(5, FEATURES, dtype=torch.float64)
    condition = torch.randn(5, context, dtype=torch.float64) if context else None
    x = torch.zeros(5, FEATURES, dtype=torch.float64)
    for _ in range(FEATURES):  # each pass gets one more input right
        shift, scale = net(x, condition).unbind(2)
        x = shift + noise * scale.exp()

    def draw(i, outputs):
        return outputs[:, 0] + noise[:, i] * outputs[:, 1].exp()

    torch.testing.assert_close(net.unroll(draw, 5, condition), x, rtol=1e-12, atol=1e-12)
