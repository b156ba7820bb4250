"""Templates and pieces with a stand-in for a tokenizer."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from mlx_serving.messages import Refused
from mlx_serving.text import hugging_face
from mlx_serving.text.hugging_face import HfTextModel, within_seconds
from mlx_serving.text.pieces import Pieces

USER = [{"role": "user", "content": "x"}]


class Tokenizer:
    """What `HfTextModel` uses of mlx-lm's wrapper."""

    has_chat_template = True
    chat_template = "{{ messages }}"
    added_tokens_decoder: dict[int, Any] = {}  # noqa: RUF012

    def __init__(self, template: Any = None) -> None:
        self._template = template

    def __len__(self) -> int:
        return 4

    def get_vocab(self) -> dict[str, int]:
        return {"a": 0, "bcd": 1}

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        return str(self._template(messages, **options))

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [3] * add_special_tokens + [0] * len(text)

    def decode(self, tokens: list[int], **options: bool) -> str:
        assert options == {
            "skip_special_tokens": True,
            "clean_up_tokenization_spaces": False,
        }
        return "".join("abcd"[token] for token in tokens)


def made(template: Any = None) -> HfTextModel:
    return HfTextModel(Tokenizer(template), None, frozenset({3}))


def refusal(model: HfTextModel) -> str:
    with pytest.raises(Refused) as caught:
        model.render(USER, {})
    assert (caught.value.code, caught.value.field) == ("invalid_prompt", "messages")
    return str(caught.value)


def test_a_template_that_raises() -> None:
    def template(messages: Any, **_: Any) -> str:
        raise TemplateError("roles must alternate")

    model = made(template)
    model._tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    assert "roles must alternate" in refusal(model)


def test_a_template_that_repeats_the_prompt_is_not_quoted() -> None:
    def template(messages: Any, **_: Any) -> str:
        raise TemplateError(f"cannot say {messages[0]['content']}")

    said = refusal(made(template))
    assert "does not accept" in said and "cannot say" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        {"chat_template": "{{ 1 }}"},
        {"tokenize": True},
        {f"a{i}": 0 for i in range(65)},
        {"a": "x" * hugging_face.TEMPLATE_ARGUMENTS_BYTES_MAX},
        {"a": b"bytes"},
    ],
)
def test_arguments_that_a_template_does_not_get(arguments: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        made(lambda messages, **_: "x").render(USER, arguments)
    assert caught.value.code == "invalid_prompt"
    assert caught.value.field == "chat_template_kwargs"
    assert str(caught.value).startswith("chat_template_kwargs: ")


def test_no_argument_of_the_library_is_open() -> None:
    from transformers import PreTrainedTokenizerBase

    names = set(inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters)
    open_names = names - {"self", "kwargs"} - hugging_face.CLOSED_ARGUMENTS
    assert open_names <= hugging_face.ENGINE_ARGUMENTS


def test_a_template_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hugging_face, "RENDER_SECONDS_MAX", 0.05)

    def template(messages: Any, **_: Any) -> str:
        while True:
            pass

    assert "longer than" in refusal(made(template))


def test_a_template_that_writes_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hugging_face, "RENDERED_CHARACTERS_MAX", 10)
    assert "exceeds 10" in refusal(made(lambda messages, **_: "x" * 11))


def test_no_template() -> None:
    model = made()
    model._tokenizer.has_chat_template = False
    assert "no chat template" in refusal(model)


def test_the_variables_of_a_template_arrive() -> None:
    seen: dict[str, Any] = {}

    def template(messages: Any, **options: Any) -> str:
        seen.update(options)
        return "x"

    made(template).render(USER, {"tools": [], "enable_thinking": False})
    assert seen == {
        "tokenize": False,
        "add_generation_prompt": True,
        "tools": [],
        "enable_thinking": False,
    }


def test_plain_texts_get_the_models_special_tokens() -> None:
    assert made().tokenize("ab", rendered=False) == [3, 0, 0]
    assert made().tokenize("ab", rendered=True) == [0, 0]


