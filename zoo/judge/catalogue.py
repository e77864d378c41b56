"""What each score is: one row each, known without computing anything.

The text of a name, such as ``fid[mnist-features,10k,test]``, is written from the values of its
protocol and read by the same row, so that no one else takes names apart. `Row` says what a row
holds. A score of one's own is one more row, added where its protocol is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from zoo.core.figures import split_name
from zoo.core.registry import Registry
from zoo.judge.rows import Row

__all__ = ["SCORES", "add", "find", "headline", "meaning", "parameters", "row_of"]

SCORES: Registry[Row] = Registry("score")
AnyScore = TypeVar("AnyScore", bound=Mapping[str, Any])

FEATURES = "{features}(,{resize}-resize)"  # the latter of Inception alone
SAMPLES = FEATURES + "(,{stage}),{count:short},{split}(,{bits:flag})"
KERNEL = "{objective},{witnesses:int}w," + SAMPLES
COPIES = FEATURES + ",{count:short},{train:short}-train/{control}(,{bits:flag})"
ANNEALED = "(,ais{chains:int}x{temperatures:int})"
LIKELIHOOD = (
    "{pixels}(,is{importance_samples:int})" + ANNEALED + "(,ensemble{ensemble:int}),"
    "{count:short},{split}"
)
DENSITY = "{range}(,{dequantisation})" + ANNEALED + ",{count:short},{split}"
CHAINS = "{features},{rows:int}x{steps:int}"
SCOPE = "{split}(:{count:short})"
TREES = "{trees},{train:short}->{test:short}"
VOTES = "{train_votes:short}->{test_votes:short}-votes"
MODES = "{of:int}(,{within:number}sigma)(,{features}),{samples:short}"


def add(row: Row) -> Row:
    """Adds a row to the catalogue.

    Raises:
        ValueError: if there is one of that name.
    """
    return SCORES.register_as(row.name)(row)


def row_of(score: Mapping[str, Any]) -> Row:
    """Returns the row of a score as cards and reports have it.

    One that nobody has registered here has a row of what was written with it.
    """
    head = split_name(score["name"])[0]
    if head in SCORES:
        return SCORES[head]
    return Row(head, "", score.get("unit") or "", score.get("better") or "")


def meaning(name: str) -> str:
    """Explains a score; returns an empty text for one that is not known here.

    Example:
        >>> meaning("gel_dropped[kernel-et,36w,digits-features,360,test]")
        'Number of classes that this reweighting nearly silences.'
    """
    return row_of({"name": name}).meaning


def parameters(score: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a score's protocol; of older cards, they are read from the name.

    Example:
        >>> parameters({"name": "nll[dynamic,is5000,10k,test]"})
        {'pixels': 'dynamic', 'importance_samples': 5000, 'count': 10000, 'split': 'test'}
    """
    return dict(score.get("parameters") or row_of(score).read(score["name"]))


def find(scores: Iterable[AnyScore], head: str) -> AnyScore | None:
    """Returns the first score of that name, whatever its protocol; None if there is none."""
    return next((score for score in scores if split_name(score["name"])[0] == head), None)


def headline(scores: Iterable[AnyScore]) -> AnyScore | None:
    """Returns the score that stands for a model: that of the lowest rank, else the first.

    Args:
        scores: As in a card; those without a value stand for nothing.
    """
    known = [score for score in scores if score["value"] is not None]
    ranked = [(row_of(score).rank, place) for place, score in enumerate(known)]
    best = min(((rank, place) for rank, place in ranked if rank is not None), default=None)
    if best is not None:
        return known[best[1]]
    return known[0] if known else None


