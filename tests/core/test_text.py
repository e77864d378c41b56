"""Nothing from outside reaches the terminal raw: one line, short, letters only."""

import ast
import io
from pathlib import Path

import pytest
from rich.console import Console

from zoo.core.errors import UserError, check_choice, did_you_mean, exit_on_user_error
from zoo.core.tables import PlainTable
from zoo.core.text import clean, message, print_line, quoted

ZOO = Path(__file__).resolve().parents[2] / "zoo"
HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title of the window": "\x1b]0;owned\x07",
    "one byte that begins an escape": "\x9b2J",
    "cleared line": "good\r\x1b[2Kbad",
    "second message": "x\nzoo.verify: all figures hold",
    "line separator": "x\u2028zoo: fine",
    "back spaces": "bad\b\b\bgood",
    "null": "a\0b",
    "writing turned round": "\u202egnp.exe",
    "unseen": "pay\u200bpal",
    "half a character": "a\ud800b",
    "file name that is no UTF-8": b"caf\xe9".decode("utf-8", "surrogateescape"),
    "megabytes": "x" * 3_000_000,
    "megabytes of lines": "x\n" * 1_000_000,
    "markup": "[bold red]loud[/bold red] [link=http://x]y[/link]",
}


def harmless(text):
    return text.isprintable() and text == text.encode().decode()


@pytest.mark.parametrize("case", HOSTILE)
def test_text_from_outside_becomes_one_short_line(case):
    for made in (clean(HOSTILE[case]), quoted(HOSTILE[case])):
        assert harmless(made) and 0 < len(made) <= 102
    assert harmless(message(HOSTILE[case])) and len(message(HOSTILE[case])) <= 1500


@pytest.mark.parametrize("text", ["fid[digits,360]", "Größe 3 µm", "図", "a 'b' \"c\" `d`", ""])
def test_honest_text_stays_as_it_is(text):
    assert clean(text) == text


def test_values_are_shown_as_a_recipe_writes_them():
    shown = [quoted(v) for v in (None, True, 3, 2.5, "x", [1, "a"], {"k": 1})]
    assert shown == ["null", "true", "3", "2.5", "'x'", "[1, 'a']", "{'k': 1}"]
    assert len(quoted(10**5000)) < 60 and len(quoted([1] * 10**5)) <= 100


@pytest.mark.parametrize("case", HOSTILE)
def test_no_message_of_a_command_shows_it_raw(case, capsys):
    def wrong():
        raise UserError(f"there is no {HOSTILE[case]} here.")

    assert exit_on_user_error("zoo.x", wrong) == 2
    said = capsys.readouterr().err
    assert harmless(said[:-1]) and said.endswith("\n") and len(said) <= 1501
    assert said.startswith("zoo.x: there is no") and said.endswith("here.\n")


@pytest.mark.parametrize("case", HOSTILE)
def test_choices_and_wrong_names_are_shown_clean(case):
    text = HOSTILE[case]
    assert harmless(did_you_mean("x", [text, "other"]))
    assert len(did_you_mean(text, [text, "other"])) < 400
    with pytest.raises(UserError) as refused:
        check_choice("folder", text, ["other"])
    assert harmless(str(refused.value)) and len(str(refused.value)) < 400


@pytest.mark.parametrize("case", HOSTILE)
def test_a_table_shows_it_clean_and_reads_no_markup(case):
    text = HOSTILE[case]
    table = PlainTable(text, "name", text, caption="below")
    table.add_row(text, "x")
    for terminal in (True, False):
        screen = io.StringIO()
        Console(file=screen, width=4000, force_terminal=terminal, no_color=True).print(table)
        drawn = screen.getvalue()
        assert "\x1b]" not in drawn and "\x9b" not in drawn and "\x1b[2K" not in drawn
        assert drawn.count("\n") <= 4 and len(drawn) < 20_000
        if case == "markup" and not terminal:
            assert drawn.count("[bold red]loud[/bold red]") == 3


# ------------------------------------------------------------------------- nothing goes past it

# Files that may print on stderr themselves, and why.
ALLOWED = {
    "core/text.py": "it is where everything passes",
    "core/processes.py": "numbers and names of signals",
    "training/callbacks/checkpoints.py": "a constant",
    "fit.py": "two lines, with the folder of the run at hand, whose name was checked",
}


# Files that may print output themselves, and why.
OUTPUT = {
    "core/text.py": "it is where everything passes",
    "fit.py": "help, of the zoo's own words and a recipe that was checked",
    "list.py": "a table whose cells were cleaned, and JSON, which escapes",
    "compare.py": "a table whose cells were cleaned",
    "faults.py": "a table whose cells were cleaned",
    "__main__.py": "names of the commands, and the version",
}


def calls():
    for path in sorted(ZOO.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(ZOO).as_posix(), node


def test_every_message_passes_the_one_place():
    for path, call in calls():
        if ast.unparse(call.func) in ("print", "sys.stderr.write"):
            to_stderr = "stderr" in ast.unparse(call)
            assert not to_stderr or path in ALLOWED, f"{path}:{call.lineno} prints without `say`"


def test_every_line_of_output_passes_the_one_place():
    for path, call in calls():
        if ast.unparse(call.func) == "print" and "stderr" not in ast.unparse(call):
            assert path in OUTPUT, f"{path}:{call.lineno} prints without `print_line`"


@pytest.mark.parametrize("case", HOSTILE)
def test_no_line_of_output_shows_it_raw(case, capsys):
    print_line(f"  pictures  {HOSTILE[case]}")
    said = capsys.readouterr().out
    assert said.startswith("  pictures  ") and said.endswith("\n")
    assert harmless(said[:-1]) and len(said) <= 5103


def test_a_path_stays_whole_on_its_line(capsys):
    path = "/home/a b/" + "x" * 3000 + "/Größe 3 µm.png"
    print_line(path)
    assert capsys.readouterr().out == f"{path}\n"


def test_every_table_passes_the_one_place():
    for path in sorted(ZOO.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name != "tables.py":
            assert "rich.table" not in text, f"{path} draws tables without `PlainTable`"
