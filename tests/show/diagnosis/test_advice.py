"""From figures to words: each rule speaks when it should, and only then."""

import re
from dataclasses import replace

import pytest

from zoo.show.diagnosis import Evidence, advise, summary
from zoo.show.diagnosis.advice import missing_classes

EVEN = (0.25,) * 4


def score(name, value, **details):
    return {"name": f"{name}[x]", "value": value, "unit": "", "better": "", "details": details}


def evidence(*scores, **more):
    sizes = {"samples": 2000, "images": 2000}
    return Evidence(scores=scores, **{**sizes, **more})


def titles(found, level=None):
    return [advice.title for advice in found if level in (None, advice.level)]


GOOD = (
    score("precision", 0.9), score("recall", 0.85), score("memorisation_z", 0.3, closer=0.5),
    score("code_error", 0.04), score("gel_dropped", 0, dropped=[]),
    score("gel_divergence", 0.01, status="solved"),
    score("gel_imbalance", 0.01, mass_ratio=[1.0] * 4, rare=[]),
    score("gel_diversity", 0.9, ess=[0.8, 0.9, 0.85, 0.9], ess_of_real=[0.85] * 4, collapsed=[]),
)  # fmt: skip
FINE = evidence(*GOOD, fake_share=EVEN, real_share=EVEN)


def with_score(new):
    short = new["name"].partition("[")[0]
    kept = [s for s in FINE.scores if s["name"].partition("[")[0] != short]
    return replace(FINE, scores=(*kept, new))


def test_nothing_stands_out_in_a_good_model():
    found = advise(FINE)
    assert {advice.level for advice in found} == {"good"}
    assert summary(FINE, found) == "Nothing stands out in the figures that could be computed."


def test_few_images_are_confessed():
    few = replace(FINE, images=360)
    assert "only 360 real images" in summary(few, advise(few))


def test_no_feature_network_is_confessed():
    blind = evidence(score("code_error", 0.02), features=False)
    assert "look at the pictures" in summary(blind, advise(blind))


def test_nothing_scored_is_confessed():
    assert summary(evidence(), []) == "Nothing could be scored."


def test_dropped_classes_are_named_and_lead():
    lost = replace(with_score(score("gel_dropped", 2, dropped=[1, 3])), fake_share=(0.5, 0, 0.5, 0))
    found = advise(lost)
    assert (found[0].level, found[0].title) == ("serious", "classes 1 and 3 are missing")
    assert "0.0% instead of 25.0%" in found[0].what
    assert missing_classes(lost) == ([1, 3], [])
    assert "classes 1 and 3 are missing" in summary(lost, found)


def test_a_class_that_only_the_classifier_misses_is_no_certainty():
    odd = replace(FINE, fake_share=(0.33, 0.01, 0.33, 0.33))
    assert missing_classes(odd) == ([], [1])
    (found,) = (a for a in advise(odd) if "class 1" in a.title)
    assert found.level == "notable" and "1.00 of their due weight" in found.what


def test_a_class_that_only_gel_misses_is_missing():
    found = advise(with_score(score("gel_dropped", 1, dropped=[2])))
    assert found[0].title == "class 2 is missing"
    assert "bear the class but not the look" in found[0].what


def test_imbalance_beyond_chance_is_named_with_both_sides():
    uneven = replace(FINE, fake_share=(0.4, 0.1, 0.25, 0.25))
    (found,) = (a for a in advise(uneven) if a.title == "an imbalance between classes")
    assert "class 1 is too rare (10.0% instead of 25.0%)" in found.what.lower()
    assert "class 0 is too frequent (40.0%" in found.what


@pytest.mark.parametrize(("count", "speaks"), [(30, False), (3000, True)])
def test_chance_is_no_imbalance(count, speaks):
    uneven = replace(FINE, fake_share=(0.4, 0.15, 0.25, 0.2), samples=count, images=count)
    assert ("an imbalance between classes" in titles(advise(uneven))) == speaks


@pytest.mark.parametrize(
    ("precision", "recall", "words"),
    [
        (0.5, 0.85, "not believable"),
        (0.9, 0.5, "too little variety"),
        (0.4, 0.35, "neither believable nor varied"),
        (0.7, 0.05, "too little variety, some of them not believable"),
        (0.05, 0.7, "not believable, and of less variety"),
    ],
)  # fmt: skip
def test_precision_and_recall_are_told_apart(precision, recall, words):
    scores = [s for s in GOOD if not s["name"].startswith(("precision", "recall"))]
    weak = evidence(
        *scores, score("precision", precision), score("recall", recall),
        reference={"precision": 0.9, "recall": 0.9},
    )  # fmt: skip
    assert any(words in title for title in titles(advise(weak)))


