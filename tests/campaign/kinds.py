"""Recipes, cards and indexes, spoilt, and what reads them.

A kind is a function of a sandbox and a `random.Random` that puts something spoilt into the
sandbox, and returns a `Try` of a command or a function that reads it.
"""

import hashlib
import importlib
import json

import yaml
from hostile import EVIL, json_of, replace_file, spoil, spoil_bytes
from sandbox import Enough, Try

import zoo.judge.subject
import zoo.shelf.find
import zoo.shelf.web
import zoo.show.comparison
import zoo.show.publishing
import zoo.training.run
from zoo import load
from zoo.core.errors import UserError, exit_on_user_error
from zoo.recipe.reading import read_recipe, recipe_folder
from zoo.training.callbacks import SeedEachBatch

# Of the tries that come so far; the others end where batches would begin.
TRAIN_FOR_REAL = {"command lines": 0.2}
SELDOM = 0.08  # for the other kinds
SMALL = {
    "width": 4, "hidden": 8, "features": 8, "latent_dim": 4, "noise_dim": 4, "depth": 1,
    "layers": 1, "blocks": 1, "channels": 4,
}  # fmt: skip


# ------------------------------------------------------------------------- commands


def command(verb, words, about, **more):
    """A try of a command in this process."""
    line = [str(word) for word in words]
    shown = " ".join(word if len(word) < 200 else f"{word[:60]}..." for word in line)
    main = importlib.import_module(f"zoo.{verb}" if verb else "zoo.__main__").main
    return Try(lambda: main(line), f"zoo.{verb} {shown}  [{about}]", **more)


def call(function, *arguments, about):
    """A try of a function of the zoo, whose errors are told as a command would."""

    def whole():
        function(*arguments)

    name = getattr(function, "__name__", "zoo")
    return Try(lambda: exit_on_user_error(f"zoo.{name}", whole), f"{name} {arguments}  [{about}]")


def stop_before_work(sandbox, kind, rng):
    """Ends a training where batches would begin, and gives canned figures instead of judging."""
    real = rng.random() < TRAIN_FOR_REAL.get(kind, SELDOM)
    train = zoo.training.run.train
    begin = SeedEachBatch.on_train_batch_start

    def first_batches(self, trainer, *rest):
        if trainer.fit_loop.total_batch_idx >= 3:
            raise Enough
        begin(self, trainer, *rest)

    def trained(*arguments):
        if not real:
            raise Enough
        return train(*arguments)

    card = sandbox.card("vae_digits")  # before it is spoilt

    def judged(subject, task, preset, *_, **__):
        return {**card["evaluations"]["quick"], "preset": preset}

    patched = [
        (SeedEachBatch, "on_train_batch_start", first_batches),
        (zoo.training.run, "train", trained),
        *((home, "judge", judged) for home in (
            zoo.judge.subject, zoo.show.comparison, zoo.show.publishing
        )),
    ]  # fmt: skip
    before = [(home, name, getattr(home, name)) for home, name, _ in patched]
    for home, name, new in patched:
        setattr(home, name, new)
    return lambda: [setattr(home, name, old) for home, name, old in before]


# ------------------------------------------------------------------------- recipes


def small_recipe(rng):
    """A real recipe on the embedded digits, with networks of a few numbers."""
    path = rng.choice(sorted(recipe_folder().glob("*_digits.yaml")))
    recipe = read_recipe(path)
    arguments = recipe["model"].setdefault("init_args", {})
    for name, number in arguments.items():
        if name in SMALL:
            arguments[name] = [SMALL[name]] * len(number) if isinstance(number, list) else (
                SMALL[name]
            )  # fmt: skip
    recipe["data"]["init_args"]["batch_size"] = 600
    recipe["trainer"].update(accelerator="cpu", max_epochs=1)
    recipe.update(evaluate=False, wandb="off")
    if rng.random() < 0.3:
        recipe["trainer"]["callbacks"] = [
            {"class_path": "EarlyStopping", "init_args": {"monitor": "val/elbo"}}
        ]
    return recipe


