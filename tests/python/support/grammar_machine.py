"""Answers questions about grammars, a JSON text a line: which texts one takes, and texts that it
makes at random, byte by byte. For the tests of what schemas a server takes, which are TypeScript.

    {"kind", "text", "texts"}          -> {"takes": [true, ...]}
    {"kind", "text", "count", "seed"}  -> {"made": [text or null, ...]}; null: it found no end

Either may be {"refused": reason}.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[3] / "python"))

from mlx_serving.failures import Refused
from mlx_serving.grammar.grammars import Grammars
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.grammar.vocabulary import of_pieces
from mlx_serving.messages import Constraint

END: Final = 256
VOCABULARY: Final = 257
# From here on a text hurries to its end.
CALM_BYTES: Final = 600
BYTES_MAX: Final = 6000
COMMON: Final = list(range(0x20, 0x7F))
CLOSING: Final = [END, *b'"}]']


def allowed(mask: bytes) -> list[int]:
    return [token for token in range(VOCABULARY) if mask[token >> 3] >> (token & 7) & 1]


def made(matcher: Matcher, chance: random.Random) -> str | None:
    text = bytearray()
    while len(text) < BYTES_MAX:
        mask = matcher.mask()
        assert mask is not None, matcher.error
        token = chosen(allowed(mask), len(text) > CALM_BYTES, chance)
        if token == END:
            return text.decode()
        text.append(token)
        matcher.accept([token])
        if matcher.done:
            return text.decode()
    return None


def chosen(tokens: list[int], hurries: bool, chance: random.Random) -> int:
    ends = [token for token in CLOSING if token in tokens]
    if ends and chance.random() < (0.9 if hurries else 0.2):
        return chance.choice(ends) if END not in ends else END
    common = [token for token in COMMON if token in tokens]
    return chance.choice(common if common and chance.random() < 0.85 else tokens)


def takes(matcher: Matcher, text: str) -> bool:
    for byte in text.encode():
        mask = matcher.mask()
        if mask is None or not mask[byte >> 3] >> (byte & 7) & 1:
            return False
        matcher.accept([byte])
    mask = matcher.mask()
    return matcher.done or (mask is not None and bool(mask[END >> 3] >> (END & 7) & 1))


def answer(grammars: Grammars, asked: dict[str, Any]) -> dict[str, Any]:
    constraint = Constraint(asked["kind"], asked["text"])
    try:
        matcher = grammars.matcher(constraint)
    except Refused as refusal:
        return {"refused": str(refusal)}
    if "texts" in asked:
        return {"takes": [takes(matcher.copy(), text) for text in asked["texts"]]}
    chance = random.Random(asked["seed"])
    return {"made": [made(matcher.copy(), chance) for _ in range(asked["count"])]}


def main() -> None:
    pieces = [bytes((byte,)) for byte in range(END)]
    grammars = Grammars(lambda: of_pieces([*pieces, b""], END), VOCABULARY)
    for line in sys.stdin:
        print(json.dumps(answer(grammars, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
