"""Codes of a prior, on a model whose images are its codes' first numbers."""

import torch

from zoo.contract.codes import codes_at, through_origin


class Shower:
    """Shows a code as grey levels."""

    prior, latent_dim = "normal", 64

    def decode(self, z):
        return z.view(-1, 1, 8, 8)


def test_midpoints_are_shorter_and_lines_pass_the_origin():
    model = Shower()
    norms = {p: codes_at(p, model, 4000, 0).norm(dim=1) for p in ("prior", "midpoint", "line")}
    assert abs(norms["prior"].mean() - 7.97) < 0.1
    assert abs(norms["midpoint"].mean() - 7.97 / 2**0.5) < 0.1
    assert norms["line"].min() < 0.05 and abs(norms["line"].mean() - 7.97 / 2) < 0.15
    assert torch.equal(codes_at("line", model, 9, 3), codes_at("line", model, 9, 3))


def test_pairs_are_independent():
    z = codes_at("midpoint", Shower(), 20_000, 0)
    assert abs(z.var() - 0.5) < 0.005  # one for equal pairs, nought for opposite ones


def test_lines_run_from_a_draw_to_its_opposite():
    rows = through_origin(Shower(), rows=3, steps=5, seed=1)
    assert rows.shape == (3, 5, 1, 8, 8)
    assert rows[:, 2].abs().max() == 0
    torch.testing.assert_close(rows[:, 0], -rows[:, 4])
    torch.testing.assert_close(rows[:, 1], rows[:, 0] / 2)
