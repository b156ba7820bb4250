"""What is read in shared passes, in pieces and beside others is what one pass alone would say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_serving.engine import ReadResult, StepOutput
from mlx_serving.failures import Refused
from mlx_serving.messages import Admission, Embed, Sampling, Score
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.hidden_states import states_of
from mlx_serving.mlx.reading import ReadingPhase
from mlx_serving.mlx.runner import play

import toy

TEXTS = [[5, 9, 2], [7], [3, 1, 4, 1, 5, 9, 2, 6], [8, 8], list(range(1, 41))]


def phase(tokens: Callable[[], int] = lambda: 2048, **changes: Any) -> ReadingPhase:
    model = toy.model()
    options: dict[str, Any] = {
        "model": model,
        "states": states_of(model, toy.VOCABULARY),
        "new_cache": CacheFactory(model).new,
        "vocabulary": toy.VOCABULARY,
        "pass_tokens": tokens,
        **changes,
    }
    return ReadingPhase(**options)


def embed(id: int, texts: list[list[int]]) -> Admission:
    prompt = [token for text in texts for token in text]
    reading = Embed([len(text) for text in texts])
    return Admission(id, prompt, [], 0, Sampling(), reading=reading)


def score(id: int, prompt: list[int], top: int = 0) -> Admission:
    return Admission(id, prompt, [], 0, Sampling(), reading=Score(top))


def played(reading: ReadingPhase, steps: int = 200) -> tuple[dict[int, list[ReadResult]], int]:
    results: dict[int, list[ReadResult]] = {}
    passes = 0
    while reading.count:
        output = StepOutput()
        play(reading, output)
        passes += 1
        assert passes < steps
        assert all(end.finish == "stop" for end in output.ends), output.ends
        for result in output.reads:
            results.setdefault(result.id, []).append(result)
    return results, passes


def vectors_of(results: list[ReadResult], count: int) -> np.ndarray[Any, Any]:
    (result,) = results
    assert result.vectors is not None
    return np.frombuffer(result.vectors, dtype="<f4").reshape(count, -1)


def expected(text: list[int]) -> np.ndarray[Any, Any]:
    states = np.array(toy.model().model(mx.array([text]))[0].astype(mx.float32))
    mean = states.mean(axis=0)
    return mean / np.linalg.norm(mean)  # type: ignore[no-any-return]


@pytest.mark.parametrize("tokens", [2048, 16, 3])
def test_a_vector_is_the_mean_of_the_states_however_it_is_read(tokens: int) -> None:
    reading = phase(lambda: tokens)
    reading.insert(embed(1, TEXTS))
    reading.insert(embed(2, TEXTS[::-1]))
    results, passes = played(reading)
    vectors = vectors_of(results[1], len(TEXTS))
    for vector, text in zip(vectors, TEXTS, strict=True):
        np.testing.assert_allclose(vector, expected(text), atol=2e-5)
    np.testing.assert_allclose(vectors_of(results[2], len(TEXTS)), vectors[::-1], atol=2e-5)
    assert passes < 2 * len(TEXTS) or tokens < 40


def test_texts_of_several_requests_share_a_pass() -> None:
    reading = phase()
    for id in range(8):
        reading.insert(embed(id, [[id + 1, 2, 3]]))
    assert played(reading)[1] == 1


@pytest.mark.parametrize("tokens", [2048, 7])
def test_a_score_is_the_log_probability_of_each_token(tokens: int) -> None:
    prompt = TEXTS[4]
    reading = phase(lambda: tokens)
    reading.insert(score(1, prompt, top=3))
    reading.insert(score(2, [9]))
    results, _ = played(reading)
    scored = [one for result in results[1] for one in result.logprobs]
    assert [token for token, _ in scored] == prompt
    assert scored[0][1] is None and results[2][0].logprobs == [(9, None)]
    logits = np.array(toy.model()(mx.array([prompt]))[0].astype(mx.float32), dtype=np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    for place, (token, said) in enumerate(scored[1:]):
        assert said is not None
        assert said.logprob == pytest.approx(logprobs[place, token], abs=1e-4)
        likeliest = np.sort(logprobs[place])[::-1][:3]
        assert [value for _, value in said.top] == pytest.approx(likeliest.tolist(), abs=1e-4)


def test_one_that_is_removed_says_nothing_and_the_others_go_on() -> None:
    reading = phase(lambda: 4)
    reading.insert(embed(1, TEXTS))
    reading.insert(embed(2, TEXTS[:2]))
    play(reading, StepOutput())
    reading.remove(1)
    results, _ = played(reading)
    assert list(results) == [2]


def test_what_fails_ends_those_of_its_pass() -> None:
    class Broken:
        dimensions = 4
        in_pieces = True

        def states(self, *_: object) -> mx.array:
            raise RuntimeError("[malloc] Unable to allocate")

        def pool(self, *_: object) -> mx.array:
            raise AssertionError("there is nothing to pool")

    reading = phase(states=Broken())
    reading.insert(embed(1, TEXTS))
    output = StepOutput()
    play(reading, output)
    assert [(end.id, end.code) for end in output.ends] == [(1, "out_of_memory")]
    assert reading.count == 0


def test_what_a_model_cannot_is_refused() -> None:
    with pytest.raises(Refused, match="no states"):
        phase(states=None).insert(embed(1, TEXTS))
    with pytest.raises(Refused, match="makes no text"):
        phase(model=None).insert(score(1, [1, 2]))
