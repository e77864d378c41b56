"""What each score means, in a sentence for somebody who has never met it."""

from __future__ import annotations

__all__ = ["MEANINGS", "meaning"]

MEANINGS = {
    "error": "Share of images that the classifier names wrongly.",
    "code_error": "Share of images whose inferred code is the wrong class, after giving each code "
    "the class that fits best. The model itself never saw a label.",
    "kmeans_error": "Share of images in the wrong cluster, when k-means sorts the latents and each "
    "cluster gets the class that fits best.",
    "mig": "How much more one unit of the code tells about a factor than the next best unit: "
    "0 nothing, 1 all.",
    "factor_vae_score": "How often the unit that varies least says which factor was held fixed.",
    "beta_vae_score": "How often a linear rule on differences of codes names the factor that two "
    "images share.",
    "nmi": "How much the inferred codes and the true classes tell about each other: 0 nothing, "
    "1 everything.",
    "ari": "How often code and class agree on which images belong together: 0 as by chance, "
    "1 always.",
    "nll": "Surprise at an unseen image, in nats per image.",
    "log_density": "Log-density of an unseen image in nats, its pixels spread out and scaled "
    "to [0, 1].",
    "bpd": "Surprise at an unseen image per number in it, in bits; 8 is pure noise.",
    "elbo": "A lower bound on the log-probability of an unseen image, from one latent sample.",
    "anomaly_auroc": "How often an image is more likely than another one upside down: .5 as by "
    "chance, 1 always.",
    "captions_shown": "Share of images that show everything that their caption says, to the eyes "
    "of the attribute classifier.",
    "fid_at_prior": "The Frechet distance of images from latents as in training.",
    "fid_at_midpoint": "The same, from latents halfway between two draws.",
    "fid_at_line": "The same, from latents on lines through the origin.",
    "inception_style_at_prior": "The inception-style score of images from latents as in training.",
    "inception_style_at_midpoint": "The same, from latents halfway between two draws.",
    "inception_style_at_line": "The same, from latents on lines through the origin.",
    "fid_rise_at_midpoint": "By which share the distance grows from draws to their midpoints.",
    "fid": "Distance between the clouds of generated and of real features, as Gaussians: 0 if "
    "mean and spread agree.",
    "kid": "The same question without assuming a shape of the clouds; about 0 for a perfect model.",
    "precision": "Share of generated images that lie among real ones: are they believable?",
    "recall": "Share of real images that lie among generated ones: is everything covered?",
    "density": "How densely real images surround the generated ones; about 1 for a perfect model.",
    "coverage": "Share of real images that have a generated one close by.",
    "inception_style": "High if each image is surely of one class and the classes are even; at "
    "most the number of classes.",
    "worst_class_factor": "By what factor the worst class is too frequent or too rare; 1 is right.",
    "class_variation": "Share of samples that would have to change class to match the data.",
    "modes": "Number of modes of the data that samples reach at all.",
    "high_quality": "Share of samples within three standard deviations of a mode; of perfect "
    "samples of the plane .989.",
    "mode_kl": "How unevenly the samples fall on the modes: 0 evenly, log K all on one.",
    "gel_divergence": "How far the real images must be reweighted to look like the samples; "
    "infeasible if no reweighting can do it.",
    "gel_dropped": "Number of classes that this reweighting nearly silences.",
    "gel_imbalance": "How uneven it makes the classes: 0 even as in the data, 1 nothing in common.",
    "gel_diversity": "Of the least varied class: the variety of its samples over that of as many "
    "real images; 1 is right.",
    "memorisation_z": "Whether samples lie closer to training images than unseen real images do: "
    "about 0 if not, below -5 if images are copied; large values mean far away from both.",
}


def meaning(name: str) -> str:
    """Explains a score; returns an empty text for one that is not known here.

    Example:
        >>> meaning("gel_dropped[kernel-et,36w,digits-features,360,test]")
        'Number of classes that this reweighting nearly silences.'
    """
    return MEANINGS.get(name.partition("[")[0], "")
