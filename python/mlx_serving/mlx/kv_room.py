"""How much memory rows have for their keys and values: what each may grow to, what a cache that
grows gets at once, and what is left. Pure arithmetic; knows nothing of MLX.

A row is counted with all tokens that it may come to, as the orchestrator counts it. A batch holds
more: padding, and room for the next tokens. A row comes in when that fits too; the first one always
does, and may need more than rows have: the prefix cache lends it that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Final

from ..engine import Capabilities
from ..messages import Admission

# A cache grows by this share of its length, within these bounds: so each token costs a copy of
# eight others at most, and no more memory is held in vain.
ROOM_SHARE: Final = 8
ROOM_TOKENS_MIN: Final = 32
ROOM_TOKENS_MAX: Final = 256


def room_tokens(length: int, needed: float = inf) -> int:
    """For how many more tokens a cache of so many gets room; `needed`: no more ever come."""
    room = min(max(length // ROOM_SHARE, ROOM_TOKENS_MIN), ROOM_TOKENS_MAX)
    return max(1, int(min(room, needed)))


@dataclass(frozen=True, slots=True)
class KvRoom:
    limits: Capabilities

    def tokens_max(self, request: Admission) -> int:
        """That it may come to."""
        return min(len(request.prompt) + request.max_tokens, self.limits.context_max)

    def bytes_max(self, request: Admission) -> float:
        limits = self.limits
        return limits.kv_bytes_fixed + limits.kv_bytes_per_token * self.tokens_max(request)

    def fits(self, request: Admission, beside: Iterable[Admission], padding_tokens: int) -> bool:
        """Beside rows that have places, of which those in the batch are padded so much."""
        rows = [request, *beside]
        return len(rows) == 1 or self._left(rows, padding_tokens) >= 0

    def borrowed_bytes(self, alone: Admission) -> float:
        """What a row with no other beside it may come to beyond what rows have."""
        return max(0.0, self.bytes_max(alone) - self.limits.kv_budget_bytes)

    def spare_tokens(self, rows: Iterable[Admission], padding_tokens: int) -> float:
        """Of more padding there is room for so much."""
        per_token = self.limits.kv_bytes_per_token
        if per_token == 0:
            return inf
        return self._left(rows, padding_tokens) / per_token / _with_room(1)

    def _left(self, rows: Iterable[Admission], padding_tokens: int) -> float:
        limits = self.limits
        taken = _with_room(padding_tokens) * limits.kv_bytes_per_token
        for row in rows:
            room = room_tokens(self.tokens_max(row))
            taken += self.bytes_max(row) + room * limits.kv_bytes_per_token
        return limits.kv_budget_bytes - taken


def _with_room(padding_tokens: float) -> float:
    """What is longer by its padding has more room too."""
    return padding_tokens * (1 + 1 / ROOM_SHARE)
