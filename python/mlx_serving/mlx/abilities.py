"""What a model can do besides one request in one piece, measured when it is loaded.

mlx-lm has a `merge` for nearly every cache, but many a model computes masks, positions or states
of its own that are wrong, or fail, once rows of unequal length share a forward pass; and some
caches say that they can be trimmed where they can't. So each ability is tried on the loaded model
with short prompts: the logits must be those of each row alone. Knows neither requests nor mlx-lm.

Batched arithmetic may round in another order, so equal logits are not to be had everywhere: what is
noise is measured too, with equal rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final, cast

import mlx.core as mx

from ..engine import Abilities
from ..messages import PrefixReuse
from .batch import Group
from .caches import Cache, Caches
from .memory import leaves
from .shared_cache import SharedCache, can_share, stacked

# Tokens of the prompts: one is longer than the others by more than a window, one has no prefill.
LONG: Final = 18
MIDDLE: Final = 11
SHORT: Final = 5
SINGLE: Final = 1
# One step of two rows, two of three, one of those that are left.
STEPS: Final = 4
TOKENS: Final = 32
PIECE_TOKENS: Final = 9
KEPT_TOKENS: Final = 2
SECOND_SEED: Final = 4242
FAR_APART: Final = 7919
# Longer windows are shortened while a model is measured, or their faults would take long prompts.
WINDOW_TOKENS_MAX: Final = 8
WINDOW_NAMES: Final = ("window", "chunk")
CACHE_WINDOWS: Final = ("max_size", "chunk_size")
# Differences are in shares of the logits' own spread. Two random texts differ by 1.4, the faults of
# mlx-lm's families by 0.05 and more, float32 arithmetic by 1e-5.
DIFFERENCE_MIN: Final = 1e-3
DIFFERENCE_MAX: Final = 0.3
NOISE_FACTOR: Final = 4.0
ROUNDINGS: Final = 6.0
PREFIXES: Final = ("part", "whole", "none")
REASON_CHARACTERS_MAX: Final = 160


def measure(caches: Caches, vocabulary: int) -> Abilities:
    """Some twenty short forward passes, twice as many where something fails: what two different
    trials say is no chance. Leaves nothing behind."""
    with short_windows(caches) as short:
        try:
            first = _Trial(short, vocabulary, 0).abilities()
            if first == Abilities():
                return first
            return _better(first, _Trial(short, vocabulary, SECOND_SEED).abilities())
        finally:
            mx.clear_cache()


def _better(one: Abilities, other: Abilities) -> Abilities:
    batch = one if one.batch else other
    shared = one if one.shared_prefill else other
    prefix = min(one, other, key=lambda abilities: PREFIXES.index(abilities.prefix))
    return replace(
        prefix,
        batch=batch.batch,
        batch_reason=batch.batch_reason,
        pieces=one.pieces or other.pieces,
        shared_prefill=shared.shared_prefill,
        shared_reason=shared.shared_reason,
    )


class _Row:
    """A prompt with what follows it, and what the model says to that alone: truth. By decode
    steps, or with `replays` in one piece, which is less work."""

    def __init__(
        self, caches: Caches, tokens: list[int], prompt: int, replays: bool = False
    ) -> None:
        self.tokens = tokens
        self.prompt = prompt
        cache = caches.new()
        if prompt > 1:
            caches.model(mx.array([tokens[: prompt - 1]]), cache=cache)
        self._prefilled = deepcopy(cache)
        rest = tokens[prompt - 1 : -1]
        pieces = [rest] if replays else [[token] for token in rest]
        self.truth = [
            logits for piece in pieces for logits in caches.model(mx.array([piece]), cache=cache)[0]
        ]
        self.finished = cache
        mx.eval(self.truth, [layer.state for layer in [*cache, *self._prefilled]])

    def prefilled(self) -> Cache:
        return deepcopy(self._prefilled)

    def fed(self, step: int) -> int:
        """The token that a step feeds."""
        return self.tokens[self.prompt - 1 + step]


class _Held:
    """A cache on its way into a group, as a row of a batch has it."""

    length = 0

    def __init__(self, cache: Cache) -> None:
        self.cache = cache


class _Trial:
    def __init__(self, caches: Caches, vocabulary: int, seed: int) -> None:
        self._caches = caches
        self._tokens = [(seed + FAR_APART * i * i + i) % vocabulary for i in range(TOKENS)]
        self._bound = max(DIFFERENCE_MIN, ROUNDINGS * rounding(caches.model))
        self._long = self._row(0, LONG, STEPS + 1)

    def _row(self, first: int, prompt: int, steps: int, replays: bool = False) -> _Row:
        tokens = self._tokens[first : first + prompt + steps]
        return _Row(self._caches, tokens, prompt, replays)

    def abilities(self) -> Abilities:
        pieces = self._why_not(self._in_pieces)
        self._middle = self._row(5, MIDDLE, 3, replays=not pieces)
        self._single = self._row(9, SINGLE, 3, replays=not pieces)
        batch = self._why_not(self._batched, self._learn_noise)
        # A batch is made of copies.
        copies = batch and self._why_not(self._copied)
        prefix, prefix_reason = self._prefix(copies or pieces)
        shared = self._why_not_shared() if batch is None else None
        return Abilities(
            batch=batch is None,
            batch_reason=batch,
            prefix=prefix,
            prefix_reason=prefix_reason,
            pieces=pieces is None,
            shared_prefill=shared is None,
            shared_reason=shared,
        )

    def _why_not_shared(self) -> str | None:
        if not can_share(self._caches.new()):
            return None
        self._short = self._row(3, SHORT, 2)
        return self._why_not(self._prefilled_together, self._learn_noise)

    def _prefix(self, none: str | None) -> tuple[PrefixReuse, str | None]:
        if none is not None:
            return "none", none
        if not self._caches.can_trim(self._single.finished):
            return "whole", "its state can't be cut back"
        cut = self._why_not(self._cut_off)
        return ("whole", cut) if cut else ("part", None)

    def _why_not(
        self, tried: Callable[[], mx.array], noisy: Callable[[], mx.array] | None = None
    ) -> str | None:
        """None: it works. `tried` gives a difference to truth; `noisy` one that is no fault, which
        is only asked for where it matters."""
        bound = self._bound
        try:
            difference = number(tried())
            if noisy is not None and difference > bound:
                bound = min(max(bound, NOISE_FACTOR * number(noisy())), DIFFERENCE_MAX)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:REASON_CHARACTERS_MAX]
        # Not a number is no answer either.
        if difference <= bound:
            return None
        return f"logits differ by {difference:.2g} of their spread, {bound:.2g} is noise"

    def _copied(self) -> mx.array:
        """A copy of a cache that others have gone on with."""
        return self._alone(self._long, self._long.prefilled(), 0)

    def _alone(self, row: _Row, cache: Cache, step: int) -> mx.array:
        logits = self._caches.model(mx.array([[row.fed(step)]]), cache=cache)
        return difference(logits[0, -1], row.truth[step])

    def _in_pieces(self) -> mx.array:
        """A prompt prefilled piece by piece, and what was emitted replayed as one."""
        row, cache = self._long, self._caches.new()
        for start in range(0, row.prompt - 1, PIECE_TOKENS):
            end = min(start + PIECE_TOKENS, row.prompt - 1)
            self._caches.model(mx.array([row.tokens[start:end]]), cache=cache)
        return self._replayed(row, cache, row.prompt - 1)

    def _cut_off(self) -> mx.array:
        """A cache that is cut back to its first tokens, and filled with the same again: one that
        has gone beyond a window, or where that can't be cut, one that has not."""
        row = self._long if self._caches.can_trim(self._long.finished) else self._single
        cache = deepcopy(row.finished)
        self._caches.trim(cache, len(row.tokens) - 1 - KEPT_TOKENS)
        return self._replayed(row, cache, KEPT_TOKENS)

    def _replayed(self, row: _Row, cache: Cache, done: int) -> mx.array:
        logits = self._caches.model(mx.array([row.tokens[done:-1]]), cache=cache)[0]
        count = min(len(row.truth), len(row.tokens) - 1 - done)
        return mx.max(
            mx.stack([difference(logits[-i], row.truth[-i]) for i in range(1, count + 1)])
        )

    def _learn_noise(self) -> mx.array:
        """Equal rows, as many as will be: there is nothing to be wrong but arithmetic."""
        rows = [self._long] * 3
        group = Group([_Held(row.prefilled()) for row in rows])
        return self._step(group, rows, [0] * 3)

    def _batched(self) -> mx.array:
        """Ragged rows that come, stay and leave, each step against truth."""
        long, middle, single = self._long, self._middle, self._single
        held = [_Held(row.prefilled()) for row in (middle, long, single)]
        group = Group(held[:2])
        steps = [self._step(group, [middle, long], [0, 0])]
        group.take(held[2:])
        steps += [self._step(group, [middle, long, single], [1 + i, 1 + i, i]) for i in range(2)]
        group.keep([1, 2])
        extracted = group.extract(held[1])
        steps += [self._step(group, [long, single], [3, 2])]
        return mx.max(mx.stack([*steps, self._alone(long, extracted, 3)]))

    def _prefilled_together(self) -> mx.array:
        """Prompts of unequal length in one pass, two in one piece and three after a piece of equal
        length, then a step of them against truth."""
        two, three = [self._long, self._middle], [self._middle, self._short, self._long]
        return mx.maximum(self._together(two, 0), self._together(three, KEPT_TOKENS))

    def _together(self, rows: Sequence[_Row], equal: int) -> mx.array:
        cache = stacked([self._caches.new() for _ in rows], 0)
        prompts = [row.tokens[: row.prompt - 1] for row in rows]
        if equal:
            self._caches.model(mx.array([prompt[:equal] for prompt in prompts]), cache=cache)
        longest = max(map(len, prompts))
        fed = [[*prompt, *[0] * (longest - len(prompt))][equal:] for prompt in prompts]
        self._caches.model(mx.array(fed), cache=cache)
        parts = SharedCache(cache, [len(prompt) for prompt in prompts]).parts()
        return self._step(Group([_Held(part) for part in parts]), rows, [0] * len(rows))

    def _step(self, group: Group[_Held], rows: Sequence[_Row], steps: Sequence[int]) -> mx.array:
        pairs = list(zip(rows, steps, strict=True))
        fed = mx.array([[row.fed(step)] for row, step in pairs])
        logits = self._caches.model(fed, cache=group.cache)[:, -1]
        return mx.max(
            mx.stack([difference(logits[i], row.truth[s]) for i, (row, s) in enumerate(pairs)])
        )


