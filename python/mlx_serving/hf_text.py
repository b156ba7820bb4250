"""Template, tokenizer and vocabulary of a model of the Hugging Face kind. Imports none of its
libraries: it is handed the tokenizer.
"""

from __future__ import annotations

import ctypes
import json
import re
import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Final

from .messages import Refused
from .text import Detokenizer, PieceDetokenizer, PieceTable, WindowDetokenizer

ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
BYTE_NAME: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
RENDERED_CHARACTERS_MAX: Final = 16 * 1024 * 1024
RENDER_SECONDS_MAX: Final = 10.0
TEMPLATE_ARGUMENTS_MAX: Final = 64
TEMPLATE_ARGUMENTS_BYTES_MAX: Final = 1024 * 1024
TEMPLATE_ERROR_CHARACTERS_MAX: Final = 200
# A normalizer may make a text shorter before it is cut into tokens.
NORMALIZED_FACTOR: Final = 2
# What a request may hand to the template engine itself; the rest are the template's variables.
ENGINE_ARGUMENTS: Final = frozenset({"tools", "documents"})
CLOSED_ARGUMENTS: Final = frozenset(
    {
        "conversation",
        "messages",
        "chat_template",
        "add_generation_prompt",
        "continue_final_message",
        "tokenize",
        "sanitize_control_tokens",
        "padding",
        "truncation",
        "max_length",
        "return_tensors",
        "return_dict",
        "return_assistant_tokens_mask",
        "tokenizer_kwargs",
    }
)


class HfTextModel:
    def __init__(
        self,
        tokenizer: Any,
        pieces: Sequence[bytes] | None,
        trim_first_space: bool,
        end_tokens: frozenset[int],
    ) -> None:
        """`tokenizer`: mlx-lm's wrapper. `pieces`: bytes of every token where tokens have bytes
        of their own, else None. `vocabulary` may be raised: logits can be longer."""
        self._tokenizer = tokenizer
        # The prepare thread encodes while the link thread decodes: the library's tokenizer does
        # not take both at once.
        self._decoder = deepcopy(tokenizer) if pieces is None else tokenizer
        self._table = None if pieces is None else PieceTable(pieces, trim_first_space)
        self.vocabulary = len(tokenizer)
        self.end_tokens = end_tokens
        names = tokenizer.get_vocab()
        longest = max((len(name.encode()) for name in names), default=1)
        self.token_bytes_max = longest * NORMALIZED_FACTOR
        self._has_developer = "developer" in str(tokenizer.chat_template)

    def render(self, messages: list[dict[str, Any]], template_args: dict[str, Any]) -> str:
        if not self._tokenizer.has_chat_template:
            raise _refused("this model has no chat template; use plain completions")
        check_arguments(template_args)
        plain = [self._message(i, message) for i, message in enumerate(messages)]
        text = within_seconds(lambda: self._rendered(plain, template_args), RENDER_SECONDS_MAX)
        if len(text) > RENDERED_CHARACTERS_MAX:
            raise _refused(f"the rendered chat exceeds {RENDERED_CHARACTERS_MAX} characters")
        return text

    def _rendered(self, messages: list[dict[str, Any]], template_args: dict[str, Any]) -> str:
        from jinja2.exceptions import TemplateError

        try:
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, **template_args
            )
        except TemplateError as error:
            raise _refused(f"the chat template does not accept them{self._said(error)}") from error
        return str(text)

    def _said(self, error: Exception) -> str:
        """What the template itself says; what it has made of the messages is not repeated."""
        text = str(error)[:TEMPLATE_ERROR_CHARACTERS_MAX]
        return f": {text}" if text in str(self._tokenizer.chat_template) else ""

    def _message(self, index: int, message: dict[str, Any]) -> dict[str, Any]:
        role = message.get("role")
        if role not in ROLES:
            raise _refused(f"messages[{index}].role is unknown")
        if role == "developer" and not self._has_developer:
            role = "system"
        return {**message, "role": role, "content": _text_content(index, message)}

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=not rendered))

    def detokenizer(self) -> Detokenizer:
        if self._table is not None:
            return PieceDetokenizer(self._table)
        return WindowDetokenizer(self._decode)

    def token_bytes(self, token: int) -> bytes:
        if self._table is not None:
            pieces = self._table.pieces
            return pieces[token] if token < len(pieces) else b""
        return self._decode([token]).encode()

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._decoder.decode(list(tokens), skip_special_tokens=True))


def check_arguments(arguments: dict[str, Any]) -> None:
    """Raises `Refused` for what is not the template's own, and for more than it may be given."""
    closed = sorted(CLOSED_ARGUMENTS & arguments.keys())
    if closed:
        raise _refused_arguments(f"{closed[0]} is not a template's to get")
    if len(arguments) > TEMPLATE_ARGUMENTS_MAX:
        raise _refused_arguments(f"must have at most {TEMPLATE_ARGUMENTS_MAX} entries")
    try:
        size = len(json.dumps(arguments))
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused_arguments("must be JSON") from error
    if size > TEMPLATE_ARGUMENTS_BYTES_MAX:
        raise _refused_arguments(f"must have at most {TEMPLATE_ARGUMENTS_BYTES_MAX} bytes")


def _refused_arguments(message: str) -> Refused:
    return Refused("invalid_prompt", "chat_template_kwargs", f"chat_template_kwargs: {message}")


def _refused(message: str) -> Refused:
    return Refused("invalid_prompt", "messages", f"messages: {message}")


def _text_content(index: int, message: dict[str, Any]) -> str:
    """Templates expect text: parts are joined, other kinds of content are refused."""
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else None for part in content]
        if all(isinstance(text, str) for text in texts):
            return "".join(str(text) for text in texts)
    raise _refused(f"messages[{index}].content must be text")


# --- pieces ---


def byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for every byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return alphabet


def byte_level_piece(name: str, alphabet: dict[str, int]) -> bytes:
    try:
        return bytes(alphabet[character] for character in name)
    except KeyError:
        return name.encode()


def sentence_piece(name: str) -> bytes:
    if BYTE_NAME.fullmatch(name):
        return bytes.fromhex(name[3:5])
    return name.replace("\u2581", " ").encode()


def pieces_of(tokenizer: Any, piece: Callable[[str], bytes], silent: frozenset[int]) -> list[bytes]:
    """Bytes of every token; control tokens and those in `silent` have none."""
    silent = silent | frozenset(tokenizer.all_special_ids)
    added = tokenizer.added_tokens_decoder
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    pieces: list[bytes] = []
    for id, name in enumerate(names):
        token = added.get(id)
        if id in silent or name is None or (token is not None and token.special):
            pieces.append(b"")
        else:
            pieces.append(piece(name) if token is None else token.content.encode())
    return pieces


# --- time ---


class _TooSlow(BaseException):
    """Raised inside the thread that renders."""


def within_seconds(call: Callable[[], str], seconds: float) -> str:
    """`call()`, or `Refused` when it takes longer. For pure Python code, as templates are."""
    thread = threading.get_ident()
    lock = threading.Lock()
    over = False

    def interrupt() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(_TooSlow)
                )

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        try:
            return call()
        finally:
            with lock:
                over = True
            timer.cancel()
    except _TooSlow:
        raise _refused(f"the chat template takes longer than {seconds:g} s") from None
