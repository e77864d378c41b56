"""GEL diagnostics accumulated over batches and processes.

Shells around `zoo.functional.gel.one_sample`: they turn features into moments, hold them in float64
and leave the mathematics to the pure functions.  The one-sample metrics keep only the sum and count
of the model's moments, so the number of generated samples is free; test moments are kept one row
per sample, because each test sample gets a weight.

All four metrics are here, a hundred lines of docstrings and all: they differ in `compute` only.

Weights follow the order of `update` calls.  After gathering over processes that order is by
process, and a distributed sampler may repeat samples to fill its last batch: pass `ids` to know
which weight belongs to which sample.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from zoo.functional.gel.metrics import mode_mass
from zoo.functional.gel.moments import class_kernel_moments, kernel_moment_mean, kernel_moments
from zoo.functional.gel.one_sample import (
    GELResult,
    PerClassGELResult,
    TwoSampleGELResult,
    gel_one_sample,
    gel_per_class,
    gel_two_sample,
)

__all__ = ["FeatureMeanGEL", "KernelGEL", "PerClassKernelGEL", "TwoSampleKernelGEL"]


class _GELMetric(Metric):
    """What all four share: the test side and the checks of labels."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    test_moments: list[Tensor]
    test_labels: list[Tensor]

    def __init__(self, objective: str, num_classes: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}.")
        self.objective, self.num_classes = objective, num_classes
        self.add_state("test_moments", default=[], dist_reduce_fx="cat")
        self.add_state("test_labels", default=[], dist_reduce_fx="cat")

    def _labels(self, labels: Tensor | None, n: int) -> Tensor | None:
        """Checked labels, or None where this metric reads none."""
        if self.num_classes is None:
            return None
        if labels is None:
            raise ValueError(f"labels are needed because num_classes is {self.num_classes}.")
        if labels.shape != (n,):
            raise ValueError(f"got {n} samples but labels of shape {tuple(labels.shape)}.")
        if n and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise ValueError(
                f"labels must lie in [0, {self.num_classes}), got "
                f"{int(labels.min())}..{int(labels.max())}."
            )
        return labels.detach().to(torch.int64)


