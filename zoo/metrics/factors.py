"""Disentanglement of codes that come with the factors of their images, as a metric."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from zoo.functional.disentanglement import mig_score, sap_score, squared_correlations

__all__ = ["Disentanglement"]


class Disentanglement(Metric):
    """Mutual information gap and separated attribute predictability of labelled codes.

    For data that come with factors but cannot be rendered at will. The bins of the first score
    reach from the least to the largest code of all, so codes are kept until ``compute``, and
    gathered from all processes. The second uses squared correlations.

    Args:
        num_bins: Bins per dimension of the code.

    Example:
        >>> metric = Disentanglement()
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(4))
        >>> metric.update(factors.float(), factors)
        >>> metric.compute()
        {'mig': tensor(1.), 'sap': tensor(1.)}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    codes: list[Tensor]
    factors: list[Tensor]

    def __init__(self, num_bins: int = 20) -> None:
        super().__init__()
        if num_bins < 2:
            raise ValueError(f"num_bins must be at least 2, got {num_bins}")
        self.num_bins = num_bins
        self.add_state("codes", default=[], dist_reduce_fx="cat")
        self.add_state("factors", default=[], dist_reduce_fx="cat")

    def update(self, codes: Tensor, factors: Tensor) -> None:
        """Add a batch of codes, shape (B, D), and factors, integers of shape (B, F)."""
        if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
            raise ValueError(
                "codes and factors must be (B, D) and (B, F) with one B, got shapes "
                f"{tuple(codes.shape)} and {tuple(factors.shape)}"
            )
        self.codes.append(codes.detach())
        self.factors.append(factors)

    def compute(self) -> dict[str, Tensor]:
        """The scores ``mig`` and ``sap``, both in [0, 1]."""
        if len(self.codes) == 0:
            raise ValueError("no codes yet (0): call update(codes, factors) before compute()")
        codes, factors = dim_zero_cat(self.codes).cpu(), dim_zero_cat(self.factors).cpu()
        scores = {
            "mig": mig_score(codes, factors, self.num_bins),
            "sap": sap_score(squared_correlations(codes, factors)),
        }
        dtype = torch.get_default_dtype()
        return {name: score.to(dtype).to(self.device) for name, score in scores.items()}
