"""Hostile values, and ways to spoil trees of plain values, bytes and files with them.

All chance comes from a `random.Random` that is handed in, so that a try can be repeated.
"""

import copy
import json
import os
import random
import shutil

EVIL = "evil_module.Evil"  # a class whose module leaves a mark when it is imported
LONG = 3 * 10**6  # characters that nobody wants to read on a screen

NUMBERS = (
    0, -1, 1, 2, 3, 7, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**9, 10**12, -(10**12), 10**400,
    0.5, 1.5, -0.0, 1e-320, 1e30, 1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TEXTS = (
    "", " ", "x", "10", "1e3", "0x10", "-1", "nan", "true", "null", "~", "None", "auto", "last",
    "\u0663\u0664", "\uff15", "x" * 300, "\u00e4" * 200, "\x1b[2J\x1b[31mred",
    "a\nzoo: all is well", "a\rb", "a\tb", "a\0b", "\x7f", "\u202eabc",
    "\u200b", "\u2028", "\ud800", "```\n# x\n```",
    "`x`", "| a | b |", "<script>alert(1)</script>", "<!-- end -->", "'", '"', "\\", "{", "}", "[",
    "]", "{}", "%s%n", "${HOME}", "$(id)", ":", "- a", "#", "&a", "*a", "!!x", "@", "../../x",
    "/nowhere/x", "..", ".", "a/b", "~/x", "file:///etc/passwd", "https://[::1", "http://host/x",
    "hf://a", "hf://a/b@../x", "https://host/card.json#sha256=" + "0" * 64, "--", "-", "--help",
    EVIL, "os.system", "builtins.eval", "zoo.core.files.write_text", "lightning.pytorch.Trainer",
    "EarlyStopping", "VAE", "Digits", "ImageFolder", "InfoGAN", "zoo.models.VAE", "cpu", "cuda",
    "meta", "\U0001f600", "e\u0301" * 50, "0" * 64, "\u0660" * 64, "A" * 64,
)  # fmt: skip


def deep(levels, last=None):
    found = last
    for level in range(levels):
        found = [found] if level % 2 else {"a": found}
    return found


def value(rng):
    """Draws a value of any type."""
    kind = rng.randrange(12)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind < 8:
        return rng.choice(TEXTS)
    if kind == 8:
        return rng.choice((None, True, False))
    if kind == 9:
        inside = rng.choice(TEXTS + NUMBERS)
        return rng.choice(([], [[]], {}, {"a": 1}, [inside], {"x": inside}, [inside] * 3, [1, 2]))
    if kind == 10:
        path = rng.choice((EVIL, "VAE", "os.system", "zoo.models.VAE", "EarlyStopping", 5, None))
        return {"class_path": path, "init_args": rng.choice(({}, None, {"x": 1}, [1], "x"))}
    return rng.choice(
        (lambda: "x" * LONG, lambda: deep(30), lambda: deep(200), lambda: [0] * 5000,
         lambda: {f"k{i}": i for i in range(3000)}, lambda: {"\x1b[2J": 1}, lambda: {"": None})
    )()  # fmt: skip


# ------------------------------------------------------------------------- trees of plain values


def nodes(tree, path=()):
    """Yields the path of every node below the root."""
    inner = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in inner:
        yield (*path, key)
        yield from nodes(tree[key], (*path, key))


def inside(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def _node(rng, tree):
    """Draws a node: first how deep, so that the many leaves do not hide the few branches."""
    found = list(nodes(tree))
    depth = rng.choice(sorted({len(path) for path in found}))
    return rng.choice([path for path in found if len(path) == depth])


def spoil(rng, tree, new=value):
    """Returns a tree with one to three nodes replaced, deleted, doubled, swapped or renamed."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        if not tree:
            break
        *path, key = _node(rng, tree)
        home = inside(tree, path)
        act = rng.randrange(10)
        if act < 6:
            home[key] = new(rng)
        elif act == 6:
            del home[key]
        elif act == 7:
            if isinstance(home, dict):
                home[rng.choice(TEXTS)] = rng.choice((home.pop(key), new(rng)))
            else:
                home.extend(home[:1] * rng.choice((1, 2, 500)))
        elif act == 8:
            other = inside(tree, _node(rng, tree))
            home[key] = copy.deepcopy(other)  # a value that belongs elsewhere
        else:
            home[key] = rng.choice(([home[key]], {"x": home[key]}, [home[key]] * 2))
    return tree if rng.random() > 0.02 else new(rng)


# ------------------------------------------------------------------------- text and bytes


def spoil_bytes(rng, content):
    """Flips, cuts, doubles or replaces bytes."""
    content = bytearray(content)
    act = rng.randrange(8)
    place = rng.randrange(len(content) + 1)
    if act < 3:
        for _ in range(rng.choice((1, 1, 5, 100))):
            if content:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif act == 3:
        del content[place:]
    elif act == 4:
        del content[place : place + rng.choice((1, 8, 1000))]
    elif act == 5:
        content[place:place] = rng.randbytes(rng.choice((1, 8, 1000)))
    elif act == 6:
        content[place:place] = content[: rng.choice((1, 64, 5000))]
    else:
        return rng.choice(
            (b"", b"\0" * 64, b"\xff\xfe", b"\xef\xbb\xbf" + bytes(content), b"[" * 10**5, b"null",
             b"{" * 10**5, b'{"a":' * 10**4, bytes(content).decode("latin-1").encode("utf-16"),
             b"\x80\x04.", b"PK\x03\x04", b"\x1f\x8b\x08", rng.randbytes(500), bytes(content) * 2)
        )  # fmt: skip
    return bytes(content)


def json_of(rng, tree):
    """Writes a tree as JSON; now and then with a key given twice, or with damaged bytes."""
    text = json.dumps(tree)
    if rng.random() < 0.08 and text.startswith("{"):
        key = rng.choice([*tree] or ["a"])
        text = f"{{{json.dumps(key)}: {json.dumps(value(rng))}, {text[1:]}"
    content = text.encode()
    return spoil_bytes(rng, content) if rng.random() < 0.12 else content


# ------------------------------------------------------------------------- files


def replace_file(rng, path, places):
    """Puts something else in the place of a file: a link, a pipe, a folder, a huge or empty file.

    Returns:
        What it was, in a word.
    """
    kind = rng.choice(
        ("zero", "null", "loop", "dangling", "folder link", "elsewhere", "pipe", "folder", "huge",
         "empty", "missing", "tty")
    )  # fmt: skip
    path.unlink()
    if kind in ("zero", "null", "tty"):
        path.symlink_to(f"/dev/{kind}")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(path.parent / "nowhere")
    elif kind == "folder link":
        path.symlink_to(path.parent)
    elif kind == "elsewhere":
        path.symlink_to(rng.choice(places))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(10**11)  # of holes: it takes no room
    elif kind == "empty":
        path.touch()
    return kind


def remove(path):
    """Removes whatever stands there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def chance(seed, kind, number):
    """Returns the chance of one try, which depends on nothing but its name."""
    return random.Random(f"{seed}/{kind}/{number}")
