"""What the fake engine reads depends on the tokens alone."""

from __future__ import annotations

import numpy as np
import pytest
from mlx_serving.fake.reading import DIMENSIONS, read
from mlx_serving.messages import Embed, Score


def test_the_same_text_has_the_same_vector_of_length_one() -> None:
    result = read(1, [1, 2, 3, 1, 2, 4], Embed([2, 1, 2, 1]))
    assert result.vectors is not None
    vectors = np.frombuffer(result.vectors, "<f4").reshape(4, DIMENSIONS)
    assert (vectors[0] == vectors[2]).all() and not (vectors[0] == vectors[1]).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 1], abs=1e-5)


def test_a_score_has_every_token_and_the_first_is_bare() -> None:
    (first, none), (second, some) = read(1, [7, 8], Score(2)).logprobs
    assert (first, none, second) == (7, None, 8)
    assert some is not None and len(some.top) == 2
