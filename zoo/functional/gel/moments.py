"""Moment functions for GEL: kernel mean embeddings at witnesses, plain or one set per class.

Matching Σ_i π_i k(x_i, w_j) = E_model k(·, w_j) at W witnesses keeps one weight per sample while
comparing the two laws as the maximum mean discrepancy does.  Witnesses are real samples that
are neither in the test set nor in the model's set.  All results are float64.

Reference: Ravuri et al. 2023, arXiv:2306.09780.   Deviations: the rbf kernel is what its name
says, and rational quadratic is left out; label conditioning is the zoo's own form.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.functional.checks import check_one_of
from zoo.functional.gel.solver import ROWS_AT_ONCE

__all__ = [
    "KERNELS",
    "check_finite",
    "check_labels",
    "check_matrix",
    "class_kernel_moments",
    "kernel_moment_mean",
    "kernel_moments",
    "label_conditioned_moments",
]

KERNELS = ("linear", "exponential", "polynomial", "laplacian", "rbf")


def kernel_moments(
    x: Tensor, witnesses: Tensor, kernel: str = "exponential", sigma: float = 1.0
) -> Tensor:
    r"""Evaluate the kernel between every sample and every witness.

    .. math:: m(x)_j = k(x, w_j)

    with linear ⟨x,w⟩/d, exponential exp(σ⟨x,w⟩/d), polynomial (⟨x,w⟩/d + 1)³,
    laplacian exp(-σ‖x-w‖₁) and rbf exp(-σ‖x-w‖²).

    Args:
        x: Samples, shape (n, d).
        witnesses: Witness points, shape (W, d).
        kernel: One of `KERNELS`.
        sigma: Positive scale; read by exponential, laplacian and rbf.

    Returns:
        Moments, shape (n, W), float64.

    Raises:
        ValueError: on empty, non-finite or mismatched input, an unknown kernel, or overflow.

    Example:
        >>> kernel_moments(torch.ones(1, 2), torch.eye(2), kernel="linear")
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    check_one_of("kernel", kernel, KERNELS)
    check_matrix("x", x)
    check_matrix("witnesses", witnesses)
    if x.shape[1] != witnesses.shape[1]:
        raise ValueError(
            f"x has width {x.shape[1]} but the witnesses have width {witnesses.shape[1]}."
        )
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be positive and finite, got {sigma}.")
    anchors = witnesses.detach().to(torch.float64)
    out = torch.empty(len(x), len(anchors), dtype=torch.float64, device=x.device)
    for start in range(0, len(x), ROWS_AT_ONCE):
        rows = x[start : start + ROWS_AT_ONCE].detach().to(torch.float64)
        out[start : start + ROWS_AT_ONCE] = _kernel(rows, anchors, kernel, sigma)
    if not out.isfinite().all():
        raise ValueError(
            f"the {kernel} kernel overflowed (largest |x| {x.abs().max().item():.3g}, "
            f"sigma {sigma}); rescale the features, for instance to mean ‖x‖²/d = 1."
        )
    return out


def kernel_moment_mean(
    x: Tensor, witnesses: Tensor, kernel: str = "exponential", sigma: float = 1.0
) -> Tensor:
    """Average `kernel_moments` over the samples without holding the (n, W) matrix.

    Args:
        x: Samples, shape (n, d).
        witnesses: Witness points, shape (W, d).
        kernel: One of `KERNELS`.
        sigma: Positive scale.

    Returns:
        Mean embedding at the witnesses, shape (W,), float64.

    Example:
        >>> kernel_moment_mean(torch.eye(2), torch.eye(2), kernel="linear")
        tensor([0.2500, 0.2500], dtype=torch.float64)
    """
    check_matrix("x", x)
    total = torch.zeros(len(witnesses), dtype=torch.float64, device=x.device)
    for start in range(0, len(x), ROWS_AT_ONCE):
        total += kernel_moments(x[start : start + ROWS_AT_ONCE], witnesses, kernel, sigma).sum(0)
    return total / len(x)


