"""The admitted requests as the link thread knows them: the text of each, and since when it is here.

`ActiveRequests` turns an engine's step into the body of a `step` frame. It knows no socket and no
thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..engine import End, Forcing, ReadResult, Row, RowLogprobs
from ..failures import Refused
from ..grammar.grammars import Wish
from ..grammar.matcher import Matcher
from ..messages import (
    Admission,
    Constraint,
    Embed,
    Ended,
    Finish,
    Read,
    ReadLogprob,
    StepRow,
    TokenLogprob,
    TopLogprob,
)
from ..text.model import TextModel
from ..text.prompts import check_prompt, check_texts
from ..text.streaming import RequestText
from ..text.turn_grammar import turn_grammar
from ..text.turn_text import TurnText, turn_text

MILLISECONDS: Final = 1000.0
# Every token's text is compared with every stop string.
STOPS_MAX: Final = 64
STOP_CHARACTERS_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class EndedRequest:
    """How a request ended. `total_ms`: from its admission to its end. `matcher`: if it had one."""

    body: Ended
    total_ms: float
    matcher: Matcher | None = None


@dataclass(slots=True)
class ActiveRequest:
    """One admitted request."""

    id: int
    text: RequestText | TurnText
    matcher: Matcher | None = None
    """Where its answer is in its grammar; it is the engine's, and only looked at here."""
    forcing: Forcing | None = None
    """Which of its tokens must come; it is the engine's."""
    admitted_at: float = field(default_factory=time.monotonic)

    def ended(self, finish: Finish, end: End | None = None) -> EndedRequest:
        tail = self.text.finish(cut=finish != "stop")
        body: Ended = {"id": self.id, "finish": self.text.finished(finish), "tail": tail}
        if self.text.stop is not None and body["finish"] == "stop":
            body["stop"] = self.text.stop
        if end is not None and end.code is not None:
            body["code"] = end.code
            body["message"] = end.message
        total_ms = (time.monotonic() - self.admitted_at) * MILLISECONDS
        return EndedRequest(body, total_ms, self.matcher)