SNIPPETS = (
    "trainer: &t {callbacks: [*t]}\n",
    "trainer: &t {max_epochs: 1, x: *t}\n",
    "model: &m {class_path: VAE, init_args: *m}\n",
    "paper: &p [*p, *p]\n",
    "<<: *nobody\n",
    "<<: [1, 2]\n",
    "<<: {trainer: {max_epochs: 1}}\n",
    "? [a, b]\n: 1\n",
    "? {a: b}\n: 1\n",
    "--- \nmodel: VAE\n",
    "%YAML 9.9\n---\n",
    "model: !!python/object/apply:os.system ['touch {mark}']\n",
    "data: !!python/name:{evil}\n",
    "cost: !!python/object/new:{evil} []\n",
    "seed_everything: !!binary gA==\n",
    "seed_everything: 2001-01-01\n",
    "seed_everything: !!set {a, b}\n",
    "name: !!timestamp 2001-01-01\n",
    "name: !foo bar\n",
    "model: VAE\nmodel: VAE\n",
    "x: 'unfinished\n",
    'x: "\\x00\\u2028\\U0010ffff"\n',
    "\tx: 1\n",
    "x: |\n" + "  y\n" * 10**5,
    "x: " + "[" * 3000 + "\n",
    "x: " + "{a: " * 3000 + "\n",
    "- " * 5000 + "\n",
    "x: 0x" + "f" * 20000 + "\n",
    "x: " + "9" * 20000 + "\n",
    "x: 1e99999999\n",
    "x: 190:20:30\n",
    "plugin: {evil}\n",
    "? " * 3000 + "\n",
)


