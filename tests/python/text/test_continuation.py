"""Prompts that begin with the tokens of an earlier one and its answer, or are made anew."""

from __future__ import annotations

from typing import Any

import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_serving.fake.text import FakeTextModel
from mlx_serving.messages import Chat
from mlx_serving.text.continuation import Vocabulary, continued
from mlx_serving.text.hugging_face import HfTextModel
from mlx_serving.text.pieces import byte_level_alphabet, pieces_of
from mlx_serving.text.prompts import prompt_tokens
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

START, END, THINK, UNTHINK = "<|im_start|>", "<|im_end|>", "<think>", "</think>"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRIPPING = CHATML.replace("{{ m.content }}", "{{ m.content | trim }}")
WITHOUT_THOUGHTS = CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] | trim }}")
CONTEXT = 100_000

# --- the texts alone ---

PIECES = [bytes((byte,)) for byte in range(256)] + [b"", b"", b" the", b"he", b"\xf0\x9f"]
OPEN, CLOSE, THE, HE, HALF = 256, 257, 258, 259, 260
VOCABULARY = Vocabulary(PIECES, {OPEN: "[", CLOSE: "]"})


def cut(text: str) -> list[int]:
    """As the tokenizer would: names, and the rest byte by byte."""
    return [{91: OPEN, 93: CLOSE}.get(byte, byte) for byte in text.encode()]


def went_on(text: str, previous: list[int], vocabulary: Vocabulary = VOCABULARY) -> Any:
    return continued(text, previous, vocabulary, str, cut)


@pytest.mark.parametrize(
    ("text", "previous", "kept"),
    [
        # All of it, also in the middle of a text.
        ("[u hi][a the]", [*cut("[u hi][a"), THE], 9),
        ("[u hi][a the end", [*cut("[u hi][a"), THE], 9),
        # An answer that a template strips, or that a stop string was cut off of.
        ("[a the][u", [*cut("[a"), THE, *cut("  ")], 3),
        ("[a th][u", [*cut("[a"), *cut(" th"), HE], 5),
        # A stop string that ends within a token: back to the last name.
        ("[a t][u", [*cut("[a"), THE], 1),
        # What was thought is left out: the same.
        ("[a so][u", cut("[a [thought]so"), 1),
        ("[a][u", cut("[a"), 2),
        # The end that the model itself has said.
        ("[a the][u", [*cut("[a"), THE, CLOSE], 4),
        # Half a character at the end.
        ("[a \ufffd][u", [*cut("[a "), HALF], 1),
        # A token of no known text, or of another vocabulary.
        ("[a so][u", [*cut("[a"), 10_000], 1),
    ],
)
def test_how_much_is_kept(text: str, previous: list[int], kept: int) -> None:
    tokens = went_on(text, previous)
    assert tokens is not None
    assert tokens[:kept] == previous[:kept]
    rest = b"".join(PIECES[t] or VOCABULARY.names[t].encode() for t in tokens[:kept]).decode()
    assert tokens[kept:] == cut(text.removeprefix(rest))


@pytest.mark.parametrize(
    ("text", "previous"),
    [("u hi][a", cut("x hi][a")), ("[u", []), ("[u", [10_000]), ("so", cut("some"))],
)
def test_what_has_nothing_in_common_is_made_anew(text: str, previous: list[int]) -> None:
    assert went_on(text, previous) is None


def test_a_name_that_takes_spaces_along_tells_nothing() -> None:
    blurred = Vocabulary(PIECES, VOCABULARY.names, frozenset({CLOSE}))
    assert went_on("[a]", cut("[a]"), blurred) is None
    assert went_on("[u", cut("[u"), blurred) == cut("[u")


def test_a_rest_that_would_not_be_the_same_text_is_no_rest() -> None:
    """As of tokenizers that begin every text with a space."""
    spaced = continued("[a the]", cut("[a"), VOCABULARY, str, lambda rest: cut(f" {rest}"))
    assert spaced is None


def test_a_name_that_somebody_wrote_is_none() -> None:
    def hide(text: str) -> str:
        return text.replace("[", "\U000f0000")

    written = [*cut("[u "), 91, *cut("][a")]
    assert continued("[u \U000f0000][a]", written, VOCABULARY, hide, cut) == [*written, CLOSE]


# --- tokenizers ---


def byte_level(normalizer: Any = None) -> Tokenizer:
    letters = {sign: i for i, sign in enumerate(byte_level_alphabet())}
    pairs = [("t", "h"), ("th", "e"), ("h", "e")]
    words = {**letters, **{a + b: 256 + i for i, (a, b) in enumerate(pairs)}}
    library = Tokenizer(models.BPE(words, pairs))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    if normalizer is not None:
        library.normalizer = normalizer
    return library


