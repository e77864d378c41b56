"""The gallery: whole, self-contained, safe against odd cards, and never half written."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import zoo.gallery
import zoo.list
from zoo.core.figures import shown, split_name
from zoo.judge.catalogue import meaning
from zoo.shelf import find
from zoo.show.gallery import exhibits, markdown, site, written_contents
from zoo.show.gallery.table import BEGIN, END
from zoo.show.markup import linked

ERROR = "code_error[one-to-one,train->test]"
VOID = {"meta", "img", "br", "input"}


class Page(HTMLParser):
    """Reads a page strictly: tags nest; keeps tags with their attributes, and the words."""

    def __init__(self, path):
        super().__init__()
        self.open, self.found, self.words = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_comment(self, data):
        self.found.append(("comment", {}))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, attribute):
        return [found[attribute] for _, found in self.found if attribute in found]


@pytest.fixture
def build(shelf, tmp_path, monkeypatch):
    """Runs the command on the small shelf; returns its exit code."""
    monkeypatch.setenv("ZOO_SHELF", str(shelf))

    def build(*arguments, out=tmp_path / "gallery"):
        return zoo.gallery.main([*map(str, arguments), *(["--out", str(out)] if out else [])])

    return build


@pytest.fixture
def gallery(build, tmp_path):
    assert build() == 0
    return tmp_path / "gallery"


def snapshot(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------------- what it shows


def test_every_model_has_a_card_and_a_page(gallery):
    index = Page(gallery / "index.html")
    for name in ("codes", "cloud", "eyes"):
        assert f"models/{name}.html" in index.all("href") and name in index.text
        assert name in Page(gallery / "models" / f"{name}.html").text
    assert "3.62 % paper 5 %" in index.text
    assert "23 modes paper 23.8 \N{PLUS-MINUS SIGN} 0.7 modes" in index.text
    assert "pictures/eyes/plate.png" not in index.all("src")


def test_the_index_can_be_searched_and_filtered(gallery):
    index = Page(gallery / "index.html")
    assert {"words", "family", "data", "can"} == set(index.all("name")) - {"viewport", "generator"}
    cards = [found for tag, found in index.found if tag == "a" and found.get("class") == "card"]
    assert {card["data-data"] for card in cards} == {"MNIST", "GaussianGrid", "Digits"}
    for choice in ("InfoGAN", "GaussianGrid", "interpolate"):
        assert f"<option>{choice}</option>" in (gallery / "index.html").read_text()
    assert "2.55 M numbers" not in index.text and " kB" in index.text  # sizes are their own


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(BROWSER is None, reason="no browser")
@pytest.mark.parametrize(("asked", "left"), [
    ("", {"codes", "cloud", "eyes"}), ("words=info", {"codes"}), ("words=grid%20modes", {"cloud"}),
    ("data=Digits", {"eyes"}), ("can=sample", {"codes", "cloud"}), ("family=GAN", {"cloud"}),
    ("can=sample&data=Digits", set()),
])  # fmt: skip
def test_a_choice_leaves_the_cards_that_fit(gallery, asked, left):
    line = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    page = f"file://{gallery / 'index.html'}?{asked}"
    seen = subprocess.run([*line, page], capture_output=True, text=True, timeout=100, check=True)
    cards = re.findall(r'<a class="card" href="models/(\w+)\.html"([^>]*)>', seen.stdout)
    assert {name for name, rest in cards if "hidden" not in rest} == left
    number = "1 model" if len(left) == 1 else f"{len(left)} models"
    assert f'<output class="soft">{number}</output>' in seen.stdout
    families = re.findall(r'<section class="family" id="\w+"([^>]*)>', seen.stdout)
    assert sum("hidden" not in rest for rest in families) == len(left)


def test_every_figure_of_a_card_stands_on_its_page_with_its_protocol(gallery, shelf):
    for exhibit in exhibits(shelf):
        words = Page(gallery / "models" / f"{exhibit.name}.html").text
        for score in exhibit.scores:
            short, protocol = split_name(score["name"])
            assert short.replace("_", " ") in words and protocol.rstrip("]") in words
            assert shown(score) in words and meaning(score["name"]) in words


def test_a_page_shows_recipe_paper_deviations_and_commands(gallery):
    words = Page(gallery / "models" / "codes.html").text
    for said in (
        "class_path: InfoGAN", "Section 7.2 and Figure 2", "Deviations. See the head",
        "uses an exponential moving average of the generator", "Several devices.",
        'zoo.load("codes")', "python -m zoo.verify codes", "zoo.sample codes --traverse",
        "python -m zoo.fit recipes/infogan_mnist.yaml", "1,317 s, 1 thread",
    ):  # fmt: skip
        assert said in words, said
    eyes = Page(gallery / "models" / "eyes.html").text
    assert "zoo.verify eyes" in eyes and "zoo.sample eyes" not in eyes


def test_seeds_stand_with_mean_and_spread(shelf, codes, score, build, tmp_path):
    runs = [{"seed": seed, "training_seconds": 9.0, "scores": {ERROR: value}}
            for seed, value in ((0, 0.03), (1, 0.05))]  # fmt: skip
    codes([score(ERROR, 0.03, "share")], seeds=runs)
    assert build() == 0
    words = Page(tmp_path / "gallery" / "models" / "codes.html").text
    assert f"{ERROR} 4 % 1.41 % 3 % 5 %" in words


def test_each_precision_has_a_mean_of_its_own(shelf, codes, score, build, tmp_path):
    runs = [{"seed": seed, "precision": f"{way} (as asked)", "scores": {ERROR: value},
             "training_seconds": 90.0, "processor_seconds": 9.0, "threads": 1}
            for way, values in (("32-true", (0.03, 0.05)), ("bf16-mixed", (0.07, 0.09)))
            for seed, value in enumerate(values)]  # fmt: skip
    codes([score(ERROR, 0.03, "share")], seeds=runs)
    assert build() == 0
    words = Page(tmp_path / "gallery" / "models" / "codes.html").text
    assert "Mean, 32-true Spread, 32-true Mean, bf16-mixed" in words
    assert "Seed 1, bf16-mixed" in words and "mean of 2 seeds in each of 2 precisions" in words
    assert f"{ERROR} 4 % 1.41 % 8 % 1.41 % 3 % 5 % 7 % 9 %" in words
    assert "9 s of processor time" in words and "90 s" not in words


def test_pictures_are_copied_whole_and_in_natural_order(gallery, shelf):
    sources = Page(gallery / "models" / "codes.html").all("src")
    stems = [Path(source).stem for source in sources]
    assert stems == ["samples", "traverse-z2", "traverse-z12"]
    for source in sources:
        copied = (gallery / "models" / source).resolve()
        assert copied.read_bytes() == (shelf / "codes" / copied.name).read_bytes()


def test_no_link_leads_nowhere_and_nothing_is_fetched_from_outside(gallery):
    pages = list(gallery.rglob("*.html"))
    assert len(pages) == 4
    for path in pages:
        page = Page(path)
        assert not {"link", "iframe"} & {tag for tag, _ in page.found}
        scripts = [attributes for tag, attributes in page.found if tag == "script"]
        assert scripts == ([{}] if path.name == "index.html" else [])  # that of the filters
        assert "url(" not in path.read_text() and "@import" not in path.read_text()
        for source in page.all("src"):
            assert (path.parent / source).is_file(), source
        for target in page.all("href"):
            inside = target.startswith("#") and target[1:] in page.all("id")
            paper = re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}", target)
            assert inside or paper or (path.parent / target).is_file(), target
        assert all(len(words) > 10 for words in page.all("alt"))


def test_pages_adapt_to_night_and_to_phones(gallery):
    for path in gallery.rglob("*.html"):
        markup = path.read_text()
        assert "prefers-color-scheme: dark" in markup and "width=device-width" in markup


def test_no_text_of_a_card_becomes_markup(evil, build, tmp_path):
    assert build() == 0
    for path in (tmp_path / "gallery").rglob("*.html"):
        page = Page(path)
        own = ("script", {}) if path.name == "index.html" else None  # that of the filters
        odd = [found for found in page.found if found[0] in ("script", "comment") and found != own]
        assert not odd
        assert not any("evil.example" in value for _, found in page.found
                       for value in found.values() if value)  # fmt: skip
    words = Page(tmp_path / "gallery" / "models" / "evil.html").text
    assert words.count('<script src="https://evil.example/x.js">') >= 12  # all of it, as text
    assert "```" in words and words.count(END) >= 2


def test_papers_are_links_and_nothing_else_is():
    assert linked('arXiv:1606.03657"><x') == (
        '<a href="https://arxiv.org/abs/1606.03657">arXiv:1606.03657</a>&quot;&gt;&lt;x'
    )
    assert linked("a `b` <c>") == "a <code>b</code> &lt;c&gt;"


# ------------------------------------------------------------------------- whole or not at all


def test_an_older_gallery_is_replaced_with_all_that_was_in_it(gallery, build, shelf):
    shutil.rmtree(shelf / "cloud")
    assert build() == 0
    assert not (gallery / "models" / "cloud.html").exists()
    assert not (gallery / "pictures" / "cloud").exists()
    assert [p.name for p in gallery.parent.glob(".*")] == []


@pytest.mark.parametrize("where", ["page", "_index"])
def test_a_failure_leaves_the_old_gallery_and_no_rubbish(gallery, build, monkeypatch, where):
    before = snapshot(gallery)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(site, where, fail)
    assert build() == 2
    assert snapshot(gallery) == before
    assert [p.name for p in gallery.parent.glob(".*")] == []


def test_a_kill_between_the_two_renamings_puts_the_old_one_back(gallery, build, monkeypatch):
    before, rename = snapshot(gallery), Path.rename

    def stop(path, target):
        if (
            path.name.startswith(".")
            and Path(target) == gallery
            and (path / "index.html").is_file()
        ):
            if not list(gallery.parent.glob(".gallery-*/stopped")):
                (path / "stopped").touch()
                raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stop)
    assert build() == 130
    assert snapshot(gallery) == before


@pytest.mark.parametrize("there", ["notes.txt", "index.html"])
def test_a_folder_of_somebody_else_is_left_alone(build, tmp_path, capsys, there):
    out = tmp_path / "mine"
    out.mkdir()
    (out / there).write_text("mine")
    assert build(out=out) == 2
    assert capsys.readouterr().err == (
        f"zoo.gallery: --out {out} holds {there!r}, which is not of a gallery; "
        "name another folder.\n"
    )
    assert snapshot(out) == {there: b"mine"}


def test_a_gallery_with_something_added_is_left_alone(gallery, build, capsys):
    (gallery / ".git").mkdir()
    assert build() == 2
    assert "holds '.git'" in capsys.readouterr().err and (gallery / ".git").is_dir()


def test_a_file_in_the_place_of_the_folder_is_left_alone(build, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert build(out=tmp_path / "file") == 2
    assert "is a file" in capsys.readouterr().err


def test_a_damaged_card_is_named_and_the_others_are_shown(build, shelf, tmp_path, capsys):
    (shelf / "codes" / "card.json").write_text("{}")
    assert build() == 0
    said = capsys.readouterr().err
    assert said.startswith("zoo.gallery: codes is unusable and left out: ") and "damaged" in said
    assert said.count("\n") == 1
    pages = {path.stem for path in (tmp_path / "gallery" / "models").iterdir()}
    assert "cloud" in pages and "codes" not in pages


def test_a_damaged_index_is_one_sentence(build, shelf, capsys):
    (shelf / "index.json").write_text("{}")
    assert build() == 2
    said = capsys.readouterr().err
    assert "there is no usable model" in said and "is not a readable index" in said
    assert said.count("\n") == 1


def test_an_empty_shelf_is_a_sentence(build, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ZOO_SHELF", str(tmp_path / "none"))
    assert build() == 2
    assert "there is no usable model on the shelf" in capsys.readouterr().err


def test_a_readme_does_not_forget_a_model_whose_card_is_damaged(build, shelf, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    (shelf / "codes" / "card.json").write_text("{}")
    assert build("--readme", readme, out=None) == 2
    assert "codes is damaged" in capsys.readouterr().err
    assert readme.read_text() == f"{BEGIN}\n{END}\n"


@pytest.mark.parametrize("more", [[], ["--readme", "README.md"]])
def test_a_shelf_on_the_web_has_no_gallery_and_is_not_asked(build, monkeypatch, capsys, more):
    def fetch(*_):
        raise AssertionError("nothing need be fetched to say so")

    monkeypatch.setattr(find, "download", fetch)
    monkeypatch.setenv("ZOO_SHELF", "https://host.invalid/shelf")
    assert build(*more) == 2
    said = capsys.readouterr().err
    assert "a shelf on the web does not say which there are: set ZOO_SHELF to a folder" in said
    assert "cannot be changed" not in said and "there is no model" not in said


# ------------------------------------------------------------------------- README and list


def test_readme_and_wall_are_brought_up_to_date(build, shelf, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    assert build("--readme", readme, out=None) == 0
    table = markdown(exhibits(shelf))
    assert readme.read_text() == f"# Title\n\n{BEGIN}\n{table}\n{END}\n\nafter\n"
    assert written_contents(shelf / "wall.png").split()[::2] == ["cloud", "codes"]
    assert capsys.readouterr().out.split() == [str(shelf / "wall.png"), str(readme)]
    assert not Path("gallery").exists()


def test_the_list_prints_the_same_table(build, shelf, capsys):
    assert zoo.list.main(["--markdown"]) == 0
    assert capsys.readouterr().out == markdown(exhibits(shelf)) + "\n"


@pytest.mark.parametrize("content", [None, b"no place\n", b"\xff\xfe"])
def test_a_readme_without_a_place_is_refused_and_nothing_changes(build, shelf, tmp_path, content):
    readme = tmp_path / "README.md"
    if content is not None:
        readme.write_bytes(content)
    assert build("--readme", readme, out=None) == 2
    assert not (shelf / "wall.png").exists()
    assert content is None or readme.read_bytes() == content
