"""The bounds on a prompt's size, and that a body of the longest kind reaches a worker whole."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from mlx_serving import messages
from mlx_serving.failures import Refused
from mlx_serving.fake.text import END_TOKEN, FakeTextModel
from mlx_serving.link import parse
from mlx_serving.link.frames import HEADER, PAYLOAD_BYTES_MAX, FrameDecoder, encode_frame
from mlx_serving.messages import TO_WORKER_TYPES, Chat, Text, Texts, Tokens
from mlx_serving.text import prompts

BODY_BYTES_MAX = 32 * 1024 * 1024


def refused(input: messages.PrepareInput, context_max: int = 4096) -> Refused:
    with pytest.raises(Refused) as caught:
        prompts.prompt_tokens(input, FakeTextModel(), context_max)
    return caught.value


@pytest.mark.parametrize("text", ["x" * BODY_BYTES_MAX, "\u00fc" * (BODY_BYTES_MAX // 2)])
def test_the_longest_body_is_read_and_refused_for_its_tokens(text: str) -> None:
    body = {"id": 1, "input": {"kind": "text", "text": text}}
    header, payload = encode_frame(TO_WORKER_TYPES["prepare"], 7, body)
    (frame,) = FrameDecoder(7).feed(header + payload)
    request = parse.parse(*frame)
    assert isinstance(request, messages.Prepare) and request.input == Text(text)
    refusal = refused(request.input)
    assert refusal.code == "context_length_exceeded" and "4095" in str(refusal)


def test_as_many_messages_as_a_client_may_send_with_instructions() -> None:
    one = {"role": "user", "content": "x"}
    most = Chat([one] * 16_385, {})
    assert prompts.prompt_tokens(most, FakeTextModel(), 10_000_000)
    refusal = refused(Chat([one] * 16_386, {}), 10_000_000)
    assert refusal.code == "invalid_prompt" and refusal.field == "messages"


class NoBeginning(FakeTextModel):
    """Its template writes nothing, and it has no begin-of-text token."""

    def render(
        self, messages: list[dict[str, Any]], template_args: dict[str, Any], *turn: Any
    ) -> str:
        return ""

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        return list(text.encode())


@pytest.mark.parametrize(
    ("input", "field"), [(Text(""), "input"), (Chat([], {}), "messages"), (Tokens([]), "input")]
)
def test_where_there_is_nothing_to_go_on_from(input: messages.PrepareInput, field: str) -> None:
    with pytest.raises(Refused, match="begin-of-text token") as caught:
        prompts.prompt_tokens(input, NoBeginning(), 4096)
    assert caught.value.code == "invalid_prompt" and caught.value.field == field


def test_tokens_that_nothing_goes_on_from_may_be_none_or_more_than_a_context_holds() -> None:
    model = FakeTextModel()
    assert prompts.all_tokens(Text(""), model) == prompts.all_tokens(Tokens([]), model) == []
    assert len(prompts.all_tokens(Text("x" * 200_000), model)) == 200_000
    with pytest.raises(Refused, match="must be below"):
        prompts.all_tokens(Tokens([model.vocabulary]), model)


def test_texts_are_bounded_one_by_one_and_named_by_their_places() -> None:
    model = FakeTextModel()
    assert prompts.text_tokens(Texts(["ab", [7, 8]]), model, 2) == [[97, 98], [7, 8]]
    for texts, said in (
        (["a", "abc"], r"input\[1\]: at least 3 tokens; the limit is 2"),
        (["a", [1, 2, 3]], r"input\[1\]: 3 tokens; the limit is 2"),
        ([[model.vocabulary]], r"input\[0\]: token ids must be below"),
        ([[]], r"input\[0\] must not be empty"),
    ):
        with pytest.raises(Refused, match=said):
            prompts.text_tokens(Texts(texts), model, 2)
    with pytest.raises(Refused, match="lengths"):
        prompts.check_texts([1, 2], [1], model, 2)


def test_the_fake_model_begins_a_text() -> None:
    assert prompts.prompt_tokens(Text(""), FakeTextModel(), 4096) == [END_TOKEN]


def test_no_context_is_so_long_that_the_tokens_fit_into_no_frame() -> None:
    most = prompts.PROMPT_TOKENS_MAX
    refusal = refused(Tokens([1] * (most + 1)), 16_777_216)
    assert refusal.code == "context_length_exceeded" and str(most) in str(refusal)
    hashes = ["f" * 32] * (most // 64)
    answer = {"id": 1, "tokens": bytes(4 * most), "blockHashes": hashes}
    assert HEADER.size + len(msgpack.packb(answer)) < PAYLOAD_BYTES_MAX


def test_what_goes_on_is_bounded_as_a_whole_and_in_its_rest() -> None:
    """Tokens that were computed before count too, and a rest that can't fit is not cut up."""
    said = {"role": "user", "content": "x"}
    previous = prompts.prompt_tokens(Chat([said], {}), FakeTextModel(), 4096) + [256] * 4096
    answer = {"role": "assistant", "content": " the" * 4096}
    longer = Chat([said, answer, said], {}, previous=previous)
    assert refused(longer).code == "context_length_exceeded"
    assert prompts.prompt_tokens(longer, FakeTextModel(), 8192)[: len(previous)] == previous
    huge = Chat([said, answer, {**said, "content": "x" * 10_000}], {}, previous=previous)
    assert "at least 100" in str(refused(huge, 8192))
