"""From scores to words: what is wrong with a model, and which knob to turn.

Plain rules on plain numbers, so that each can be tested. A rule speaks when a figure is worse
than chance and than what real images would get, and says nothing otherwise. All rules stand in one
file, because what one of them says can make another one silent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from zoo.contract.knobs import turn
from zoo.judge.catalogue import parameters
from zoo.show.diagnosis.evidence import Advice, Evidence, are, count, joined, named

__all__ = ["advise", "missing_classes", "summary", "varieties"]

FEW = 1000  # images below which the caution about small counts is printed
SIGMAS = 3.0  # standard errors beyond which a share of a class is not chance
UNEVEN = 1.5  # factor of a class's share that is worth a word
RARE = 0.25  # share of the share that it should have, below which a class counts as lost
BEHIND = 0.15  # what precision or recall may lack to that of real images
COPIES = -5.0  # memorisation z
NEAR = 0.8  # share of samples near a mode; the authors of PacGAN reach 0.94
SENTENCE = re.compile(r"(?<=[.!?:]) (?=[A-Z])")
KEPT = 0.5  # GEL mass ratio that contradicts a classifier which finds nothing of a class


def advise(evidence: Evidence) -> list[Advice]:
    """Applies all rules; the most serious findings come first."""
    rules = (_health, _modes, _classes, _quality, _diversity, _copies, _codes, _bounds)
    found = [advice for rule in rules for advice in rule(evidence)]
    order = ("serious", "notable", "good")
    found.sort(key=lambda advice: order.index(advice.level))
    return list(_once(found))


def _once(found: Sequence[Advice]) -> Iterator[Advice]:
    """Gives each sentence of the tips once, and points to it afterwards."""
    first: dict[str, str] = {}
    for advice in found:
        sentences = SENTENCE.split(advice.tip) if advice.tip else []
        fresh = [text for text in sentences if text not in first]
        before = dict.fromkeys(first[text] for text in sentences if text in first)
        first.update(dict.fromkeys(fresh, advice.title))
        if before:
            where = joined([f"“{title}”" for title in before])
            fresh.append(f"{'Besides, the' if fresh else 'The'} same as for {where}.")
        yield replace(advice, tip=" ".join(fresh))


def summary(evidence: Evidence, found: Sequence[Advice]) -> str:
    """Says in a sentence or two how the model stands, and on how much that rests."""
    wrong = [advice for advice in found if advice.level != "good"]
    serious = [advice for advice in wrong if advice.level == "serious"]
    if not evidence.scores:
        text = "Nothing could be scored."
    elif serious:
        text = f"What stands out: {joined([advice.title for advice in serious])}."
        rest = len(wrong) - len(serious)
        if rest:
            text += f" {count(rest)} smaller {'thing is' if rest == 1 else 'things are'} below."
    elif wrong:
        text = f"Nothing serious; worth a look: {joined([advice.title for advice in wrong])}."
    else:
        text = "Nothing stands out in the figures that could be computed."
    if not evidence.features:
        text += (
            " There is no feature network for these images, so neither quality nor variety of the "
            "samples was measured: look at the pictures."
        )
    elif 0 < evidence.images < FEW:
        text += (
            f" All this rests on only {evidence.images} real images; small differences are chance."
        )
    return text


# ---------------------------------------------------------------- rules


def _health(e: Evidence) -> list[Advice]:
    found = []
    for text in e.health:
        what, _, tip = text.partition(" Try: ")
        tip = f"{tip[:1].upper()}{tip[1:]}"
        found.append(Advice("notable", "a warning while training", what, tip))
    return found


def _modes(e: Evidence) -> list[Advice]:
    """Counts the modes of data whose modes are known, such as mixtures of the plane."""
    score, found = e.find("modes"), []
    there = None if score is None else parameters(score).get("of")
    if score is None or there is None or score["value"] is None:
        return []
    missing = there - round(score["value"])
    if missing:
        level = "serious" if missing > 0.1 * there else "notable"
        what = f"Samples reach {there - missing:,} of the data's {there:,} modes."
        found.append(
            Advice(level, f"{missing:,} of {there:,} modes are missing", what, _modes_tip(e))
        )
    near = e.value("high_quality")
    if near is not None and near < NEAR:
        what = f"Only {near:.0%} of the samples lie within three standard deviations of a mode."
        tip = "Train longer, or use a wider network: it has found the modes but not their shape."
        found.append(Advice("notable", "samples between the modes", what, tip))
    return found


def missing_classes(e: Evidence) -> tuple[list[int], list[int]]:
    """Names the classes that a model does not make.

    Returns:
        Those that are missing, by the classifier's count or by kernel GEL, and those on which the
        two disagree: where GEL gives a class its due, something like it is made, whatever the
        classifier calls it.
    """
    lost, dropped = _unlike(e)[0], _dropped(e)
    ratio = e.details("gel_imbalance").get("mass_ratio") or []
    doubtful = [k for k in lost if k not in dropped and k < len(ratio) and ratio[k] > KEPT]
    return sorted({*lost, *dropped} - {*doubtful}), doubtful


def _dropped(e: Evidence) -> list[int]:
    return [int(k) for k in e.details("gel_dropped").get("dropped", [])]


def _classes(e: Evidence) -> list[Advice]:
    lost, rare, frequent = _unlike(e)
    missing, doubtful = missing_classes(e)
    found = []
    if missing:
        why = _why_missing(e, [k for k in lost if k in missing], _dropped(e))
        title = f"{named(missing)} {are(missing)} missing"
        found.append(Advice("serious", title, why, _modes_tip(e)))
    if doubtful:
        title = f"hardly any {named(doubtful)}"
        found.append(Advice("notable", title, _why_doubtful(e, doubtful), _modes_tip(e)))
    rare = [k for k in rare if k not in missing]
    frequent = [k for k in frequent if k not in missing]
    if rare or frequent:
        parts = [_share_of(e, rare, "too rare")] if rare else []
        parts += [_share_of(e, frequent, "too frequent")] if frequent else []
        what = f"{'; '.join(parts)}."
        title = "an imbalance between classes"
        found.append(Advice("notable", title, f"{what[0].upper()}{what[1:]}", _modes_tip(e)))
    return found


def _unlike(e: Evidence) -> tuple[list[int], list[int], list[int]]:
    """Names classes that are lost, rare and frequent beyond what chance explains."""
    lost, rare, frequent = [], [], []
    for k, (fake, real) in enumerate(zip(e.fake_share, e.real_share, strict=True)):
        if real == 0 or not e.samples or not e.images:
            continue
        error = math.sqrt(real * (1 - real) * (1 / e.samples + 1 / e.images))
        if abs(fake - real) <= SIGMAS * error:
            continue
        if fake < RARE * real:
            lost.append(k)
        elif fake < real / UNEVEN:
            rare.append(k)
        elif fake > real * UNEVEN:
            frequent.append(k)
    return lost, rare, frequent


def _why_missing(e: Evidence, lost: Sequence[int], dropped: Sequence[int]) -> str:
    texts = []
    if lost:
        texts.append(
            f"The classifier finds hardly any sample of {named(lost)} ({_shares(e, lost)})."
        )
    if dropped:
        texts.append(
            f"Kernel GEL gives the real images of {named(dropped)} almost no weight when it makes "
            "the real images look like the samples."
        )
    if dropped and e.fake_share and not set(dropped) <= set(lost):
        unsure = [k for k in dropped if k not in lost]
        texts.append(
            f"The classifier does see samples of {named(unsure)}: they bear the class but not "
            "the look of its real images."
        )
    return " ".join(texts)


def _why_doubtful(e: Evidence, classes: Sequence[int]) -> str:
    ratio = e.details("gel_imbalance")["mass_ratio"]
    kept = ", ".join(f"{ratio[k]:.2f}" for k in classes)
    return (
        f"The classifier calls hardly any sample {named(classes)} ({_shares(e, classes)}), yet "
        f"kernel GEL gives their real images {kept} of their due weight: samples close to them "
        "exist, perhaps so odd that the classifier gives them another name."
    )


def _shares(e: Evidence, classes: Sequence[int]) -> str:
    return ", ".join(f"{e.fake_share[k]:.1%} instead of {e.real_share[k]:.1%}" for k in classes)


def _share_of(e: Evidence, classes: Sequence[int], how: str) -> str:
    return f"{named(classes)} {are(classes)} {how} ({_shares(e, classes)})"


def _modes_tip(e: Evidence) -> str:
    if not e.implicit:
        return "Train longer, and with a larger latent space or network; then look again."
    wishes = turn(
        e.arguments, ("lower", "lr_generator"), ("raise", "dropout"), ("raise", "jitter"),
        ("raise", "gp_weight"),
    )  # fmt: skip
    more = f" If it stays so, {wishes}, or enlarge --data.batch_size." if wishes else ""
    return (
        f"Train longer first: adversarial models find some classes late.{more} Runs with other "
        "seeds differ, too."
    )


def _quality(e: Evidence) -> list[Advice]:
    precision, recall = e.value("precision"), e.value("recall")
    if precision is None or recall is None:
        return []
    best = {name: e.reference.get(name, 0.8) for name in ("precision", "recall")}
    weak = {"precision": best["precision"] - precision, "recall": best["recall"] - recall}
    figures = (
        f"Precision {precision:.2f} (real images: {best['precision']:.2f}), "
        f"recall {recall:.2f} (real images: {best['recall']:.2f})"
    )
    infeasible = e.details("gel_divergence").get("status") == "infeasible"
    beyond = (
        " No reweighting of the real images has the samples' kernel moments: part of what the "
        "model makes lies outside of what the data contain."
        if infeasible
        else ""
    )
    off = {name for name, lack in weak.items() if lack > BEHIND}
    if off == {"precision", "recall"}:
        level = "serious" if max(weak.values()) > 2 * BEHIND else "notable"
        title = "samples that are neither believable nor varied enough"
        if weak["recall"] > 2 * weak["precision"]:
            title = "samples of too little variety, some of them not believable"
        elif weak["precision"] > 2 * weak["recall"]:
            title = "samples that are not believable, and of less variety than the data"
        tip = "Train longer or use a wider network: both lacks at once mean it has not learned yet."
    elif off == {"precision"}:
        level = "serious" if weak["precision"] > 2 * BEHIND else "notable"
        title = "samples that are not believable"
        tip = (
            "The model reaches all kinds of images but not their look: a wider network or longer "
            "training, or for sharper samples of models with a latent code, a smaller one."
        )
    elif off == {"recall"}:
        level = "serious" if weak["recall"] > 2 * BEHIND else "notable"
        title = "believable samples of too little variety"
        tip = f"What it makes is good, but it repeats itself. {_modes_tip(e)}"
    elif infeasible:
        return [Advice("notable", "samples outside of the data", beyond.strip(), _modes_tip(e))]
    else:
        return [Advice("good", "quality and variety near those of real images", figures)]
    return [Advice(level, title, f"{figures}.{beyond}", tip)]


def _diversity(e: Evidence) -> list[Advice]:
    low = e.details("gel_diversity").get("collapsed", [])
    if not low:
        return []
    of = varieties(e)
    shares = joined([f"{of[k]:.0%}" for k in low])
    return [
        Advice(
            "notable",
            f"little variety within {named(low)}",
            f"The samples of {named(low)} have only {shares} of the variety of as many real "
            "images.",
            _modes_tip(e),
        )
    ]


def varieties(e: Evidence) -> list[float | None]:
    """Returns each class's variety as a multiple of that of real images; None if not known."""
    details = e.details("gel_diversity")
    pairs = zip(details.get("ess", []), details.get("ess_of_real", []), strict=True)
    return [a / b if a is not None and b else None for a, b in pairs]


