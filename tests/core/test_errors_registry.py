"""What is said when something is wrong, and names that can be taken once."""

import argparse
import errno
import os
import sys

import pytest

from zoo.core.arguments import Parser, in_a_sentence
from zoo.core.errors import (
    UserError,
    check_counts,
    check_interval,
    did_you_mean,
    exit_on_user_error,
    user_error_in,
)
from zoo.core.registry import Registry


@pytest.mark.parametrize(
    ("wrong", "choices", "said"),
    [
        ("InfoGen", ["InfoGAN", "VAE"], "Did you mean InfoGAN? Choices: InfoGAN, VAE."),
        ("infogan", ["InfoGAN", "VAE"], "Did you mean InfoGAN? Choices: InfoGAN, VAE."),
        ("max_ep", ["max_steps", "max_epochs"], "Did you mean max_epochs?"),
        ("xyz", ["a", "b"], "Choices: a, b."),
        ("", ["a"], "Choices: a."),
        ("a", [], "Choices: none."),
        (
            "option7",
            [f"option{i}" for i in range(10, 90)],
            "Did you mean option70, option71, option72, option73, option74, option75, option76, "
            "option77, option78 or option79?",
        ),
        (
            "vae",
            ["vae_mnist", "beta_vae", "gan", *(f"o{i}" for i in range(20))],
            "Did you mean vae_mnist or beta_vae?",
        ),
        ("zzz", [f"o{i}" for i in range(40)], "Choices: o0, o1, "),
        (
            "zzz",
            [f"option{i}" for i in range(10, 90)],
            "There are 80 others, from option10 to option89.",
        ),
    ],
)
def test_the_nearest_choice_is_named(wrong, choices, said):
    assert did_you_mean(wrong, choices).startswith(said)


@pytest.mark.parametrize(
    ("value", "interval"),
    [
        (0, "[0, 1)"),
        (0.99, "[0, 1)"),
        (1, "[0, 1]"),
        (5, "[5, inf)"),
        (1e9, "(0, inf)"),
        ((0.5, 0.9), "[0, 1)"),
        ([], "[0, 1)"),
    ],
)
def test_numbers_inside_an_interval_pass(value, interval):
    check_interval("--x", value, interval)


@pytest.mark.parametrize(
    ("value", "interval", "said"),
    [
        (1, "[0, 1)", "--x must lie in [0, 1), got 1."),
        ((0.5, 1.5), "[0, 1)", "--x must lie in [0, 1), got 1.5."),
        (0, "(0, inf)", "--x must be greater than 0, got 0."),
        (-1, "[0, inf)", "--x must be at least 0, got -1."),
        (float("nan"), "[0, inf)", "--x must be at least 0, got nan."),
        (float("inf"), "[0, inf)", "--x must be finite, got inf."),
    ],
)
def test_numbers_outside_an_interval_are_refused(value, interval, said):
    with pytest.raises(UserError) as refused:
        check_interval("--x", value, interval)
    assert str(refused.value) == said


def test_counts_are_refused_by_their_names():
    check_counts(rows=1, steps=3)
    with pytest.raises(UserError, match="steps must be at least 1, got 0"):
        check_counts(rows=1, steps=0)


def test_a_wrong_request_is_found_behind_what_a_library_made_of_it():
    try:
        try:
            raise UserError("mine")
        except UserError as error:
            raise ValueError("a report of three pages") from error
    except ValueError as error:
        assert str(user_error_in(error)) == "mine"
    assert user_error_in(ValueError("theirs")) is None and user_error_in(None) is None


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("no."), 2, "zoo.x: no.\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "metrics.csv"), 2,
            "zoo.x: No space left on device while writing metrics.csv. Make room and try again.\n",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 2,
            f"zoo.x: '{'x' * 47} ... {'x' * 47}' cannot be used: File name too long.\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "theirs"), 2,
            "zoo.x: 'theirs' cannot be used: Permission denied.\n",
        ),
        (KeyboardInterrupt(), 130, "zoo.x: stopped.\n"),
    ],
)  # fmt: skip
def test_wrong_requests_end_in_a_message_and_a_code(error, code, said, capsys):
    assert exit_on_user_error("zoo.x", raising(error)) == code
    out, err = capsys.readouterr()
    assert err == said and out == ""


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.EIO, "x"), KeyError("x")])
def test_defects_keep_their_traceback(error):
    with pytest.raises(type(error)):
        exit_on_user_error("zoo.x", raising(error))


def test_exit_codes_pass_through():
    assert exit_on_user_error("zoo.x", lambda: None) == 0
    assert exit_on_user_error("zoo.x", lambda: 1) == 1


