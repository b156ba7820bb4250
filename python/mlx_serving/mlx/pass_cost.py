"""What a forward pass over a chunk of a prompt costs, learned from chunks that were computed.

A pass has a part that doesn't depend on the chunk (every weight is read once, every kernel is
started once) and a part per token; both grow with the tokens that are in the cache already:

    seconds = fixed + token * tokens + (fixed_at_depth + token_at_depth * tokens) * depth

Least squares of relative errors over the latest chunks, newer ones counting more, with a prior that
fills in what they don't show. Pure arithmetic: knows no clock and no model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

CHUNKS_MAX: Final = 32
# What a chunk counts for when the next one is measured.
FORGETTING: Final = 0.9
# Weight of the prior, in chunks.
PRIOR_WEIGHT: Final = 0.002
# Added to each number of the diagonal, of itself: where chunks are alike, rounding alone would be
# left of it.
RIDGE: Final = 1e-9
# Of a first guess, what each of the two parts is at least: neither is ruled out.
PART_MIN: Final = 0.1
# Until measured: at this depth everything costs twice.
DEPTH_TOKENS: Final = 4096.0
# A machine that was busy elsewhere for a moment is no reason to forget what is known.
OUTLIER: Final = 4.0
SECONDS_MIN: Final = 1e-6
# How much longer than any of late the next chunk may be.
GROWTH: Final = 2.0
# Chunks whose lengths differ by less don't tell what is fixed from what each token costs.
SPREAD_MIN: Final = 4.0

Vector = list[float]


class PassCost:
    def __init__(self, fixed_seconds: float, token_seconds: float, tokens_known: int) -> None:
        """A first guess from passes of up to `tokens_known` tokens."""
        part = PART_MIN * max(SECONDS_MIN, fixed_seconds + token_seconds * tokens_known)
        fixed = max(fixed_seconds, part)
        token = max(token_seconds, part / tokens_known)
        self._prior: Vector = [fixed, token, fixed / DEPTH_TOKENS, token / DEPTH_TOKENS]
        # Coefficients in units of the prior's.
        self._factors: Vector = [1.0] * 4
        self._tokens_known = float(tokens_known)
        # Tokens, terms and seconds, the latest first.
        self._chunks: deque[tuple[int, Vector, float]] = deque(maxlen=CHUNKS_MAX)

    def seconds(self, tokens: int, depth: int) -> float:
        """Of a chunk of so many tokens with `depth` tokens before it."""
        return self._sum(self._terms(tokens, depth))

    def seconds_at_most(self, tokens: int, depth: int) -> float:
        """The same for a chunk that may be shorter than all of late, which don't tell how much of
        their time it saves: as long as the shortest of them."""
        shortest = min((known for known, _, _ in self._chunks), default=tokens)
        return self.seconds(max(tokens, shortest), depth)

    def fixed_seconds(self, depth: int) -> float:
        """Of a pass, however few its tokens."""
        return max(0.0, self._coefficient(0) + self._coefficient(2) * depth)

    def depth_seconds(self, depth: int) -> float:
        """Of that, what so many tokens in the cache add; 0 until all chunks that it goes by were
        measured, since a guess may take anything for it."""
        return self._coefficient(2) * depth if len(self._chunks) == CHUNKS_MAX else 0.0

    def token_seconds(self, depth: int) -> float:
        """Of each further token."""
        return max(SECONDS_MIN, self._coefficient(1) + self._coefficient(3) * depth)

    def tokens_worth_a_pass(self, share: float, depth: int) -> int:
        """How long a chunk must be to bring its pass's fixed cost up by this share; shorter where
        that cost is only surmised."""
        worth = share * self.fixed_seconds(depth) / self.token_seconds(depth)
        lengths = [tokens for tokens, _, _ in self._chunks]
        if lengths and not self.tells_parts(SPREAD_MIN):
            worth = min(worth, min(lengths) / SPREAD_MIN)
        return int(worth)

    def tells_parts(self, spread: float) -> bool:
        """Whether the longest chunk of late is so many times as long as the shortest, which tells
        what of their time is fixed."""
        lengths = [tokens for tokens, _, _ in self._chunks]
        return bool(lengths) and max(lengths) >= spread * min(lengths)

    def tokens_within(self, seconds: float, depth: int) -> int:
        """How long a chunk may be to take no longer; 0 where a pass alone does. Not much longer
        than those of late: they say little about a chunk of another size."""
        fitting = (seconds - self.fixed_seconds(depth)) / self.token_seconds(depth)
        return max(0, int(min(fitting, self.tokens_foreseeable)))

    @property
    def tokens_foreseeable(self) -> int:
        """The longest chunk of which those of late say enough."""
        return int(GROWTH * self._tokens_known)

    def learn(self, tokens: int, depth: int, seconds: float) -> None:
        terms = self._terms(tokens, depth)
        expected = self._sum(terms)
        measured = min(max(seconds, expected / OUTLIER), expected * OUTLIER)
        self._chunks.appendleft((tokens, terms, measured))
        self._tokens_known = max(tokens, FORGETTING * self._tokens_known)
        self._factors = self._solved()

    def _coefficient(self, i: int) -> float:
        return self._prior[i] * self._factors[i]

    def _terms(self, tokens: int, depth: int) -> Vector:
        parts = (1.0, tokens, depth, tokens * depth)
        return [part * prior for part, prior in zip(parts, self._prior, strict=True)]

    def _sum(self, terms: Vector) -> float:
        products = (term * factor for term, factor in zip(terms, self._factors, strict=True))
        return max(SECONDS_MIN, sum(products))

    def _solved(self) -> Vector:
        """The factors that fit best, none below zero: what would be is left out."""
        matrix, target = self._equations()
        active = [0, 1, 2, 3]
        while True:
            rows = [[matrix[i][j] for j in active] for i in active]
            values = solve(rows, [target[i] for i in active])
            if min(values) >= 0:
                found = dict(zip(active, values, strict=True))
                return [found.get(i, 0.0) for i in range(4)]
            active.remove(active[values.index(min(values))])

    def _equations(self) -> tuple[list[Vector], Vector]:
        """Errors count relative to what is expected now: a long chunk is not worth more than a
        short one, and a slow one no less than a fast one."""
        # The prior's shape counts, not its size.
        size = sum(seconds / sum(terms) for _, terms, seconds in self._chunks) / len(self._chunks)
        matrix = [[PRIOR_WEIGHT / size**2 if i == j else 0.0 for j in range(4)] for i in range(4)]
        target = [PRIOR_WEIGHT / size] * 4
        weight = 1.0
        for _, terms, seconds in self._chunks:
            unit = self._sum(terms)
            row = [term / unit for term in terms]
            for i in range(4):
                for j in range(4):
                    matrix[i][j] += weight * row[i] * row[j]
                target[i] += weight * row[i] * seconds / unit
            weight *= FORGETTING
        for i in range(4):
            matrix[i][i] *= 1 + RIDGE
        return matrix, target


def solve(matrix: Sequence[Sequence[float]], target: Sequence[float]) -> Vector:
    """x of matrix x = target for a symmetric positive definite matrix, by elimination."""
    rows = [[*row, value] for row, value in zip(matrix, target, strict=True)]
    size = len(rows)
    for i in range(size):
        for k in range(i + 1, size):
            factor = rows[k][i] / rows[i][i]
            for j in range(i, size + 1):
                rows[k][j] -= factor * rows[i][j]
    values = [0.0] * size
    for i in reversed(range(size)):
        known = sum(rows[i][j] * values[j] for j in range(i + 1, size))
        values[i] = (rows[i][size] - known) / rows[i][i]
    return values