def _copies(e: Evidence) -> list[Advice]:
    z, details = e.value("memorisation_z"), e.details("memorisation_z")
    if z is None:
        return []
    closer = details.get("closer")
    pairs = "" if closer is None else f", and is the closer one in {closer:.0%} of all pairs"
    recall = e.value("recall")
    if z < COPIES and recall is not None and e.reference.get("recall", 0.8) - recall > 2 * BEHIND:
        return [
            Advice(
                "notable",
                "samples near the middle of the training images",
                f"A sample lies nearer to a training image than an unseen real image does "
                f"(z = {z:.1f}){pairs}. With a recall of {recall:.2f} this need not be copying: "
                "samples without variety sit where training images are densest. The pairs below "
                "tell which it is.",
                _modes_tip(e),
            )
        ]
    if z < COPIES:
        return [
            Advice(
                "serious",
                "copies of training images",
                f"A sample lies nearer to a training image than an unseen real image does "
                f"(z = {z:.1f}){pairs}. Look at the pairs below.",
                "Train for a shorter time, use a smaller network or more data, and choose the "
                "checkpoint by a score on validation images.",
            )
        ]
    if z < 0.6 * COPIES:
        return [
            Advice(
                "notable",
                "a hint of copying",
                f"Samples lie a little nearer to training images than unseen real images do "
                f"(z = {z:.1f}){pairs}.",
                "Look at the pairs below; judge more samples with --protocol full.",
            )
        ]
    return [Advice("good", "no sign of copying", f"Memorisation z = {z:.1f}.")]


