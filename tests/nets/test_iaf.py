"""Inverse autoregressive flow: its log-determinant against autograd, and its order."""

import pytest
import torch

from zoo.nets.iaf import InverseAutoregressiveFlow


@pytest.fixture
def flow():
    torch.manual_seed(0)
    flow = InverseAutoregressiveFlow(5, 16, 3, 4).double()
    for parameter in flow.parameters():  # far from the identity it starts near
        torch.nn.init.normal_(parameter, 0, 0.5)
    return flow


def test_log_det_is_that_of_the_jacobian(flow):
    z, h = torch.randn(6, 5).double(), torch.randn(6, 3).double()
    _, log_det = flow(z, h)
    for row in range(6):
        jacobian = torch.autograd.functional.jacobian(
            lambda one, r=row: flow(one[None], h[r : r + 1])[0][0], z[row]
        )
        sign, known = torch.linalg.slogdet(jacobian)
        assert sign > 0
        torch.testing.assert_close(log_det[row], known, atol=1e-10, rtol=1e-10)


def test_two_steps_let_every_unit_act_on_every_other(flow):
    flow.steps = flow.steps[:2]
    h = torch.randn(1, 3).double()
    jacobian = torch.autograd.functional.jacobian(
        lambda z: flow(z[None], h)[0][0], torch.randn(5).double()
    )
    off = ~torch.eye(5, dtype=torch.bool)
    assert (jacobian[off].abs() > 1e-12).sum() > 10  # one order alone allows 10 at most


def test_context_acts(flow):
    z = torch.randn(2, 5).double()
    h = torch.zeros(2, 3).double()
    assert not torch.allclose(flow(z, h)[0], flow(z, h + 1)[0])
