"""The fake engine through a real process."""

from __future__ import annotations

from orchestrator import Worker, admission


def test_runs_to_the_token_limit() -> None:
    with Worker() as worker:
        worker.ready()
        run = worker.run(admission(1, "hello", max_tokens=50))[1]
        assert len(run.tokens) == 50
        assert run.end["finish"] == "length"
        assert run.end["usage"] == {
            "promptTokens": 5,
            "cachedTokens": 0,
            "completionTokens": 50,
        }
