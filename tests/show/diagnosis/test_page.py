"""The page: whole, self-contained, readable without pictures, and safe against odd names."""

import json
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from zoo.data import DATASETS
from zoo.judge.catalogue import meaning
from zoo.judge.run import evaluate
from zoo.judge.score import Task
from zoo.judge.subject import Subject, features_for
from zoo.show.curves import draw_curve, read_curves
from zoo.show.diagnosis import open_case, page
from zoo.show.markup import bar, drawn, templates
from zoo.show.scores import ScoreText

VOID = {"meta", "img", "br", "link", "hr", "circle", "polyline"}


class Page(HTMLParser):
    """Reads a page strictly: tags nest, and sources are data of its own."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_comment(self, data):
        self.found.append(("comment", {}))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def piece(name, *arguments):
    """Fills one of the pieces that pages share."""
    return str(getattr(templates().get_template("pieces.html").module, name)(*arguments))


class Model:
    """Shows test images of all classes but 3 and 7; what it can do besides is easily checked."""

    device = torch.device("cpu")
    hparams = {"dropout": 0.3}

    def __init__(self, data):
        images = data.images("test")
        kept = torch.tensor([int(k) not in (3, 7) for k in images.labels]).nonzero().flatten()
        self.spec, self.pool = data.spec, images.fetch(kept).float() / 255

    def sample(self, n, *, seed=None):
        order = torch.randperm(len(self.pool), generator=torch.Generator().manual_seed(seed))
        return self.pool[order.repeat(-(-n // len(order)))[:n]]

    def reconstruct(self, x):
        return x.flip(3)

    def codes(self):
        return tuple(f"u{number}" for number in range(8))

    def traverse(self, code, *, rows=8, steps=10, seed=0):
        return torch.rand(rows, steps, *self.spec.shape)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def case():
    data = DATASETS["Digits"]()
    features = features_for(data)
    task = Task(Model(data), data, features=features, memory={})
    subject = Subject("<b>odd</b>", task.model, None, "ab" * 32, None, Path())
    scores = [score.as_dict() for score in evaluate(task)[0]]
    return open_case(subject, task, "quick", scores)


@pytest.fixture(scope="module")
def found(case):
    return Page(page(case))


def test_the_page_needs_no_network(case, found):
    sources = [img["src"] for img in found.all("img")]
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not found.all("script") and not found.all("link")
    markup = page(case)
    assert "http://" not in markup and "https://" not in markup and "url(" not in markup


def test_every_picture_has_words(found):
    assert all(len(img["alt"]) > 10 for img in found.all("img"))


def test_names_cannot_become_markup(found):
    assert "<b>odd</b>" in found.text and not found.all("b")


HOSTILE = "\"><script>alert(1)</script><!-- ``` ' {{ 7 * 7 }} {% raw %}"


def test_no_text_from_outside_becomes_markup(case, tmp_path):
    """Names, units, reasons, codes, warnings and curves stand there as they are, as text."""

    class Odd(Model):
        def codes(self):
            return tuple(f"{number} {HOSTILE}" for number in range(7))

        def interpolate(self, *, rows=8, steps=10, seed=0):
            return torch.rand(rows, steps, *self.spec.shape)

    figure = {"name": f"own[{HOSTILE}]", "value": 1.0, "unit": HOSTILE, "better": HOSTILE}
    reason = {**figure, "name": HOSTILE, "value": None, "details": {"status": HOSTILE}}
    folder = tmp_path / "name" / "now"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text('step,"' + HOSTILE.replace('"', '""') + '"\n1,2.0\n')
    (folder / "health.json").write_text(json.dumps({"x": {"text": f"a {HOSTILE} Try: {HOSTILE}"}}))
    task = Task(Odd(case.task.data), case.task.data)
    run = SimpleNamespace(path=folder, metrics=folder / "metrics.csv")
    subject = Subject("x", task.model, None, HOSTILE, run, Path())
    odd = Page(page(open_case(subject, task, HOSTILE, [figure, reason])))
    tags = {tag for tag, _ in odd.found}
    assert not {"script", "comment"} & tags and "49" not in odd.text
    assert odd.text.count(HOSTILE) >= 12
    assert not any(name.startswith("on") for _, found in odd.found for name in found)


def test_the_page_adapts_to_night_and_to_phones(case):
    markup = page(case)
    assert "prefers-color-scheme: dark" in markup and "width=device-width" in markup


def test_sections_fit_the_model(found):
    for title in ("Samples beside data", "Scores", "Classes", "Real images covered worst",
                  "Most spurious samples", "Nearest training images", "Traversals",
                  "Reconstructions"):  # fmt: skip
        assert title in found.text
    for title in ("Training ", "Walks between samples"):  # no run, and it does not interpolate
        assert title not in found.text


def test_the_lost_classes_lead(found):
    assert "classes 3 and 7 are missing" in found.text
    assert found.text.count("missing") >= 3  # in the verdict and in the rows of the table


def test_the_worst_covered_are_of_the_lost_classes(case):
    order = case.coverage.values.argsort()
    labels = case.real.labels[order]
    lost = torch.isin(labels, torch.tensor([3, 7]))
    assert lost[:40].float().mean() > 0.9 and lost[-100:].float().mean() < 0.1
    assert float(case.coverage.values.mean()) == pytest.approx(1)


def test_the_most_spurious_are_the_strangers(case):
    """Noise among real images gets the lowest weights of all."""
    task = case.task
    noise = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    real = task.data.images("test").fetch(torch.arange(350)).float() / 255

    class Strange(Model):
        def sample(self, n, *, seed=None):
            return torch.cat([noise, real])[:n]

    strange = Strange(task.data)
    mixed = Task(strange, task.data, features=task.features, memory={})
    weights = open_case(case.subject, mixed, "quick", []).credibility.values
    assert set(weights.argsort()[:10].tolist()) == set(range(10))


def test_real_images_in_the_place_of_samples_are_the_yardstick(case):
    assert 0.8 < case.reference["precision"] <= 1
    assert case.reference["fid"] > 0


def test_the_judges_work_is_not_done_twice(case):
    assert case.fake is case.task.memory["samples", case.task.limit]


def test_only_few_codes_are_traversed_and_the_others_named(found):
    assert "Not shown: u6, u7." in found.text


def test_without_features_the_page_shows_what_it_can(case):
    task = Task(case.model, case.task.data)
    bare = Page(page(open_case(case.subject, task, "quick", [])))
    assert "no feature network" in bare.text and "Nothing could be scored" in bare.text
    assert "Samples beside data" in bare.text and "Reconstructions" in bare.text
    assert "Classes" not in bare.text and "Most spurious" not in bare.text


def test_scores_are_explained(case):
    assert all(meaning(score["name"]) for score in case.scores)
    assert meaning("something_new[x]") == ""


# ------------------------------------------------------------------------- pieces


def test_pictures_keep_their_colours():
    colours, grey = torch.rand(3, 40, 40), torch.rand(1, 40, 40).expand(3, -1, -1)
    assert drawn(torch.rand(3, 5, 7), "x")[1:3] == (7, 5)
    assert len(drawn(grey, "x").source) < len(drawn(colours, "x").source)
    tag = piece("figure", drawn(torch.zeros(3, 2, 2), 'an "odd" <alt>', "<one>\ntwo"))
    assert Page(tag).all("img")[0]["alt"] == 'an "odd" <alt>'
    assert Page(tag).text == "<one> two" and "<br>" in tag


def test_bars_are_cut_at_their_ends():
    assert "width:0.0%" in piece("bar", bar(-1.0, 2.0))
    assert "width:100.0%" in piece("bar", bar(5.0, 2.0)) and "<i" not in piece("bar", bar(5.0, 2.0))
    assert "left:50.0%" in piece("bar", bar(1.0, 2.0, mark=1.0))


def test_tables_scroll_in_a_box():
    row = ScoreText("a b", "<x>", "1", "2", "", "", "")
    markup = piece("score_table", [row], "Beside")
    assert '<div class="box" tabindex="0">' in markup
    assert '<th scope="row">a b<code>&lt;x&gt;</code></th><td class="number">1</td>' in markup
    assert "Beside" in markup and "Beside" not in piece("score_table", [row])


def test_curves_are_read_and_drawn(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,epoch,b,a\n1,0,2.0,\n2,0,1.0,\n3,1,nan,5.0\n")
    curves = read_curves(file)
    assert curves == {"a": [(3, 5.0)], "b": [(1, 2.0), (2, 1.0)]}
    for name, curve in curves.items():
        assert Page(piece("curve", draw_curve(name, curve))).all("svg")[0]["role"] == "img"
    y = [float(p["cy"]) for p in Page(piece("curve", draw_curve("b", curves["b"]))).all("circle")]
    assert y[0] < y[1]  # downwards is downwards


def test_long_curves_are_thinned_to_their_end():
    markup = piece("curve", draw_curve("x", [(step, float(step)) for step in range(10_001)]))
    points = Page(markup).all("polyline")[0]["points"].split()
    assert len(points) <= 402 and points[-1].startswith("312.0,")
    assert "10000" in markup


@pytest.mark.parametrize("content", [None, "", "no,table\n1,2\n", "step,x\nfirst,2\n"])
def test_unreadable_curves_are_none(tmp_path, content):
    file = tmp_path / "metrics.csv"
    if content is not None:
        file.write_text(content)
    assert read_curves(file) == {}
