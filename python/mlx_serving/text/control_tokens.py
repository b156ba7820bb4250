"""Control tokens in what a client writes: text, not turns.

Before a chat is rendered, every control token in the request's strings gives way to a character
that stands for it, so that the control tokens in the rendered chat are the template's alone. What
lies between those is tokenized as the text it is; where nothing stands in, with the tokens that the
whole gives. Knows no model: it is handed the tokenizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from secrets import token_hex
from typing import Any, Final
from urllib.parse import quote

from ..calls.model_format import within
from ..failures import Refused

# A plane without characters, which no template and no normalizer touches.
STAND_INS_FIRST: Final = 0xF0000
STAND_INS_END: Final = 0x100000
# What a model itself writes into its turns: mlx-lm's names for it.
OWN_WORDS: Final = ("think_start", "think_end", "tool_call_start", "tool_call_end")

SIGN_BYTES: Final = 16

Found = Callable[[str], bool]


class Rendered(str):
    """A prompt as a template has made it. `stand_ins`: characters in it and the control tokens
    that they stand for; None: the request has none."""

    __slots__ = ("stand_ins",)
    stand_ins: Mapping[str, str] | None

    def __new__(cls, text: str, stand_ins: Mapping[str, str] | None) -> Rendered:
        self = super().__new__(cls, text)
        self.stand_ins = stand_ins
        return self


class ControlTokens:
    """Those of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer`: mlx-lm's wrapper."""
        self._tokenizer = tokenizer
        self._ids = control_ids(tokenizer)
        self._all = _any_of(self._ids)
        self._not_own = _any_of(self._ids.keys() - own_words(tokenizer))

    def add_own_words(self, texts: Iterable[str], ends: frozenset[str]) -> None:
        """Control tokens in these texts are the model's own words too, but for those that end a
        turn. Calls of the history may stand in an assistant's text."""
        words = frozenset(within(texts, self._ids)) - ends
        self._not_own = _any_of(self._ids.keys() - own_words(self._tokenizer) - words)

    # --- before rendering ---

    def hide(
        self, messages: list[dict[str, Any]], arguments: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, str] | None]:
        """Both with characters that stand for control tokens, and which for which; None where
        there is none, and both are as they came."""
        strings = list(_strings([messages, arguments]))
        if not any(map(self._found, strings)):
            return messages, arguments, None
        stand_ins = self._stand_ins(strings)
        by_token = {token: sign for sign, token in stand_ins.items()}

        def hidden(value: Any, pattern: re.Pattern[str]) -> Any:
            return _mapped(value, lambda text: pattern.sub(lambda hit: by_token[hit[0]], text))

        shown = [self._shown(message, hidden) for message in messages]
        return shown, hidden(arguments, self._all), stand_ins

    def _shown(self, message: dict[str, Any], hidden: Callable[..., Any]) -> dict[str, Any]:
        role = message["role"]
        pattern = self._not_own if role == "assistant" else self._all
        # The role is one of a list, and templates compare it.
        return {**hidden(message, pattern), "role": role}

    def _stand_ins(self, strings: list[str]) -> dict[str, str]:
        wanted = {token for text in strings for token in self._all.findall(text)}
        taken = set().union(*strings) | set(str(self._tokenizer.chat_template))
        free = (chr(code) for code in range(STAND_INS_FIRST, STAND_INS_END))
        signs = (sign for sign in free if sign not in taken)
        return dict(zip(signs, sorted(wanted), strict=False))

    @cached_property
    def _found(self) -> Found:
        """Whether a text holds control tokens, before or after the tokenizer has normalized it."""
        search = self._all.search
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        normalizer = getattr(backend, "normalizer", None)
        added = self._tokenizer.added_tokens_decoder
        if normalizer is None or not any(added[id].normalized for id in self._ids.values()):
            return lambda text: search(text) is not None
        normalize = normalizer.normalize_str
        return lambda text: search(text) is not None or search(normalize(text)) is not None

    def check(self, text: Rendered) -> None:
        """Raises `Refused` when the template has written a stand-in in another way: what it stands
        for could not be put back."""
        signs = text.stand_ins or {}
        if any(escape in text for sign in signs for escape in _escapes(sign)):
            raise Refused(
                "invalid_prompt",
                "messages",
                "messages: the chat template rewrites control tokens in them; leave them out, or "
                "have the operator serve with --control-tokens parse",
            )

    # --- after rendering ---

    def tokenize(self, text: Rendered) -> list[int]:
        """The template's control tokens as such, and those of the request as text."""
        stand_ins = text.stand_ins or {}
        if getattr(self._tokenizer, "backend_tokenizer", None) is None:
            return self._tokenize_by_parts(text, stand_ins)
        encoding = self._tokenizer.backend_tokenizer.encode(str(text), add_special_tokens=False)
        ids, spans = encoding.ids, encoding.offsets
        controls = frozenset(self._ids.values())
        signs = frozenset(stand_ins)
        tokens: list[int] = []
        begin = first = 0

        def close(end: int, last: int) -> None:
            """What lies between two of the template's control tokens."""
            part = text[begin:end]
            if signs.isdisjoint(part) and controls.isdisjoint(ids[first:last]):
                tokens.extend(ids[first:last])
            else:
                tokens.extend(self._as_text(_restored(part, stand_ins), begin > 0))

        for index, (id, (start, end)) in enumerate(zip(ids, spans, strict=True)):
            # A text that becomes one by normalization is not the template's.
            if id in controls and self._ids.get(text[start:end].strip()) == id:
                close(start, index)
                tokens.append(id)
                begin, first = end, index + 1
        close(len(text), len(ids))
        return tokens

    def _as_text(self, text: str, inside: bool) -> list[int]:
        """Tokens of a text in which nothing is a control token. `inside`: not at the beginning of
        the prompt."""
        controls = frozenset(self._ids.values())
        tokens = self._plain(text, inside)
        if controls.isdisjoint(tokens):
            return tokens
        # A vocabulary that has their names as words too: they are cut after the first character.
        cut = [
            part for part in re.split(f"(?<=.)(?={_tails(self._ids)})", text, flags=re.S) if part
        ]
        parts = [self._plain(part, inside or i > 0) for i, part in enumerate(cut)]
        tokens = [token for part in parts for token in part]
        if not controls.isdisjoint(tokens):
            raise Refused("invalid_prompt", "messages", "messages: control tokens are not allowed")
        return tokens

    def _plain(self, text: str, inside: bool) -> list[int]:
        backend, sign = self._text_backend
        if not inside:
            return list(backend.encode(text, add_special_tokens=False).ids)
        # After a token, so that the text is not taken for the beginning of one.
        return list(backend.encode(sign + text, add_special_tokens=False).ids[1:])

    @cached_property
    def _text_backend(self) -> tuple[Any, str]:
        """The tokenizer without its control tokens, and a token of its own to begin with. Made when
        it is first needed: it takes as long as loading a tokenizer does."""
        from tokenizers import AddedToken

        backend = deepcopy(self._tokenizer.backend_tokenizer)
        added = self._tokenizer.added_tokens_decoder
        as_special = [
            AddedToken(
                token.content,
                single_word=token.single_word,
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=token.normalized,
                special=True,
            )
            for token in (added[id] for id in self._ids.values())
        ]
        backend.add_special_tokens(as_special)
        backend.encode_special_tokens = True
        # No client can write it: it is drawn anew in each process.
        sign = token_hex(SIGN_BYTES)
        backend.add_tokens([AddedToken(sign, normalized=False, special=False)])
        return backend, sign

    def _tokenize_by_parts(self, text: str, stand_ins: Mapping[str, str]) -> list[int]:
        """For tokenizers that don't say where their tokens lie."""
        encode = self._tokenizer.encode
        parts = re.split(f"([{''.join(stand_ins)}])", text) if stand_ins else [text]
        tokens: list[int] = []
        for part in filter(None, parts):
            name = stand_ins.get(part)
            if name is None:
                tokens += encode(part, add_special_tokens=False)
                continue
            as_text = encode(name, add_special_tokens=False, split_special_tokens=True)
            if self._ids[name] in as_text:
                message = "messages: this model's tokenizer cannot take control tokens as text"
                raise Refused("invalid_prompt", "messages", message)
            tokens += as_text
        return tokens


def control_ids(tokenizer: Any) -> dict[str, int]:
    """Names and ids: special tokens, the added ones that the template writes, and the model's own
    words. Added tokens that only stand for text, such as runs of spaces, are none."""
    template, own = tokenizer.chat_template, own_words(tokenizer)
    # A template that is a program of mlx-lm's may write any.
    written = str(template) if template else None

    def is_control(token: Any) -> bool:
        name = token.content
        return bool(token.special or written is None or name in written or name in own)

    added = tokenizer.added_tokens_decoder.items()
    return {token.content: id for id, token in added if token.content.strip() and is_control(token)}


def own_words(tokenizer: Any) -> frozenset[str | None]:
    return frozenset(getattr(tokenizer, name, None) for name in OWN_WORDS)


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    """The longest first, as tokenizers do it."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _tails(names: Iterable[str]) -> str:
    """What follows the first character of a control token."""
    return "|".join(f"(?<={re.escape(name[0])}){re.escape(name[1:])}" for name in names)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_mapped(key, change): _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(item, change) for item in value]
    return value


def hidden_by(stand_ins: Mapping[str, str]) -> Callable[[str], str]:
    """What puts these characters in the place of what they stand for."""
    by_token = {token: sign for sign, token in stand_ins.items()}
    pattern = _any_of(by_token)
    return lambda text: pattern.sub(lambda hit: by_token[hit[0]], text)


def _restored(text: str, stand_ins: Mapping[str, str]) -> str:
    return text.translate({ord(sign): token for sign, token in stand_ins.items()})


def _escapes(sign: str) -> tuple[str, ...]:
    return (json.dumps(sign)[1:-1], quote(sign), f"&#{ord(sign)};", f"&#x{ord(sign):x};")
