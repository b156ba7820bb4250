"""One request while it is computed: what is known of its tokens, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, get_args

from ..engine import Forcing
from ..grammar.matcher import Matcher
from ..messages import Admission, Priority
from .caches import Cache
from .sampling import RowSampling

_PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)


@dataclass(slots=True, eq=False)
class Row:
    """`prefill` are the tokens to be computed before decoding, all but `last`; `done` of them are
    in `cache`, and `reused` of those came from the prompt cache, `cached` of them the prompt's.
    As many as `kept` have been given to the prompt cache.
    `index` is the place, in the generated text, of the token that the next step feeds: below
    `first` it is known already and only replayed. `matcher`: where the answer is in its grammar,
    after the tokens below `first`; `forcing`: which tokens must come, likewise. `chain` and
    `available`: see `common_prefixes.py`; `shares`: its prompt may be computed together with
    others', which has failed if it may not; `arrived_tokens` and `needed_tokens`: see
    `prefill_order.py`.
    """

    request: Admission
    sampling: RowSampling
    prefill: list[int]
    last: int
    forced: list[int]
    cache: Cache
    done: int
    reused: int
    cached: int
    first: int
    index: int
    end: int
    observe_from: int
    generated: list[int] = field(default_factory=list)
    matcher: Matcher | None = None
    forcing: Forcing | None = None
    chain: Sequence[int] = ()
    available: int = 0
    arrived_tokens: int = 0
    needed_tokens: int = 0
    kept: int = 0
    shares: bool = True

    @property
    def id(self) -> int:
        return self.request.id

    @property
    def total(self) -> int:
        """Tokens that are known when the request comes."""
        return len(self.request.prompt) + len(self.request.emitted)

    @property
    def left(self) -> int:
        """Tokens to be prefilled yet."""
        return len(self.prefill) - self.done

    @property
    def rank(self) -> int:
        return _PRIORITIES.index(self.request.priority)

    @property
    def missing_tokens(self) -> int:
        """Tokens that are computed nowhere yet."""
        return len(self.prefill) - max(self.done, self.available)

    @property
    def has_begun(self) -> bool:
        """Before its first turn it has no cache."""
        return bool(self.cache)

    def go_on_from(self, cache: Cache, tokens: int) -> None:
        """From a cache that has so many of its first tokens, no fewer than its own has."""
        gained = tokens - self.done
        self.cached = min(self.cached + gained, len(self.request.prompt))
        self.cache = cache
        self.done = self.reused = self.kept = self.available = tokens

    @property
    def length(self) -> int:
        """Tokens in the cache, once the prefill is done."""
        return len(self.request.prompt) + self.index