class ActiveRequests:
    """All admitted requests, by id."""

    def __init__(self, model: TextModel, context_max: int) -> None:
        self._model = model
        self._context_max = context_max
        self._active: dict[int, ActiveRequest] = {}

    def __contains__(self, id: int) -> bool:
        return id in self._active

    @property
    def any(self) -> bool:
        return bool(self._active)

    def wish(self, request: Admission) -> Wish | None:
        """What its answer is to be kept to. Raises `Refused`."""
        self._check(request)
        return turn_grammar(self._model, request)

    def admit(self, request: Admission, wish: Wish | None = None) -> EndedRequest | None:
        """Takes a request in, or returns its end when what was emitted is an end already. Raises
        `Refused`."""
        self._check(request)
        is_whole = isinstance(wish, Constraint)
        text = self._replayed(request, is_whole)
        active = ActiveRequest(request.id, text)
        if text.stopped or self._has_end(request):
            return active.ended("stop")
        # With its limit a grammar may have come to its end: then it is no limit that ends it.
        if wish is None and self._is_full(request):
            return active.ended("length")
        if isinstance(text, TurnText) and text.is_limited:
            # The engine thread reads the answer too, up to a token before this one.
            forcing = self._replayed(request, is_whole)
            assert isinstance(forcing, TurnText)
            active.forcing = forcing
        self._active[request.id] = active
        return None

    def forcings(self, requests: Iterable[Admission]) -> dict[int, Forcing]:
        """Of those that are active."""
        active = ((request.id, self._active.get(request.id)) for request in requests)
        return {id: one.forcing for id, one in active if one is not None and one.forcing}

    def _replayed(self, request: Admission, is_whole: bool) -> RequestText | TurnText:
        text = self._text(request, is_whole)
        for token in request.emitted:
            text.push(token)
            if text.stopped:
                break
        return text

    def _check(self, request: Admission) -> None:
        if isinstance(request.reading, Embed):
            check_texts(request.prompt, request.reading.lengths, self._model, self._context_max)
        else:
            check_prompt(request.prompt, "prompt", self._model, self._context_max)
        biased = [token for token, _ in request.sampling.logit_bias]
        for name, tokens in (("emitted", request.emitted), ("logit_bias", biased)):
            if tokens and max(tokens) >= self._model.vocabulary:
                limit = f"{name}: token ids must be below {self._model.vocabulary}"
                raise Refused("invalid_prompt", name, limit)
        stops = request.sampling.stop
        if len(stops) > STOPS_MAX or any(len(stop) > STOP_CHARACTERS_MAX for stop in stops):
            limit = f"stop: at most {STOPS_MAX} strings of {STOP_CHARACTERS_MAX} characters"
            raise Refused("invalid_prompt", "stop", limit)

    def _text(self, request: Admission, is_whole: bool) -> RequestText | TurnText:
        """`is_whole`: the answer is all that there is of the turn."""
        stops = request.sampling.stop
        named = ((self._model.silent_token(stop), stop) for stop in stops)
        stop_tokens = {token: stop for token, stop in named if token is not None}
        # Where it is kept to a grammar, it is what its tokens are, a first space too.
        begins_turn = request.chat and not is_whole
        turn = self._model.turn_format(request) if begins_turn else None
        if turn is not None:
            return turn_text(self._model, turn, request, stop_tokens)
        continues = () if begins_turn else request.prompt
        return RequestText(self._model.detokenizer(continues), stops, stop_tokens)

    def _has_end(self, request: Admission) -> bool:
        return bool(request.emitted) and request.emitted[-1] in self._model.end_tokens

    def _is_full(self, request: Admission) -> bool:
        """Whether all tokens are out that it may have."""
        if request.max_tokens == 0:
            return False
        tokens = len(request.emitted)
        in_context = len(request.prompt) + tokens
        return in_context >= self._context_max or tokens >= request.max_tokens

    def constrain(self, id: int, matcher: Matcher) -> None:
        self._active[id].matcher = matcher

    def end_of(self, request: Admission, matcher: Matcher | None) -> End | None:
        """Its end, where with what is out of it there is nothing more to be said. `matcher`: None
        if no grammar keeps it after all."""
        if matcher is not None and matcher.error is not None:
            return End(request.id, "failed", "generation_error", matcher.error)
        if matcher is not None and matcher.done:
            return End(request.id, "stop")
        return End(request.id, "length") if self._is_full(request) else None

    def drop(self, id: int) -> bool:
        """Whether it was there."""
        return self._active.pop(id, None) is not None

    def rows(self, rows: Sequence[Row]) -> tuple[list[StepRow], list[EndedRequest]]:
        """The rows of a `step` frame, and what ended with them by a stop string."""
        active = self._active
        out: list[StepRow] = []
        stopped: list[EndedRequest] = []
        for id, index, token, logprobs in rows:
            request = active.get(id)
            if request is None:
                continue
            said = request.text.push(token)
            if logprobs is None or not request.text.shows_logprobs:
                out.append((id, index, token, said))
            else:
                out.append((id, index, token, said, self._logprob(token, logprobs)))
            if request.text.stopped:
                del active[id]
                stopped.append(request.ended("stop"))
        return out, stopped

    def read(self, result: ReadResult) -> Read:
        """The body of a `read` frame."""
        body: Read = {"id": result.id}
        if result.vectors is not None:
            body["vectors"] = result.vectors
        if result.logprobs:
            body["logprobs"] = [self._read_logprob(*one) for one in result.logprobs]
        return body

    def _read_logprob(self, token: int, logprobs: RowLogprobs | None) -> ReadLogprob:
        if logprobs is not None:
            return {**self._logprob(token, logprobs)}
        named = self._likely(token, 0.0)
        return {"token": named["token"], "bytes": named["bytes"], "logprob": None, "top": []}

    def end(self, end: End) -> EndedRequest | None:
        """None when the request is gone already."""
        request = self._active.pop(end.id, None)
        return None if request is None else request.ended(end.finish, end)

    def _logprob(self, token: int, logprobs: RowLogprobs) -> TokenLogprob:
        return {
            **self._likely(token, logprobs.logprob),
            "top": [self._likely(id, logprob) for id, logprob in logprobs.top],
        }

    def _likely(self, token: int, logprob: float) -> TopLogprob:
        model = self._model
        return {
            "token": model.token_text(token),
            "bytes": list(model.token_bytes(token)),
            "logprob": logprob,
        }