def test_a_reader_who_left_is_no_failure(capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        pipe.write("x")
        with pytest.raises(BrokenPipeError):
            pipe.flush()
        out = sys.stdout.fileno()  # where the capture of tests reads, not 1
        kept = os.dup(out)
        try:
            assert exit_on_user_error("zoo.x", raising(BrokenPipeError())) == 0
        finally:
            os.dup2(kept, out)
            os.close(kept)
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), pipe.fileno()
        )  # what is buffered must go somewhere


# ------------------------------------------------------------------------- command lines


def parser():
    made = Parser("zoo.x")
    made.add_argument("--count", type=int)
    made.add_argument("--name", choices=["a", "b"])
    return made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cuont", "3"], "unknown option --cuont. Did you mean --count?"),
        (["--coun", "3"], "unknown option --coun. Did you mean --count?"),
        (["--count=x"], "--count must be a whole number, got 'x'."),
        (["--count"], "--count: expected one argument."),
        (["--name", "c"], "--name: invalid choice: 'c'"),
        (["x"], "unexpected argument 'x'"),
    ],
)
def test_a_command_line_complains_in_a_sentence(arguments, said, capsys):
    with pytest.raises(UserError) as refused:
        parser().read(arguments)
    assert str(refused.value).startswith(said) and "\n" not in str(refused.value)
    assert capsys.readouterr().err == ""


def test_a_command_line_is_read():
    assert parser().read(["--count", "3"]) == argparse.Namespace(count=3, name=None)


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (
            "Parser key \"a.b\":\n  Expected a <class 'int'>. Got value: x",
            "--a.b must be a whole number, got 'x'.",
        ),
        (
            'Parser key "a":\n  Does not validate against any of the Union subtypes\n'
            "  Subtypes: [...]\n"
            "  Errors:\n    - Expected a <class 'int'>\n    - Expected a <class 'NoneType'>\n"
            "  Given value type: <class 'str'>\n  Given value: many",
            "--a must be a whole number, got 'many'.",
        ),
        (
            "Parser key \"a\":\n  Expected a typing.Literal['x', 'y']. Got value: z",
            "--a must be one of x, y, got 'z'.",
        ),
        (
            'Parser key "betas":\n  Expected a tuple with 2 elements. Got value: [0.5]',
            "--betas must be a list of 2, got [0.5].",
        ),
        (
            'Parser key "a":\n  Subtypes: [list[Callback], Callback]\n  Errors:\n'
            "    - Expected a <class 'list'>\n    - Expected a dot import path string: Evil\n"
            "  Given value: Evil",
            "--a: there is no class 'Evil'.",
        ),
        (
            "Parser key \"a\":\n  Errors:\n    - Expected a <class 'list'>\n"
            "    - Problem with given class_path 'x.Y':\n        module 'x' has no attribute 'Y'\n"
            "    - Not a valid subclass of Callback\n      - a class path (str)\n"
            "  Given value: x.Y",
            "--a: Problem with given class_path 'x.Y': module 'x' has no attribute 'Y'.",
        ),
        ("something new\n  - and more", "something new and more."),
        (
            "Parser key \"a\":\n Importing 'evil.Evil' is not allowed, denied by the '*' entry",
            "--a: the class 'evil.Evil' is refused: a recipe may only name classes of the zoo and "
            "of Lightning.",
        ),
    ],
)
def test_a_report_of_the_recipes_parser_is_retold(report, said):
    assert in_a_sentence(report) == said


def test_an_inner_sentence_gets_its_whole_key():
    inner = UserError("--width must be a whole number, got 'x'.")
    outer = ValueError("three pages")
    outer.__cause__ = inner
    said = in_a_sentence('Parser key "model":\n  Does not validate', outer)
    assert said == "--model.width must be a whole number, got 'x'."
    inner = UserError("Option 'monitr' is not accepted.")
    said = in_a_sentence('Parser key "trainer.callbacks":\n ...', inner)
    assert said == "--trainer.callbacks: Option 'monitr' is not accepted."
    assert in_a_sentence("report", UserError("my own words")) == "my own words"


# ------------------------------------------------------------------------- names


def test_a_registry_is_an_ordered_mapping():
    animals = Registry("animal")

    @animals.register
    class Okapi: ...

    @animals.register_as("cat")
    class Felis: ...

    assert dict(animals) == {"Okapi": Okapi, "cat": Felis}
    assert "cat" in animals and "dog" not in animals and len(animals) == 2
    assert animals.get("cat") is Felis and animals.get("dog") is None and animals.get("dog", 3) == 3


def test_a_name_can_be_taken_once():
    animals = Registry("animal")
    animals.register_as("cat")(object())
    with pytest.raises(ValueError, match="animal 'cat' is registered twice"):
        animals.register_as("cat")(object())


def test_an_unknown_name_is_answered_with_the_nearest():
    animals = Registry("animal")
    animals.register_as("cat")(object())
    with pytest.raises(UserError, match=r"unknown animal 'cart'\. Did you mean cat\?"):
        animals["cart"]
