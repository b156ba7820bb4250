"""Template, tokenizer and vocabulary of a model of the Hugging Face kind. Imports none of its
libraries: it is handed the tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any, Final

from ..calls import history
from ..calls.template import Message, Template
from ..failures import Refused
from ..messages import Admission, ReasoningRequest, ToolOffer
from ..tools import callable_tools
from . import continuation
from .control_tokens import ControlTokens, Rendered, hidden_by
from .pieces import Pieces
from .streaming import Detokenizer, PieceDetokenizer, PieceTable, WindowDetokenizer, spelled
from .time_limit import within_seconds
from .turn_formats import Derived, TurnFormat, TurnFormats

ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
RENDERED_CHARACTERS_MAX: Final = 16 * 1024 * 1024
RENDER_SECONDS_MAX: Final = 10.0
TEMPLATE_ARGUMENTS_MAX: Final = 64
TEMPLATE_ARGUMENTS_BYTES_MAX: Final = 1024 * 1024
TEMPLATE_ERROR_CHARACTERS_MAX: Final = 200
# A normalizer may make a text shorter before it is cut into tokens.
NORMALIZED_FACTOR: Final = 2
# Text of which every tokenizer knows the tokens.
PROBE: Final = "a"
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
        pieces: Pieces | None,
        end_tokens: frozenset[int],
        control_tokens: str = "text",
    ) -> None:
        """`tokenizer`: mlx-lm's wrapper. `pieces`: bytes of every token where tokens have bytes
        of their own, else None. `control_tokens`: what they are in a chat's strings, `text` or
        `parse`. `vocabulary` may be raised: logits can be longer."""
        self._tokenizer = tokenizer
        # The prepare thread encodes while the link thread decodes: the library's tokenizer does
        # not take both at once.
        self._decoder = deepcopy(tokenizer) if pieces is None else tokenizer
        self._table = None if pieces is None else PieceTable(pieces.bytes_of)
        self._strips_first_space = pieces is not None and pieces.strips_first_space
        self._control = ControlTokens(tokenizer) if control_tokens == "text" else None
        self.vocabulary = len(tokenizer)
        self.end_tokens = end_tokens
        names = tokenizer.get_vocab()
        longest = max((len(name.encode()) for name in names), default=1)
        self.token_bytes_max = longest * NORMALIZED_FACTOR
        self._has_developer = "developer" in str(tokenizer.chat_template)
        self._turns = TurnFormats(
            self._template, lambda: self._silent, lambda: RENDER_SECONDS_MAX, self._mark_tokens
        )
        # Here: later the link thread alone may decode.
        self._end_names = frozenset(map(self.token_text, end_tokens))

    def learn_turns(self) -> None:
        self._learned  # noqa: B018

    @cached_property
    def _learned(self) -> Derived:
        derived = self._turns.derived
        model = derived.model
        # Where a turn is several messages, marks set the messages of others apart too.
        if self._control is not None and model is not None and model.calls.channels is None:
            self._control.add_own_words(model.marks, self._end_names)
        return derived

    def turn_format(self, request: Admission) -> TurnFormat | None:
        return self._turns.of(request)

    def reasoning_end(self) -> tuple[int, ...]:
        return self._turns.closing

    def _mark_tokens(self, mark: str) -> tuple[int, ...]:
        """What a template's mark is as tokens; none where these are not read as it again."""
        known = self._added.get(mark)
        tokens = self._encode(mark, False) if known is None else [known]
        names = {id: name for name, id in self._silent.items()}
        read = "".join(
            names.get(token) or self.token_bytes(token).decode("utf-8", "replace")
            for token in tokens
        )
        return tuple(tokens) if read.endswith(mark) else ()

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        template_args: dict[str, Any],
        tools: ToolOffer | None = None,
        reasoning: ReasoningRequest | None = None,
    ) -> str:
        if not self._tokenizer.has_chat_template:
            raise _refused("this model has no chat template; use plain completions")
        check_arguments(template_args)
        derived = self._learned
        messages, given = _with_tools(messages, tools, derived)
        template_args = {**_switch(derived, reasoning), **template_args, **given}
        plain = [self._message(i, message) for i, message in enumerate(messages)]
        stand_ins = None
        if self._control is not None:
            plain, template_args, stand_ins = self._control.hide(plain, template_args)
        text = within_seconds(lambda: self._rendered(plain, template_args), RENDER_SECONDS_MAX)
        if len(text) > RENDERED_CHARACTERS_MAX:
            raise _refused(f"the rendered chat exceeds {RENDERED_CHARACTERS_MAX} characters")
        rendered = Rendered(text, stand_ins)
        if self._control is not None:
            self._control.check(rendered)
        return rendered

    def _rendered(self, messages: Sequence[dict[str, Any]], template_args: dict[str, Any]) -> str:
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
        calls_alone = message.get("tool_calls") and message.get("content") is None
        content = None if calls_alone else _text_content(index, message)
        return {**message, "role": role, "content": content}

    def _template(self) -> Template | None:
        tokenizer = self._tokenizer
        if not tokenizer.has_chat_template:
            return None

        def render(
            messages: Sequence[Message],
            tools: Sequence[Mapping[str, Any]] | None,
            arguments: Mapping[str, Any],
            generation_prompt: bool,
        ) -> str:
            text = tokenizer.apply_chat_template(
                # A template may be a program, which changes what it is given.
                deepcopy(list(messages)),
                tools=None if tools is None else deepcopy(list(tools)),
                tokenize=False,
                add_generation_prompt=generation_prompt,
                **arguments,
            )
            return str(text)

        return Template(_source(tokenizer.chat_template), render, self._end_names)

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        if not rendered:
            return self._with_first_tokens(text)
        if self._control is not None and isinstance(text, Rendered) and text.stand_ins is not None:
            return self._control.tokenize(text)
        return self._encode(text, False)

    def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def _with_first_tokens(self, text: str) -> list[int]:
        """A text that begins with what the tokenizer puts first has it once. No text at all is the
        beginning of one, also where the tokenizer puts nothing first."""
        tokens, first = self._encode(text, True), self._first_tokens
        if not tokens:
            return self._begin_of_text
        count = len(first)
        if count and tokens[: 2 * count] == first + first:
            return tokens[count:]
        return tokens

    @property
    def _begin_of_text(self) -> list[int]:
        token = getattr(self._tokenizer, "bos_token_id", None)
        return [] if token is None else [token]

    @cached_property
    def _first_tokens(self) -> list[int]:
        """What the tokenizer puts before a text: the begin-of-text token, as a rule."""
        alone, whole = self._encode(PROBE, False), self._encode(PROBE, True)
        for begin in range(len(whole) - len(alone) + 1):
            if whole[begin : begin + len(alone)] == alone:
                return whole[:begin]
        return []

    def spell(self, tokens: Sequence[int]) -> list[str]:
        if self._table is None:
            detokenizer: Detokenizer = WindowDetokenizer(self._encoded, ())
        else:
            detokenizer = PieceDetokenizer(self._table, self._strips_first_space)
        return spelled(tokens, detokenizer, {id: name for name, id in self._silent.items()})

    def _encoded(self, tokens: Sequence[int]) -> str:
        """As `_decode`, of the prepare thread's own tokenizer."""
        return str(
            self._tokenizer.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    def continued(
        self, text: str, previous: Sequence[int], tokenize: Callable[[str], list[int]]
    ) -> list[int] | None:
        if self._table is None:
            return None
        stand_ins = text.stand_ins if isinstance(text, Rendered) else None
        return continuation.continued(
            text,
            previous,
            self._written,
            hidden_by(stand_ins or {}),
            lambda rest: tokenize(Rendered(rest, stand_ins)),
        )

    @cached_property
    def _written(self) -> continuation.Vocabulary:
        """What tokens are in a rendered text."""
        assert self._table is not None
        added = self._tokenizer.added_tokens_decoder.items()
        blurred = {id for id, token in added if token.lstrip or token.rstrip or token.single_word}
        names = {id: token.content for id, token in added}
        return continuation.Vocabulary(self._table.pieces, names, frozenset(blurred))

    def detokenizer(self, continues: Sequence[int]) -> Detokenizer:
        if self._table is not None:
            trim = self._strips_first_space and not continues
            return PieceDetokenizer(self._table, trim)
        return WindowDetokenizer(self._decode, continues)

    def token_bytes(self, token: int) -> bytes:
        if self._table is not None:
            pieces = self._table.pieces
            return pieces[token] if token < len(pieces) else b""
        # After another token: the first one of a text may lose its space.
        before = self._decode(self._anchor)
        return self._decode([*self._anchor, token])[len(before) :].encode()

    def token_text(self, token: int) -> str:
        text = self.token_bytes(token).decode("utf-8", "replace")
        name = text or self._decoder.convert_ids_to_tokens(token)
        return str(name or f"token_id:{token}")

    def tokenizer_json(self) -> str:
        """As its file has it. Raises `AttributeError` where the tokenizer is none of the library
        `tokenizers`."""
        return str(self._tokenizer.backend_tokenizer.to_str())

    def silent_token(self, name: str) -> int | None:
        token = self._added.get(name)
        return None if token is None or self.token_bytes(token) else token

    def added_tokens(self) -> Mapping[str, int]:
        return self._added

    @cached_property
    def _silent(self) -> dict[str, int]:
        return {name: id for name, id in self._added.items() if not self.token_bytes(id)}

    @cached_property
    def _added(self) -> dict[str, int]:
        added = self._decoder.added_tokens_decoder.items()
        return {token.content: id for id, token in added}

    @cached_property
    def _anchor(self) -> list[int]:
        return list(self._decoder.encode(PROBE, add_special_tokens=False))

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(
            self._decoder.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )


def _source(template: Any) -> str:
    """Of a model that has several by name, the one that tools are shown by."""
    if isinstance(template, Mapping):
        template = template.get("tool_use") or template.get("default") or ""
    return str(template or "")


def _with_tools(
    messages: Sequence[dict[str, Any]], offer: ToolOffer | None, derived: Derived
) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """The conversation as the template takes it, and what else it is given. Raises `Refused`."""
    tools, model = callable_tools(offer), derived.model
    if model is None:
        if tools:
            message = f"tools: this model's chat template has no known form of calls: {derived.why}"
            raise Refused("invalid_prompt", "tools", message)
        return messages, {}
    made = history.prepare(messages, tools, model.calls, model.needs, derived.reasoning)
    return made.messages, {
        **made.arguments,
        **({} if made.tools is None else {"tools": made.tools}),
    }


def _switch(derived: Derived, request: ReasoningRequest | None) -> Mapping[str, Any]:
    """The template's arguments that turn reasoning on or off, where it has any."""
    if request is None or request.enabled is None or derived.reasoning is None:
        return {}
    return (derived.reasoning.on if request.enabled else derived.reasoning.off) or {}


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