def class_kernel_moments(
    x: Tensor,
    labels: Tensor,
    witnesses: Tensor,
    witness_labels: Tensor,
    kernel: str = "exponential",
    sigma: float = 1.0,
) -> Tensor:
    """Evaluate each sample's kernel moments at the witnesses of its own class.

    Args:
        x: Samples, shape (n, d).
        labels: Their classes, shape (n,), integers.
        witnesses: Witness points of all classes, shape (W, d).
        witness_labels: Their classes, shape (W,), integers.
        kernel: One of `KERNELS`.
        sigma: Positive scale.

    Returns:
        Moments, shape (n, largest number of witnesses in a class), float64; classes with fewer
        witnesses are padded with zeros, which leave every GEL problem unchanged.

    Example:
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> class_kernel_moments(x, y, torch.ones(3, 2), torch.tensor([0, 1, 1]), kernel="linear")
        tensor([[0.5000, 0.0000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    check_matrix("x", x)
    check_matrix("witnesses", witnesses)
    check_labels("labels", labels, len(x), None)
    check_labels("witness_labels", witness_labels, len(witnesses), None)
    width = int(witness_labels.unique(return_counts=True)[1].max())
    out = torch.zeros(len(x), width, dtype=torch.float64, device=x.device)
    for k in labels.unique().tolist():
        own = witnesses[witness_labels == k]
        if len(own) == 0:
            raise ValueError(f"class {k} has samples but no witness.")
        rows = (labels == k).nonzero().squeeze(1)
        out[rows, : len(own)] = kernel_moments(x[rows], own, kernel, sigma)
    return out


def label_conditioned_moments(moments: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    r"""Spread moments into one block per class, each led by the class indicator.

    .. math:: m(x, y) = [1\{y=k\},\; 1\{y=k\}\, m(x)]_{k=0..K-1}

    Args:
        moments: Shape (n, W).
        labels: Shape (n,), integers in [0, num_classes).
        num_classes: K.

    Returns:
        Shape (n, K (1 + W)), float64; at most 1 + W entries of a row are not zero.

    Example:
        >>> label_conditioned_moments(torch.tensor([[5.0]]), torch.tensor([1]), 2)
        tensor([[0., 0., 1., 5.]], dtype=torch.float64)
    """
    check_matrix("moments", moments)
    check_labels("labels", labels, len(moments), num_classes)
    block = torch.cat([torch.ones_like(moments[:, :1]), moments], 1).detach().to(torch.float64)
    out = block.new_zeros(len(block), num_classes, block.shape[1])
    out[torch.arange(len(block), device=labels.device), labels] = block
    return out.flatten(1)


def _kernel(x: Tensor, w: Tensor, kernel: str, sigma: float) -> Tensor:
    """One block of `kernel_moments`; no temporary is larger than the block itself."""
    if kernel == "laplacian":
        return torch.cdist(x, w, p=1).mul_(-sigma).exp_()
    if kernel == "rbf":
        centre = w.mean(0)  # distances ignore a shift, and their expansion likes small norms
        x, w = x - centre, w - centre
        square = x.square().sum(1)[:, None] + w.square().sum(1)
        return square.addmm_(x, w.T, alpha=-2).clamp_(min=0).mul_(-sigma).exp_()
    product = (x @ w.T).div_(x.shape[1])
    if kernel == "linear":
        return product
    return product.mul_(sigma).exp_() if kernel == "exponential" else product.add_(1).pow_(3)


def check_finite(name: str, value: Tensor) -> None:
    """Refuse NaN and infinity."""
    if not bool(value.isfinite().all()):
        bad = int((~value.isfinite()).sum())
        raise ValueError(f"{name} holds {bad} non-finite values out of {value.numel()}.")


def check_matrix(name: str, value: Tensor) -> None:
    """Refuse anything but a finite, non-empty matrix."""
    if value.ndim != 2 or value.numel() == 0:
        raise ValueError(
            f"{name} must be a non-empty matrix (samples, width), got shape {tuple(value.shape)}."
        )
    check_finite(name, value)


def check_labels(name: str, labels: Tensor, n: int, num_classes: int | None) -> None:
    """Refuse anything but n integers, in [0, num_classes) if that is given."""
    if labels.shape != (n,) or labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"{name} must be {n} integers, got shape {tuple(labels.shape)} and {labels.dtype}."
        )
    low, high = int(labels.min()), int(labels.max())
    if num_classes is not None and not 0 <= low <= high < num_classes:
        raise ValueError(f"{name} must lie in [0, {num_classes}), got {low}..{high}.")
