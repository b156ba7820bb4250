"""A chat that goes on from an earlier prompt and its answer, with their own tokens.

The text of a conversation can be cut into tokens in more ways than one, and a model does not always
take the one that the tokenizer would. Where the rendered chat begins with the text of tokens that
were computed before, these tokens are its beginning: the caches that were kept for them fit to the
last token. Nothing is assumed: what can't be shown to be the same text is tokenized anew. Knows
no model and no template: it is handed the vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

NOTHING: Final = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`bytes_of[token]`; `names`: tokens that are cut out of a text before all others, with their
    text. `blurred`: those of them that take spaces beside them along, or are found in a text only
    once it is normalized: what was written where they stand can't be told from them."""

    bytes_of: Sequence[bytes]
    names: Mapping[int, str]
    blurred: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Tokens `begin` to `end`, and their text; None where they are no whole characters."""

    begin: int
    end: int
    text: str | None
    is_name: bool


def continued(
    text: str,
    previous: Sequence[int],
    vocabulary: Vocabulary,
    hide: Callable[[str], str],
    tokenize: Callable[[str], list[int]],
) -> list[int] | None:
    """The tokens of `text`, beginning with as many of `previous` as say the same; None where that
    is none, or where it can't be told. `hide`: what the text has in place of names that somebody
    wrote; `tokenize`: what is left of the text."""
    kept, at = _common(text, previous, vocabulary, hide)
    if kept == 0:
        return None
    rest = tokenize(text[at:])
    if _text_of(rest, vocabulary, hide) != text[at:]:
        return None
    return [*previous[:kept], *rest]


def _common(
    text: str, previous: Sequence[int], vocabulary: Vocabulary, hide: Callable[[str], str]
) -> tuple[int, int]:
    """How many tokens are kept, and the length of their text. A text may be cut where all tokens
    are used up, and beside a name: there the tokenizer cuts it too."""
    names = _any_of(n for id, n in vocabulary.names.items() if id not in vocabulary.blurred)
    at, best = 0, (0, 0)
    for stretch in _stretches(previous, vocabulary, hide):
        if stretch.text is None or not text.startswith(stretch.text, at):
            return _shortened(text, at, previous, stretch, vocabulary, names) or best
        at += len(stretch.text)
        if stretch.is_name or stretch.end == len(previous) or names.match(text, at):
            best = stretch.end, at
    return best


def _shortened(
    text: str,
    at: int,
    previous: Sequence[int],
    stretch: Stretch,
    vocabulary: Vocabulary,
    names: re.Pattern[str],
) -> tuple[int, int] | None:
    """An answer of which its message has less: the template strips spaces, or a stop string was
    cut off. None where no token ends where the next name begins."""
    name = None if stretch.is_name else names.search(text, at)
    if name is None:
        return None
    wanted, got = text[at : name.start()].encode(), b""
    for count, token in enumerate(previous[stretch.begin : stretch.end]):
        if got == wanted and count > 0:
            return stretch.begin + count, name.start()
        got += vocabulary.bytes_of[token]
        if not wanted.startswith(got):
            return None
    return None


def _stretches(
    tokens: Sequence[int], vocabulary: Vocabulary, hide: Callable[[str], str]
) -> Iterator[Stretch]:
    """Names one by one, and what lies between them. Ends before what can't be read."""
    names, known = vocabulary.names, len(vocabulary.bytes_of)
    begin = 0
    for index, token in enumerate(tokens):
        name = names.get(token)
        is_readable = token not in vocabulary.blurred and (
            name is not None or (token < known and vocabulary.bytes_of[token] != b"")
        )
        if name is None and is_readable:
            continue
        if begin < index:
            yield _plain(tokens, begin, index, vocabulary, hide)
        if not is_readable:
            yield Stretch(index, index + 1, None, True)
            return
        yield Stretch(index, index + 1, name, True)
        begin = index + 1
    if begin < len(tokens):
        yield _plain(tokens, begin, len(tokens), vocabulary, hide)


def _plain(
    tokens: Sequence[int],
    begin: int,
    end: int,
    vocabulary: Vocabulary,
    hide: Callable[[str], str],
) -> Stretch:
    data = b"".join([vocabulary.bytes_of[token] for token in tokens[begin:end]])
    try:
        text = hide(data.decode())
    except UnicodeDecodeError:
        return Stretch(begin, end, None, False)
    return Stretch(begin, end, text, False)


def _text_of(
    tokens: Sequence[int], vocabulary: Vocabulary, hide: Callable[[str], str]
) -> str | None:
    texts = [stretch.text for stretch in _stretches(tokens, vocabulary, hide)]
    return None if None in texts else "".join(map(str, texts))


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, names), key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else NOTHING