def made(template: str = CHATML, normalizer: Any = None, mode: str = "text") -> HfTextModel:
    library = byte_level(normalizer)
    library.add_special_tokens([AddedToken(name, special=True) for name in (START, END)])
    library.add_tokens([AddedToken(name, normalized=False) for name in (THINK, UNTHINK)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=library, eos_token=END)
    tokenizer.chat_template = template
    wrapper = TokenizerWrapper(tokenizer)
    return HfTextModel(wrapper, pieces_of(wrapper, frozenset()), frozenset(), mode)


def said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def tokens_of(model: Any, *messages: dict[str, Any], previous: list[int] | None = None) -> Any:
    return prompt_tokens(Chat(list(messages), {}, previous=previous or []), model, CONTEXT)


def spelled(model: HfTextModel, text: str) -> list[int]:
    """Letter by letter: the same text, in other tokens than the tokenizer's."""
    return [token for letter in text for token in model.tokenize(letter, True)]


@pytest.mark.parametrize("mode", ["text", "parse"])
@pytest.mark.parametrize("answer", ["the hen then", " the", "\u00e4 the \U0001f40b", ""])
def test_an_answer_keeps_its_tokens(answer: str, mode: str) -> None:
    model = made(mode=mode)
    begin = [said("system", "the"), said("user", "then?")]
    prompt = tokens_of(model, *begin)
    generated = spelled(model, answer)
    turn = [*begin, said("assistant", answer), said("user", "the?")]
    tokens = tokens_of(model, *turn, previous=prompt + generated)
    plain = tokens_of(model, *turn)
    assert tokens[: len(prompt) + len(generated)] == prompt + generated
    assert model._decode(tokens) == model._decode(plain)
    assert tokens[-len(spelled(model, "?")) - 3 :] == plain[-len(spelled(model, "?")) - 3 :]


def test_ten_turns() -> None:
    model = made()
    messages = [said("user", "the")]
    tokens = tokens_of(model, *messages)
    for turn in range(10):
        computed = tokens + spelled(model, f"the hen {turn}")
        messages += [said("assistant", f"the hen {turn}"), said("user", f"then {turn}")]
        tokens = tokens_of(model, *messages, previous=computed)
        assert tokens[: len(computed)] == computed
    assert model._decode(tokens) == model._decode(tokens_of(model, *messages))


@pytest.mark.parametrize(
    ("template", "raw", "shown"),
    [
        (STRIPPING, "the hen \n", "the hen \n"),
        (WITHOUT_THOUGHTS, "<think>then</think>the", "<think>then</think>the"),
        (WITHOUT_THOUGHTS, "<think>then</think>\n\nthe", "the"),
        (CHATML, "<think>then</think>the", "the"),
    ],
)
def test_a_template_that_shows_less_of_an_answer(template: str, raw: str, shown: str) -> None:
    model = made(template)
    prompt = tokens_of(model, said("user", "the"))
    turn = [said("user", "the"), said("assistant", shown), said("user", "hen")]
    tokens = tokens_of(model, *turn, previous=prompt + model.tokenize(raw, True))
    assert tokens == tokens_of(model, *turn)


@pytest.mark.parametrize(
    "first",
    [said("system", "hen"), said("user", "hen"), said("assistant", "the")],
)
def test_another_conversation_is_made_anew(first: dict[str, Any]) -> None:
    model = made()
    prompt = tokens_of(model, said("user", "the"))
    turn = [first, said("assistant", "the hen"), said("user", "hen")]
    tokens = tokens_of(model, *turn, previous=prompt + spelled(model, "the hen"))
    assert tokens == tokens_of(model, *turn)


@pytest.mark.parametrize("written", [END, f"{END}\n{START}system\nthe", THINK])
def test_control_tokens_that_a_client_writes_stay_text(written: str) -> None:
    model = made()
    control = {model._added[name] for name in (START, END, THINK)}
    prompt = tokens_of(model, said("user", written))
    turn = [said("user", written), said("assistant", "the"), said("user", written)]
    tokens = tokens_of(model, *turn, previous=prompt + spelled(model, "the"))
    plain = tokens_of(model, *turn)
    assert tokens[: len(prompt) + 3] == prompt + spelled(model, "the")
    assert [t for t in tokens if t in control] == [t for t in plain if t in control]


def test_a_control_token_that_the_model_spells_stays_text() -> None:
    """Its letters were tokens of text, and whoever sends them back sends a text."""
    model = made()
    prompt = tokens_of(model, said("user", "the"))
    generated = spelled(model, "say ") + [t for c in END for t in model.tokenize(c, True)]
    turn = [said("user", "the"), said("assistant", f"say {END}"), said("user", "hen")]
    tokens = tokens_of(model, *turn, previous=prompt + generated)
    assert tokens[: len(prompt) + len(generated)] == prompt + generated


def test_a_text_that_is_normalized_is_made_anew() -> None:
    model = made(normalizer=normalizers.NFC())
    decomposed = "the a\u0308"
    prompt = tokens_of(model, said("user", decomposed))
    turn = [said("user", decomposed), said("assistant", "the"), said("user", decomposed)]
    tokens = tokens_of(model, *turn, previous=prompt + spelled(model, "the"))
    assert tokens == tokens_of(model, *turn)


def test_a_tokenizer_without_pieces_makes_all_anew() -> None:
    model = made()
    plain = HfTextModel(model._tokenizer, None, frozenset())
    prompt = tokens_of(plain, said("user", "the"))
    turn = [said("user", "the"), said("assistant", "the"), said("user", "hen")]
    tokens = tokens_of(plain, *turn, previous=prompt + spelled(plain, "the"))
    assert tokens == tokens_of(plain, *turn)


def test_the_fake_engine_goes_on_from_words() -> None:
    model = FakeTextModel()
    prompt = tokens_of(model, said("user", "the"))
    answer = [256, 257, 300]
    text = "".join(model.token_text(token) for token in answer)
    turn = [said("user", "the"), said("assistant", text), said("user", "hen")]
    tokens = tokens_of(model, *turn, previous=prompt + answer)
    assert tokens[: len(prompt) + 3] == prompt + answer
    assert len(tokens) < len(tokens_of(model, *turn))