def _codes(e: Evidence) -> list[Advice]:
    error = e.value("code_error")
    if error is None:
        return []
    what = f"The inferred code, which never saw a label, is the wrong class for {error:.1%}."
    if error <= 0.1:
        return [Advice("good", "codes that follow the classes", what)]
    wishes = turn(
        e.arguments, ("raise", "categorical_weight"), ("raise", "jitter"), ("raise", "dropout"),
        ("raise", "categories"),
    )  # fmt: skip
    tip = (
        "Train longer, and try other seeds: which classes share a code is decided early."
        + (f" Then {wishes}." if wishes else "")
    )  # fmt: skip
    title = "codes that do not follow the classes"
    return [Advice("serious" if error > 0.4 else "notable", title, what, tip)]


def _bounds(e: Evidence) -> list[Advice]:
    """Compares the bound from one sample with the one from many."""
    elbo = e.value("elbo")
    weighted = (s for s in e.scores if "importance_samples" in parameters(s))
    nll = next((score["value"] for score in weighted), None)
    if elbo is None or nll is None or -elbo - nll < 0.1 * abs(nll):
        return []
    return [
        Advice(
            "notable",
            "a loose bound",
            f"One latent sample gives {-elbo:.1f} nats, many give {nll:.1f}: the encoder's "
            "posterior is far from the true one.",
            "A wider encoder, or a richer posterior; report the importance-weighted figure.",
        )
    ]