def test_the_yardstick_is_what_real_images_get():
    """A precision of 0.6 is nothing to complain of where real images get 0.65."""
    weak = evidence(score("precision", 0.6), score("recall", 0.6))
    assert advise(weak)[0].level != "good"
    fair = replace(weak, reference={"precision": 0.65, "recall": 0.65})
    assert advise(fair)[0].level == "good"


def test_samples_outside_of_the_data_are_mentioned():
    off = with_score(score("gel_divergence", None, status="infeasible"))
    assert "samples outside of the data" in titles(advise(off), "notable")


def test_lost_variety_within_a_class_is_named():
    flat = with_score(
        score(
            "gel_diversity",
            0.1,
            ess=[0.8, 0.1, None, 0.9],
            ess_of_real=[0.8] * 4,
            collapsed=[1],
        )
    )
    (found,) = (a for a in advise(flat) if "variety within" in a.title)
    assert found.title == "little variety within class 1" and "12%" in found.what


@pytest.mark.parametrize(
    ("z", "level", "title"),
    [
        (-9.0, "serious", "copies of training images"),
        (-4.0, "notable", "a hint of copying"),
        (-1.0, "good", "no sign of copying"),
        (8.0, "good", "no sign of copying"),
    ],
)
def test_copies_are_called_so(z, level, title):
    found = advise(with_score(score("memorisation_z", z, closer=0.9)))
    assert title in titles(found, level)


@pytest.mark.parametrize(("error", "level"), [(0.04, "good"), (0.3, "notable"), (0.6, "serious")])
def test_code_errors_name_the_models_own_knobs(error, level):
    found = advise(
        replace(with_score(score("code_error", error)), arguments={"jitter": 0.15, "lr": 1})
    )
    (code,) = (a for a in found if "codes" in a.title)
    assert code.level == level
    assert ("--model.jitter (now 0.15)" in code.tip) == (level != "good")
    assert "--model.lr" not in code.tip and "--model.dropout" not in code.tip


def test_a_loose_bound_is_named():
    likelihoods = (
        {**score("elbo", -120.0), "name": "elbo[dynamic,10k,test]"},
        {**score("nll", 90.0), "name": "nll[dynamic,is5000,10k,test]"},
    )
    assert titles(advise(evidence(*likelihoods))) == ["a loose bound"]
    tight = (likelihoods[0], {**likelihoods[1], "value": 118.0})
    assert advise(evidence(*tight)) == []


def test_warnings_of_the_run_are_passed_on():
    ill = replace(FINE, health=["loss is near 0. Try: lower --model.lr (now 1)."])
    (found,) = (a for a in advise(ill) if a.level == "notable")
    assert found.what == "loss is near 0." and found.tip == "Lower --model.lr (now 1)."


def test_a_tip_is_given_once():
    bad = replace(
        with_score(
            score("gel_diversity", 0.1, ess=[0.8, 0.1, 0.9, 0.9], ess_of_real=[0.8] * 4,
                  collapsed=[1])
        ),
        fake_share=(0.5, 0.1, 0.2, 0.2), implicit=True,
    )  # fmt: skip
    tips = [advice.tip for advice in advise(bad) if advice.tip]
    assert sum("Train longer" in tip for tip in tips) == 1
    told = [text for tip in tips for text in re.split(r"(?<=[.:]) (?=[A-Z])", tip)]
    advised = [text for text in told if "he same as for" not in text]
    assert len(advised) == len(set(advised)) > 1
    assert "The same as for “an imbalance between classes”." in tips


@pytest.mark.parametrize(
    ("reached", "near", "expected"),
    [
        (25, 0.94, []),
        (2, 0.94, ["23 of 25 modes are missing"]),
        (24, 0.5, ["1 of 25 modes are missing", "samples between the modes"]),
    ],
)
def test_modes_of_the_plane_are_counted(reached, near, expected):
    scores = ({**score("modes", reached), "name": "modes[25,3sigma,2500]"},
              score("high_quality", near))  # fmt: skip
    assert titles(advise(evidence(*scores))) == expected