def bomb(key):
    lines = [f"{key}:", "  - &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"  - &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    return "\n".join(lines) + "\n"


def recipe_text(sandbox, rng, recipe):
    """Writes a recipe as YAML, most often with its tree spoilt, else its text or its bytes."""
    if rng.random() < 0.7:
        recipe = spoil(rng, recipe)
    try:
        text = yaml.safe_dump(recipe, sort_keys=False)
    except RecursionError:
        text = json.dumps(recipe)
    if rng.random() < 0.2:
        more = rng.choice((*SNIPPETS, bomb("trainer"), bomb("paper"), bomb("model")))
        more = more.replace("{evil}", EVIL).replace("{mark}", str(sandbox.mark))
        text = rng.choice((text + more, more + text, more))
    content = text.encode("utf-8", "surrogatepass")
    return spoil_bytes(rng, content) if rng.random() < 0.12 else content


def recipes(sandbox, rng):
    """Recipes, read and built as by `zoo.fit`, up to the first batch."""
    path = sandbox.given / "recipe.yaml"
    content = recipe_text(sandbox, rng, small_recipe(rng))
    path.write_bytes(content)
    about = content[:3000].decode("utf-8", "replace")
    if rng.random() < 0.04:
        about = replace_file(rng, path, [sandbox.shelf, sandbox.work / "image.png"])
    line = [path, "--run_root", sandbox.runs, *rng.choice(([], [], [], ["--print_config"]))]
    return command("fit", line, about)


# ------------------------------------------------------------------------- the shelf


def readers(sandbox, rng, name):
    """A command or function that reads a model of the shelf."""
    out = sandbox.out
    return rng.choice((
        lambda about: call(load, name, about=about),
        lambda about: call(load, name, about=about),
        lambda about: call(load, name, about=about),
        lambda about: command("sample", [name, "--n", 2, "--out", out / "x.png"], about),
        lambda about: command("list", [], about),
        lambda about: command("list", ["--markdown"], about),
        lambda about: command("evaluate", [name, "--json", out / "x.json"], about),
        lambda about: command("verify", [name], about, codes=(0, 1, 2)),
        lambda about: command("verify", ["--all"], about, codes=(0, 1, 2)),
        lambda about: command("gallery", ["--out", out / "site"], about),
        lambda about: command("compare", [name, "infogan_digits", "--out", out / "x.png"], about),
        lambda about: command(
            "fit", [sandbox.work / "small.yaml", "--run_root", sandbox.runs, "--from", name], about
        ),
    ))  # fmt: skip


def cards(sandbox, rng):
    """Cards with the index in agreement, as a bad publisher would have them."""
    name = rng.choice(("vae_digits", "vae_digits", "infogan_digits", "features_digits"))
    real = sandbox.card(name)
    content = json_of(rng, spoil(rng, real))
    sandbox.put_card(name, content)
    about = difference(real, content)
    if rng.random() < 0.04:
        about = replace_file(rng, sandbox.shelf / name / "card.json", [sandbox.work / "image.png"])
    return readers(sandbox, rng, name)(f"{name}: {about}")


def difference(real, content):
    """Shows what was changed in a card, for the report of a failure."""
    try:
        now = json.loads(content)
    except (ValueError, RecursionError):
        return repr(content[:200])
    if not isinstance(now, dict):
        return repr(now)[:200]
    told = []

    def compare(before, after, key):
        if isinstance(before, dict) and isinstance(after, dict):
            for name in {**before, **after}:
                compare(before.get(name, "NOTHING"), after.get(name, "NOTHING"), f"{key}.{name}")
        elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            for i, (one, two) in enumerate(zip(before, after, strict=True)):
                compare(one, two, f"{key}[{i}]")
        elif repr(before) != repr(after):
            told.append(f"{key[:80]} = {repr(after)[:120]}")

    compare(real, now, "")
    return "; ".join(told[:6])


def indexes(sandbox, rng):
    """Indexes of the shelf in a folder, and of shelves on the web."""
    path = sandbox.shelf / "index.json"
    content = json_of(rng, spoil(rng, json.loads(path.read_text())))
    path.write_bytes(content)
    about = content[:600].decode("utf-8", "replace")
    name = rng.choice(("vae_digits", "infogan_digits", "features_digits"))
    if rng.random() < 0.05:
        about = replace_file(rng, path, [sandbox.work / "image.png"])
    elif rng.random() < 0.4:
        return _on_the_web(sandbox, rng, content, name)
    return readers(sandbox, rng, name)(about)


def _on_the_web(sandbox, rng, content, name):
    """A server that answers what it likes."""
    card = (sandbox.shelf / name / "card.json").read_bytes()
    if rng.random() < 0.4:
        card = json_of(rng, spoil(rng, json.loads(card)))
        if rng.random() < 0.7:  # and vouches for it
            index = {"format": 1, "cards": {name: [hashlib.sha256(card).hexdigest()]}}
            content = json.dumps(index).encode()
    (weights,) = (sandbox.shelf / name).glob("*.safetensors")
    answers = {"index.json": content, "card.json": card, weights.name: weights.read_bytes()}

    def served(url, limit):
        file = url.rpartition("/")[2]
        if file not in answers:
            raise UserError(f"{url} cannot be fetched: the server answered 404.")
        return answers[file][: limit + 1]

    zoo.shelf.find._web_index.cache_clear()
    inner = rng.choice((
        lambda: call(load, name, about=""), lambda: command("list", [], ""),
        lambda: command("sample", [name, "--out", sandbox.out / "x.png"], ""),
        lambda: command("gallery", ["--out", sandbox.out / "site"], ""),
        lambda: call(load, f"https://h/{name}/card.json#sha256={'0' * 64}", about=""),
    ))()  # fmt: skip

    def action():
        homes = (zoo.shelf.find, zoo.shelf.web)
        kept = [(home, home.download) for home in homes]
        folder, zoo.shelf.find._shelf = zoo.shelf.find._shelf, lambda: "https://host/shelf"
        for home in homes:
            home.download = served
        try:
            return inner.action()
        finally:
            zoo.shelf.find._shelf = folder
            for home, download in kept:
                home.download = download

    return Try(action, f"web: {inner.about} {content[:500]!r}")