def number(array: mx.array) -> float:
    return cast(float, array.item())


def difference(logits: mx.array, truth: mx.array) -> mx.array:
    """Root mean square, in shares of the spread of `truth`."""
    logits, truth = logits.astype(mx.float32), truth.astype(mx.float32)
    spread = mx.sqrt(mx.var(truth)) + 1e-9
    return mx.sqrt(mx.mean(mx.square(logits - truth))) / spread


def rounding(model: Any) -> float:
    """The rounding unit of the coarsest floats that a model computes with."""
    from mlx.utils import tree_flatten

    pairs = cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters()))
    floats = {array.dtype for _, array in pairs if mx.issubdtype(array.dtype, mx.floating)}
    return max((float(mx.finfo(dtype).eps) for dtype in floats), default=0.0)


# --- windows ---


class _Short:
    """Caches whose windows are short even where the model didn't look again."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self.model = caches.model
        self.can_trim = caches.can_trim
        self.trim = caches.trim

    def new(self) -> Cache:
        cache = self._caches.new()
        for layer in leaves(cache):
            for name in CACHE_WINDOWS:
                if _is_long(getattr(layer, name, None)):
                    setattr(layer, name, WINDOW_TOKENS_MAX)
        return cache


@contextmanager
def short_windows(caches: Caches) -> Iterator[Caches]:
    """Makes the windows of a model's caches short, and what its layers and their arguments know of
    their length."""
    sizes = {
        size
        for layer in leaves(caches.new())
        for name in CACHE_WINDOWS
        if _is_long(size := getattr(layer, name, None))
    }
    changed = [
        (owner, name, value)
        for owner in _owners(caches.model)
        for name, value in vars(owner).items()
        if any(part in name for part in WINDOW_NAMES) and type(value) is int and value in sizes
    ]
    try:
        for owner, name, _ in changed:
            object.__setattr__(owner, name, WINDOW_TOKENS_MAX)
        yield _Short(caches)
    finally:
        for owner, name, value in changed:
            object.__setattr__(owner, name, value)


def _is_long(size: Any) -> bool:
    return type(size) is int and size > WINDOW_TOKENS_MAX


def _owners(model: Any) -> list[Any]:
    """Modules and what they were made of, each once."""
    owners: dict[int, Any] = {}
    for module in model.modules():
        owners[id(module)] = module
        for value in vars(module).values():
            if type(value).__name__.endswith(("Args", "Config")) and hasattr(value, "__dict__"):
                owners[id(value)] = value
    return list(owners.values())