ROWS: tuple[Row, ...] = (
    Row("error", "({what},)" + SCOPE, "share", "lower",
        "Share of images that the classifier names wrongly.", rank=0),
    Row("code_error", "{matching}(-of-{codes:int}),train->" + SCOPE, "share", "lower",
        "Share of images whose inferred code is the wrong class, after giving each code the "
        "class that fits best. The model itself never saw a label.", rank=1, beside=("recall",)),
    Row("kmeans_error", "{clusters:int},{matching},train->" + SCOPE, "share", "lower",
        "Share of images in the wrong cluster, when k-means sorts the latents and each "
        "cluster gets the class that fits best."),
    Row("mig", "{bins:int}-bins,{images:short}", "", "higher",
        "How much more one unit of the code tells about a factor than the next best unit: 0 "
        "nothing, 1 all.", rank=3, beside=("factor_vae_score", "live_units")),
    Row("live_units", "var>{least:number},{images:short}", "units", "",
        "Number of units of the code that images move at all. What a model does not tell cannot "
        "be entangled: other scores of the code are to be read beside it."),
    Row("factor_vae_score", VOTES, "", "higher",
        "How often the unit that varies least says which factor was held fixed."),
    Row("beta_vae_score", VOTES, "", "higher",
        "How often a linear rule on differences of codes names the factor that two images "
        "share."),
    Row("dci_disentanglement", TREES, "", "higher",
        "Whether each unit of the code matters to one factor only: 0 to all alike, 1 to one."),
    Row("dci_completeness", TREES, "", "higher",
        "Whether each factor is told by one unit of the code only: 0 by all alike, 1 by one."),
    Row("dci_informativeness", TREES, "share", "higher",
        "How often a random forest reads a factor from the whole code, averaged over factors."),
    Row("sap", "{classifier},{train:short}->{test:short}", "", "higher",
        "How far the unit that best predicts a factor by itself leads the second best: 0 not at "
        "all; even a perfect code stays below 1."),
    Row("nmi", "{of}," + SCOPE, "", "higher",
        "How much the inferred codes and the true classes tell about each other: 0 nothing, 1 "
        "everything."),
    Row("ari", "{of}," + SCOPE, "", "higher",
        "How often code and class agree on which images belong together: 0 as by chance, 1 "
        "always."),
    Row("nll", LIKELIHOOD, "nats", "lower",
        "Surprise at an unseen image, in nats per image.", rank=4),
    Row("log_density", DENSITY, "nats", "higher",
        "Log-density of an unseen image in nats, its pixels spread out and scaled to [0, 1].",
        rank=6),
    Row("bpd", LIKELIHOOD, "bits/dim", "lower",
        "Surprise at an unseen image per number in it, in bits; 8 is pure noise.", rank=5),
    Row("elbo", "{pixels},{count:short},{split}", "nats", "higher",
        "A lower bound on the log-probability of an unseen image, from one latent sample.", rank=7),
    Row("anomaly_auroc", "{against},{by},{count:short},{split}", "", "higher",
        "How often an image is more likely than another one upside down: .5 as by chance, 1 "
        "always."),
    Row("captions_shown", FEATURES + ",{captions},{count:short}", "share", "higher",
        "Share of images that show everything that their caption says, to the eyes of the "
        "attribute classifier.", rank=2, beside=("captions_shown", "position_spread")),
    Row("position_spread", "{captions:int}x{draws:int}", "pixels", "higher",
        "How far the one object of an image wanders along each axis from sample to sample of one "
        "caption: 0 if it never does; its details say what real images do, which is right."),
    Row("fid_at_prior", SAMPLES, "", "lower",
        "The Frechet distance of images from latents as in training."),
    Row("fid_at_midpoint", SAMPLES, "", "lower",
        "The same, from latents halfway between two draws."),
    Row("fid_at_line", SAMPLES, "", "lower",
        "The same, from latents on lines through the origin."),
    Row("inception_style_at_prior", SAMPLES, "", "higher",
        "The inception-style score of images from latents as in training."),
    Row("inception_style_at_midpoint", SAMPLES, "", "higher",
        "The same, from latents halfway between two draws."),
    Row("inception_style_at_line", SAMPLES, "", "higher",
        "The same, from latents on lines through the origin."),
    Row("fid_rise_at_midpoint", SAMPLES, "share", "lower",
        "By which share the distance grows from draws to their midpoints."),
    Row("fid", SAMPLES, "", "lower",
        "Distance between the clouds of generated and of real features, as Gaussians: 0 if "
        "mean and spread agree.", rank=9),
    Row("kid", SAMPLES, "", "lower",
        "The same question without assuming a shape of the clouds; about 0 for a perfect "
        "model."),
    Row("precision", SAMPLES, "share", "higher",
        "Share of generated images that lie among real ones: are they believable?"),
    Row("recall", SAMPLES, "share", "higher",
        "Share of real images that lie among generated ones: is everything covered?"),
    Row("density", SAMPLES, "", "higher",
        "How densely real images surround the generated ones; about 1 for a perfect model."),
    Row("coverage", SAMPLES, "share", "higher",
        "Share of real images that have a generated one close by."),
    Row("inception_style", SAMPLES, "", "higher",
        "High if each image is surely of one class and the classes are even; at most the "
        "number of classes."),
    Row("worst_class_factor", SAMPLES, "", "lower",
        "By what factor the worst class is too frequent or too rare; 1 is right."),
    Row("class_variation", SAMPLES, "share", "lower",
        "Share of samples that would have to change class to match the data."),
    Row("chain_lag", CHAINS, "steps", "lower",
        "How many steps a chain takes until the class of its image changes: 1 at every step."),
    Row("chain_classes", CHAINS, "classes", "higher",
        "Number of classes that a chain comes by, on average over chains."),
    Row("parzen", "{samples:short}-samples,{count:short},{split}", "nats", "higher",
        "Log-density of unseen images under bumps around samples. It misleads: copies and blur "
        "score best. It stands beside figures of its time and ranks nothing."),
    Row("modes", MODES, "modes", "higher",
        "Number of modes of the data that samples reach at all.", rank=8,
        beside=("high_quality", "mode_spread", "mode_kl")),
    Row("high_quality", "{within:number}sigma,{samples:short}", "share", "higher",
        "Share of samples within three standard deviations of a mode; of perfect samples of "
        "the plane .989."),
    Row("mode_spread", MODES, "", "higher",
        "How widely samples spread inside a mode, over how widely the data do: 0 one point per "
        "mode, which the share of high quality rewards; 1 is right."),
    Row("mode_kl", MODES, "nats", "lower",
        "How unevenly the samples fall on the modes: 0 evenly, log K all on one."),
    Row("gel_divergence", KERNEL, "nats", "lower",
        "How far the real images must be reweighted to look like the samples; infeasible if "
        "no reweighting can do it."),
    Row("gel_dropped", KERNEL, "classes", "lower",
        "Number of classes that this reweighting nearly silences."),
    Row("gel_imbalance", KERNEL, "", "lower",
        "How uneven it makes the classes: 0 even as in the data, 1 nothing in common."),
    Row("gel_diversity", "{objective}," + SAMPLES, "", "higher",
        "Of the least varied class: the variety of its samples over that of as many real "
        "images; 1 is right."),
    Row("memorisation_z", COPIES, "", "",
        "Whether samples lie closer to training images than unseen real images do: about 0 if "
        "not, below -5 if images are copied; large values mean far away from both."),
)  # fmt: skip
for row in ROWS:
    add(row)
