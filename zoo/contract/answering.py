"""How models answer outside training: in evaluation mode, from a seed, in bounded memory."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from zoo.contract.checks import Given, checks_of, whole
from zoo.core.arguments import SEEDS
from zoo.core.errors import UserError

__all__ = [
    "alone",
    "answering",
    "answers",
    "between",
    "generator_for",
    "in_chunks",
    "is_answer",
    "own_format",
    "plain_defaults",
]

CHUNK = 500  # images that pass a network at once; more is no faster on a CPU

Method = TypeVar("Method", bound=Callable[..., Any])

# Beside the modules and not in them: locks and counts neither travel nor are copied with a model.
_held: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # answers that run now
_alone: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_lock = threading.Lock()
_here = threading.local()


# ---------------------------------------------------------------- a method that answers


def answers(method: Method) -> Method:
    """Makes a method of a model an answer to a user.

    Its arguments are checked and converted by their names, as `zoo.contract.checks` says: tensors
    arrive on the model's device and in its number format. Inside, the model is in evaluation mode
    and there are no gradients. What it returns is in the model's number format, too.

    Tensors may come from any device. Values are looked at once: an answer that asks for another one
    has sound values.

    Raises:
        UserError: on arguments that cannot be meant, or a number format that the model says is too
            coarse for it (``needs_float32``).
        TypeError: on arguments that the method does not have; says which it has.
    """
    signature = inspect.signature(method)
    checks = checks_of(signature)

    @functools.wraps(method)
    def answer(self: Any, *args: Any, **kwargs: Any) -> Any:
        like = own_format(self)
        depth = getattr(_here, "depth", 0)
        if not _traced():
            if like.itemsize < 4 and getattr(self, "needs_float32", False):
                raise UserError(_too_coarse(self, like.dtype))
            bound = _bound(signature, method.__name__, self, *args, **kwargs)
            given = Given(self, method.__name__, like, depth > 0, bound.arguments)
            for name, check in checks.items():
                if name in bound.arguments:
                    bound.arguments[name] = check(given, name, bound.arguments[name])
            args, kwargs = bound.args[1:], bound.kwargs
        _here.depth = depth + 1
        try:
            with answering(self):
                told = method(self, *args, **kwargs)
        finally:
            _here.depth = depth
        floating = isinstance(told, Tensor) and told.is_floating_point()
        return told.to(like.dtype) if floating else told

    answer.answers = True  # type: ignore[attr-defined]
    return answer  # type: ignore[return-value]


def is_answer(method: Any) -> bool:
    """Says whether a method checks what it is given, as `answers` makes it do."""
    return getattr(method, "answers", False)


def _bound(
    signature: inspect.Signature, name: str, model: Any, *args: Any, **kwargs: Any
) -> inspect.BoundArguments:
    try:
        return signature.bind(model, *args, **kwargs)
    except TypeError as error:
        parameters = list(signature.parameters.values())[1:]  # without self, and without types
        plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
        call = f"{name}{inspect.Signature(plain)}"
        raise TypeError(f"{type(model).__name__} answers {call}: {error}.") from None


def own_format(model: nn.Module) -> Tensor:
    """Returns a weight of a model, whose device and number format are those of its answers."""
    for weight in model.parameters():
        if weight.is_floating_point():
            return weight
    return torch.empty(0, dtype=torch.float32, device="cpu")


def _too_coarse(model: Any, dtype: torch.dtype) -> str:
    name = str(dtype).removeprefix("torch.")
    return (
        f"{type(model).__name__} cannot answer in {name}: what it adds up, inverts or repeats "
        "needs float32 at least. Call .float() on it."
    )


def _traced() -> bool:
    """Says whether torch records what is computed, when nobody can look at values."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- evaluation mode


@contextmanager
def answering(*networks: nn.Module) -> Iterator[None]:
    """Puts networks in evaluation mode without gradients, and back as they were.

    Every answer of a model comes from evaluation mode, so batch normalisation uses its running
    statistics and an answer for one image does not depend on its neighbours. Answers may be nested
    and come from several threads: a module goes back to training when the last of them has ended.
    """
    with _lock:
        modules = [module for network in networks for module in network.modules()]
        mine = [m for m in modules if m.training or (_held and m in _held)]
        for module in mine:
            _held[module] = _held.get(module, 0) + 1
            module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        with _lock:
            for module in mine:
                _held[module] -= 1
                if not _held[module]:
                    del _held[module]
                    module.training = True


@contextmanager
def alone(network: nn.Module) -> Iterator[None]:
    """Lets one thread at a time use a network that an answer has to change for the moment."""
    with _lock:
        lock = _alone.setdefault(network, threading.RLock())
    with lock:
        yield


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Makes new tensors float32 on the CPU, whatever torch's defaults are meanwhile."""
    before = torch.get_default_dtype()
    if before != torch.float32:
        torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        if before != torch.float32:
            torch.set_default_dtype(before)


# ---------------------------------------------------------------- seeds and memory


def generator_for(seed: int | None) -> torch.Generator | None:
    """Returns a CPU generator for a seed; None stands for the global stream.

    Latents are drawn on the CPU and then moved, so that a seed means the same on every device.

    Raises:
        UserError: if the seed is no whole number, is negative or has more than 63 bits.
    """
    if seed is None:
        return None
    return torch.Generator("cpu").manual_seed(whole("seed", seed, SEEDS))


def in_chunks(network: Callable[[Tensor], Tensor], x: Tensor, size: int = CHUNK) -> Tensor:
    """Applies a network to at most ``size`` rows at a time and joins the answers.

    Example:
        >>> in_chunks(lambda x: 2 * x, torch.arange(3.0), size=2)
        tensor([0., 2., 4.])
    """
    if len(x) <= size:
        return network(x)
    first = network(x[:size])
    joined = first.new_empty(len(x), *first.shape[1:])  # once, instead of beside all its parts
    joined[:size] = first
    for begin in range(size, len(x), size):
        joined[begin : begin + size] = network(x[begin : begin + size])
    return joined


def between(
    model: Any, a: Tensor, b: Tensor, path: Callable[[Tensor, Tensor, int], Tensor], steps: int
) -> Tensor:
    """Walks between images of a person's own: from the codes of some to those of others.

    Args:
        model: A model that encodes and decodes.
        a: Images, shape (B, C, H, W).
        b: As many.
        path: A walk of `zoo.functional.paths`.
        steps: Images along a walk, both ends among them.

    Returns:
        Images, shape (B, steps, C, H, W).
    """
    walk = path(model.encode(a), model.encode(b), steps)
    return model.decode(walk.flatten(0, 1)).unflatten(0, (len(a), steps))