class _OneSampleGEL(_GELMetric):
    """Model side as sum and count; subclasses say how features become moments."""

    model_sum: Tensor
    model_count: Tensor
    test_ids: list[Tensor]
    coarse: Tensor

    def __init__(self, width: int, objective: str, num_classes: int | None, **kwargs: Any) -> None:
        super().__init__(objective, num_classes, **kwargs)
        zeros = torch.zeros(width, dtype=torch.float64)
        self.add_state("model_sum", default=zeros, dist_reduce_fx="sum")
        self.add_state("model_count", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("test_ids", default=[], dist_reduce_fx="cat")
        # Whether moments were rounded to fewer than 64 bits before they came here.
        self.add_state("coarse", default=torch.tensor(0), dist_reduce_fx="max")

    def _mean(self, features: Tensor) -> Tensor:
        raise NotImplementedError

    def _rows(self, features: Tensor) -> Tensor:
        raise NotImplementedError

    def update(
        self,
        features: Tensor,
        real: bool,
        labels: Tensor | None = None,
        ids: Tensor | None = None,
    ) -> None:
        """Add a batch.

        Args:
            features: Shape (B, d).
            real: True for test samples, False for generated ones.
            labels: Classes of test samples, shape (B,); needed with `num_classes`.
            ids: Integers that name the test samples, shape (B,); all batches or none.
        """
        if not real:
            self.model_sum += self._mean(features) * len(features)
            self.model_count += len(features)
            return
        rows, checked = self._rows(features), self._labels(labels, len(features))
        if ids is not None and ids.shape != (len(features),):
            raise ValueError(f"got {len(features)} samples but ids of shape {tuple(ids.shape)}.")
        self.test_moments.append(rows)
        if checked is not None:
            self.test_labels.append(checked)
        if ids is not None:
            self.test_ids.append(ids.detach())

    def compute(self) -> GELResult:
        """Solve; see `zoo.functional.gel.one_sample.gel_one_sample`.

        Raises:
            ValueError: if either side is empty, or only some batches came with ids.
        """
        count = int(self.model_count)
        if count == 0 or len(self.test_moments) == 0:
            raise ValueError(
                f"GEL needs both sides: got {count} generated samples and "
                f"{'no' if len(self.test_moments) == 0 else 'some'} test samples."
            )
        moments = dim_zero_cat(self.test_moments)
        result = gel_one_sample(
            moments,
            self.model_sum / count,
            self.objective,
            target_count=count,
            rtol=1e-6 if int(self.coarse) else None,
        )
        if self.num_classes is not None:
            labels = dim_zero_cat(self.test_labels)
            uniform = torch.full_like(result.weights, 1 / len(labels))
            result = result._replace(
                mode_mass=mode_mass(result.weights, labels, self.num_classes),
                mode_share=mode_mass(uniform, labels, self.num_classes),
            )
        if len(self.test_ids) > 0:
            ids = dim_zero_cat(self.test_ids)
            if len(ids) != len(moments):
                raise ValueError(f"got ids for {len(ids)} of {len(moments)} test samples.")
            result = result._replace(ids=ids)
        return result


class FeatureMeanGEL(_OneSampleGEL):
    """One-sample GEL on the features themselves: match their means.

    Args:
        num_features: Width d of the features.
        objective: "et", "el" or "euclidean".
        num_classes: K; then the result also holds the mass and the share of each test label.
        **kwargs: Options of `torchmetrics.Metric`.

    Reference: Ravuri et al. 2023, arXiv:2306.09780.

    Example:
        >>> metric = FeatureMeanGEL(1)
        >>> metric.update(torch.tensor([[0.0], [1.0]]), real=True)
        >>> metric.update(torch.tensor([[0.25]]), real=False)
        >>> metric.compute().weights
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    def __init__(
        self,
        num_features: int,
        objective: str = "et",
        num_classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_features, objective, num_classes, **kwargs)

    def _mean(self, features: Tensor) -> Tensor:
        return self._rows(features).mean(0)

    def _rows(self, features: Tensor) -> Tensor:
        width = len(self.model_sum)
        if features.ndim != 2 or features.shape[1] != width or len(features) == 0:
            raise ValueError(
                f"features must have shape (B, {width}) with B > 0, got {tuple(features.shape)}."
            )
        if not bool(features.isfinite().all()):
            raise ValueError(f"{int((~features.isfinite()).sum())} features are not finite.")
        if features.is_floating_point() and features.dtype != torch.float64:
            self.coarse = torch.ones_like(self.coarse)
        return features.detach().to(torch.float64)


class KernelGEL(_OneSampleGEL):
    """One-sample GEL on kernel mean embeddings at witnesses (KGEL).

    Args:
        witness: Real samples' features, shape (W, d), in neither the test nor the model set;
            W of at most a tenth of the test samples is advised.
        kernel: One of `zoo.functional.gel.moments.KERNELS`.
        sigma: Scale of the kernel; rescale features so that mean ‖x‖²/d is about 1.
        objective: "et", "el" or "euclidean".
        num_classes: K; then the result also holds the mass and the share of each test label.
        **kwargs: Options of `torchmetrics.Metric`.

    Reference: Ravuri et al. 2023, arXiv:2306.09780, eq. 6.

    Example:
        >>> metric = KernelGEL(torch.eye(2), objective="euclidean")
        >>> metric.update(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), real=True)
        >>> metric.update(torch.tensor([[0.5, 0.0]]), real=False)
        >>> result = metric.compute()
        >>> result.status, result.rank
        ('solved', 2)
    """

    witness: Tensor

    def __init__(
        self,
        witness: Tensor,
        kernel: str = "exponential",
        sigma: float = 1.0,
        objective: str = "et",
        num_classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        kernel_moments(witness[:1], witness, kernel, sigma)  # refuses bad arguments here
        super().__init__(len(witness), objective, num_classes, **kwargs)
        self.kernel, self.sigma = kernel, sigma
        self.register_buffer("witness", witness.detach().to(torch.float64), persistent=False)

    def _mean(self, features: Tensor) -> Tensor:
        return kernel_moment_mean(features, self.witness, self.kernel, self.sigma)

    def _rows(self, features: Tensor) -> Tensor:
        return kernel_moments(features, self.witness, self.kernel, self.sigma)


class TwoSampleKernelGEL(_GELMetric):
    """Two-sample KGEL: weights on generated and on test samples; both sides are kept.

    Args:
        witness: As for `KernelGEL`, shape (W, d).
        kernel: One of `zoo.functional.gel.moments.KERNELS`.
        sigma: Scale of the kernel.
        objective: "et", "el" or "euclidean".
        num_classes: K; then both sides need labels and the result holds their masses.
        **kwargs: Options of `torchmetrics.Metric`.

    Reference: Ravuri et al. 2023, arXiv:2306.09780.

    Example:
        >>> metric = TwoSampleKernelGEL(torch.eye(2))
        >>> for real in (True, False):
        ...     metric.update(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), real)
        >>> metric.compute().test_weights
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    witness: Tensor
    model_moments: list[Tensor]
    model_labels: list[Tensor]

    def __init__(
        self,
        witness: Tensor,
        kernel: str = "exponential",
        sigma: float = 1.0,
        objective: str = "et",
        num_classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        kernel_moments(witness[:1], witness, kernel, sigma)
        super().__init__(objective, num_classes, **kwargs)
        self.kernel, self.sigma = kernel, sigma
        self.register_buffer("witness", witness.detach().to(torch.float64), persistent=False)
        self.add_state("model_moments", default=[], dist_reduce_fx="cat")
        self.add_state("model_labels", default=[], dist_reduce_fx="cat")

    def update(self, features: Tensor, real: bool, labels: Tensor | None = None) -> None:
        """Add a batch of features, shape (B, d), with labels (B,) if `num_classes` is set."""
        rows = kernel_moments(features, self.witness, self.kernel, self.sigma)
        checked = self._labels(labels, len(features))
        (self.test_moments if real else self.model_moments).append(rows)
        if checked is not None:
            (self.test_labels if real else self.model_labels).append(checked)

    def compute(self) -> TwoSampleGELResult:
        """Solve; see `zoo.functional.gel.one_sample.gel_two_sample`.

        Raises:
            ValueError: if either side is empty.
        """
        if len(self.model_moments) == 0 or len(self.test_moments) == 0:
            empty = "generated" if len(self.model_moments) == 0 else "test"
            raise ValueError(f"GEL needs both sides: got no {empty} samples.")
        model, test = dim_zero_cat(self.model_moments), dim_zero_cat(self.test_moments)
        result = gel_two_sample(model, test, self.objective)
        if self.num_classes is None:
            return result
        k = self.num_classes
        return result._replace(
            model_mode_mass=mode_mass(result.model_weights, dim_zero_cat(self.model_labels), k),
            test_mode_mass=mode_mass(result.test_weights, dim_zero_cat(self.test_labels), k),
        )


class PerClassKernelGEL(_GELMetric):
    """One-sample KGEL inside every class, and the label-conditioned problem they add up to.

    Labels of generated samples come from conditioning or from a classifier.

    Args:
        witness: As for `KernelGEL`, shape (W, d).
        witness_labels: Their classes, shape (W,); every class that occurs needs a witness.
        num_classes: K.
        kernel: One of `zoo.functional.gel.moments.KERNELS`.
        sigma: Scale of the kernel.
        objective: "et", "el" or "euclidean".
        **kwargs: Options of `torchmetrics.Metric`.

    Reference: label conditioning after arXiv:2306.09780.   Deviations: the form is the zoo's.

    Example:
        >>> metric = PerClassKernelGEL(torch.eye(2), torch.tensor([0, 1]), num_classes=2)
        >>> x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> metric.update(x, real=True, labels=y)
        >>> metric.update(x, real=False, labels=y)
        >>> metric.compute().class_divergence
        tensor([0., 0.], dtype=torch.float64)
    """

    witness: Tensor
    witness_labels: Tensor
    model_sum: Tensor
    model_count: Tensor

    def __init__(
        self,
        witness: Tensor,
        witness_labels: Tensor,
        num_classes: int,
        kernel: str = "exponential",
        sigma: float = 1.0,
        objective: str = "et",
        **kwargs: Any,
    ) -> None:
        moments = class_kernel_moments(
            witness, witness_labels, witness, witness_labels, kernel, sigma
        )
        super().__init__(objective, num_classes, **kwargs)
        self.kernel, self.sigma = kernel, sigma
        self._labels(witness_labels, len(witness))
        self.register_buffer("witness", witness.detach().to(torch.float64), persistent=False)
        self.register_buffer("witness_labels", witness_labels.detach().clone(), persistent=False)
        zeros = torch.zeros(num_classes, moments.shape[1], dtype=torch.float64)
        self.add_state("model_sum", default=zeros, dist_reduce_fx="sum")
        counts = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("model_count", default=counts, dist_reduce_fx="sum")

    def update(self, features: Tensor, real: bool, labels: Tensor | None = None) -> None:
        """Add a batch of features, shape (B, d), with their labels, shape (B,)."""
        checked = self._labels(labels, len(features))
        assert checked is not None  # num_classes is always set here
        rows = class_kernel_moments(
            features, checked, self.witness, self.witness_labels, self.kernel, self.sigma
        )
        if real:
            self.test_moments.append(rows)
            self.test_labels.append(checked)
        else:
            self.model_sum = self.model_sum.index_add(0, checked, rows)
            self.model_count += torch.bincount(checked, minlength=len(self.model_count))

    def compute(self) -> PerClassGELResult:
        """Solve; see `zoo.functional.gel.one_sample.gel_per_class`.

        Raises:
            ValueError: if either side is empty.
        """
        if len(self.test_moments) == 0:
            raise ValueError("GEL needs both sides: got no test samples.")
        return gel_per_class(
            dim_zero_cat(self.test_moments),
            dim_zero_cat(self.test_labels),
            self.model_sum / self.model_count.clamp(min=1)[:, None],
            self.model_count,
            self.objective,
        )