@pytest.mark.parametrize(
    ("first", "text", "tokens"),
    [
        ([3], "ab", [3, 0, 0]),
        ([3], "^ab", [3, 0, 0]),
        # Who writes two has two.
        ([3], "^^ab", [3, 3, 0, 0]),
        ([3], "a^b", [3, 0, 3, 0]),
        ([3], "^", [3]),
        ([3], "", [3]),
        ([3, 2], "^ab", [3, 2, 3, 0, 0]),
        ([], "^^ab", [3, 3, 0, 0]),
        ([], "ab", [0, 0]),
    ],
)
def test_what_a_tokenizer_puts_first_stands_once(
    first: list[int], text: str, tokens: list[int]
) -> None:
    class Beginning(Tokenizer):
        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            ids = [3 if sign == "^" else 0 for sign in text]
            return [*(first if add_special_tokens else []), *ids]

    model = HfTextModel(Beginning(), None, frozenset())
    assert model.tokenize(text, rendered=False) == tokens
    assert model.tokenize(text, rendered=True) == tokens[len(tokens) - len(text) :]


@pytest.mark.parametrize(
    ("first", "bos", "text", "tokens"),
    [
        ([], 3, "", [3]),
        ([2], 3, "", [2]),
        ([], None, "", []),
        ([], 3, "a", [0]),
        ([3], 3, "", [3]),
    ],
)
def test_no_text_is_the_beginning_of_one(
    first: list[int], bos: int | None, text: str, tokens: list[int]
) -> None:
    class Beginning(Tokenizer):
        bos_token_id = bos

        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            return [*(first if add_special_tokens else []), *[0 for _ in text]]

    model = HfTextModel(Beginning(), None, frozenset())
    assert model.tokenize(text, rendered=False) == tokens
    assert model.tokenize(text, rendered=True) == [0 for _ in text]


def test_tokens_without_pieces_are_decoded_together() -> None:
    detokenizer = made().detokenizer([])
    assert [detokenizer.push(token) for token in (0, 1, 2)] == ["a", "b", "c"]
    assert made().token_bytes(1) == b"b"


class Spaced(Tokenizer):
    """A decoder that takes the first space away, and says nothing of how."""

    NAMES = ("a", " b", "b", "<end>")

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [0]

    def decode(self, tokens: list[int], **options: bool) -> str:
        return "".join(self.NAMES[token] for token in tokens if token != 3).removeprefix(" ")

    def convert_ids_to_tokens(self, token: int) -> str | None:
        return self.NAMES[token] if token < 4 else None


def test_the_first_space_without_pieces() -> None:
    model = HfTextModel(Spaced(), None, frozenset({3}))
    assert [model.token_bytes(token) for token in range(3)] == [b"a", b" b", b"b"]
    for continues, text in (([], "bb"), ([0], " bb"), ([3, 0, 1, 2] * 9, " bb")):
        detokenizer = model.detokenizer(continues)
        assert "".join(map(detokenizer.push, (1, 2))) == text


def test_tokens_without_text_have_names() -> None:
    model = HfTextModel(Spaced(), None, frozenset({3}))
    assert [model.token_text(token) for token in (1, 3)] == [" b", "<end>"]
    table = HfTextModel(Spaced(), Pieces([b"a", b"\xf0", b"", b""], False), frozenset({3}))
    names = [table.token_text(token) for token in (0, 1, 3, 9)]
    assert names == ["a", "\ufffd", "<end>", "token_id:9"]
    assert table.token_bytes(9) == b""


@pytest.mark.parametrize(
    ("strips", "continues", "text"),
    [(True, [], "Hello you"), (True, [7], " Hello you"), (False, [], " Hello you")],
)
def test_only_a_turn_of_a_chat_loses_its_first_space(
    strips: bool, continues: list[int], text: str
) -> None:
    pieces = Pieces([b" Hello", b" you"], strips)
    detokenizer = HfTextModel(Spaced(), pieces, frozenset()).detokenizer(continues)
    assert "".join(map(detokenizer.push, (0, 1))) == text


def test_what_is_in_time_is_returned() -> None:
    assert within_seconds(lambda: "done", 60) == "done"
    with pytest.raises(KeyError):
        within_seconds(lambda: str({}["x"]), 60)
