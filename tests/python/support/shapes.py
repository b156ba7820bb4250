"""The shapes of what a worker sends, as `src-ts/worker/messages.ts` has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Shape = Callable[[Any], bool]


def u32(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < float("inf")


def boolean(value: Any) -> bool:
    return type(value) is bool


def text(value: Any) -> bool:
    return type(value) is str


def one_of(*names: str) -> Shape:
    return lambda value: value in names


def list_of(shape: Shape) -> Shape:
    return lambda value: type(value) is list and all(map(shape, value))


def map_of(shape: Shape) -> Shape:
    return lambda value: (
        type(value) is dict and all(text(key) and shape(item) for key, item in value.items())
    )


def record(optional: dict[str, Shape] | None = None, **fields: Shape) -> Shape:
    def fits(value: Any) -> bool:
        shapes = {**(optional or {}), **fields}
        return (
            type(value) is dict
            and fields.keys() <= value.keys() <= shapes.keys()
            and all(shapes[key](item) for key, item in value.items())
        )

    return fits


top_logprob = record(token=text, bytes=list_of(u32), logprob=number)
token_logprob = record(token=text, bytes=list_of(u32), logprob=number, top=list_of(top_logprob))
limits = record(
    contextMax=u32,
    kvBytesPerToken=number,
    kvBytesFixed=number,
    weightsBytes=number,
    kvBudgetBytes=number,
    kvAloneBytes=number,
    kvRoom=record(oneIn=u32, tokensMin=u32, tokensMax=u32),
)


def flag(value: Any) -> bool:
    return type(value) is bool


def nullable(shape: Shape) -> Shape:
    return lambda value: value is None or shape(value)


part_status = record(on=flag, reason=nullable(text), applicable=flag, missing=flag)
native_figures = record(
    module=record(on=flag, version=nullable(text), reason=nullable(text)),
    metrics=record(
        totalRequests=u32,
        completedRequests=u32,
        failedRequests=u32,
        averageLatencyMs=number,
        p50LatencyMs=number,
        p95LatencyMs=number,
        p99LatencyMs=number,
        throughputRps=number,
    ),
    pool=nullable(
        record(
            poolSize=u32,
            available=u32,
            totalAcquired=u32,
            totalReleased=u32,
            cacheHits=u32,
            cacheMisses=u32,
        )
    ),
)
sampling_defaults = record(
    temperature=number, topP=number, topK=u32, minP=number, repetitionPenalty=number
)


def piece(value: Any) -> bool:
    kinds = ("content", "reasoning", "call", "arguments", "forced")
    return (
        type(value) is list
        and len(value) == 2
        and (text(value[1]) if value[0] in kinds else value[0] == "callEnd" and flag(value[1]))
    )


def said(value: Any) -> bool:
    """A text where there is nothing but one; no list says nothing."""
    return text(value) or (value != [] and list_of(piece)(value))


def step_row(value: Any) -> bool:
    return (
        type(value) is list
        and len(value) in (4, 5)
        and all(map(u32, value[:3]))
        and said(value[3])
        and (len(value) == 4 or token_logprob(value[4]))
    )


SHAPES: dict[str, Shape] = {
    "hello": record(protocol=u32, versions=map_of(text), backend=text),
    "loading": record(done=number, total=number, what=text),
    "ready": record(
        limits=limits,
        sampling=sampling_defaults,
        native=map_of(part_status),
        abilities=record(
            batch=flag,
            batchReason=nullable(text),
            prefix=one_of("part", "whole", "none"),
            prefixReason=nullable(text),
            kvBits=lambda v: type(v) is int and v in (0, 4, 8),
            generates=flag,
            dimensions=u32,
        ),
    ),
    "loadFailed": record(code=text, message=text),
    "prepared": record(
        {
            "unbounded": flag,
            "lengths": list_of(u32),
            "text": text,
            "pieces": list_of(text),
        },
        id=u32,
        tokens=lambda v: type(v) is bytes,
        blockHashes=list_of(text),
    ),
    "busy": record(reason=text, allowanceMs=number),
    "aborted": record(id=u32),
    "read": record(
        {
            "vectors": lambda v: type(v) is bytes,
            "logprobs": list_of(
                record(
                    token=text,
                    bytes=list_of(u32),
                    logprob=nullable(number),
                    top=list_of(top_logprob),
                )
            ),
        },
        id=u32,
    ),
    "blocks": record(kept=list_of(text), evicted=list_of(text)),
    "prefill": record(id=u32, done=u32, total=u32, cached=u32),
    "step": record(step=u32, rows=list_of(step_row)),
    "ended": record(
        {"code": one_of("generation_error", "out_of_memory"), "message": text, "stop": text},
        id=u32,
        finish=one_of("stop", "length", "toolCalls", "failed"),
        tail=said,
    ),
    "refused": record(
        id=u32,
        code=one_of(
            "invalid_prompt",
            "invalid_request",
            "context_length_exceeded",
            "out_of_memory",
            "memory_budget_exceeded",
        ),
        field=text,
        message=text,
    ),
    "telemetry": record(
        {
            "native": native_figures,
            "prefixes": record(
                entries=u32,
                hitTokens=u32,
                neverSeenTokens=u32,
                evictedTokens=u32,
                otherSaltTokens=u32,
                belowBlockTokens=u32,
                evictions=u32,
            ),
            "prefixDisk": record(
                on=boolean,
                blocks=u32,
                bytes=number,
                pending=u32,
                hits=u32,
                hitTokens=u32,
                misses=u32,
                writes=u32,
                drops=u32,
                evictions=u32,
                unfit=u32,
                readErrors=u32,
                writeErrors=u32,
                slow=u32,
            ),
            "grammars": record(
                requests=u32,
                refused=u32,
                compiled=u32,
                compileMs=number,
                compileTimes=list_of(list_of(number)),
                masks=u32,
                maskMs=number,
            ),
        },
        running=u32,
        waiting=u32,
        steps=u32,
        prefixCacheBytes=number,
        kvBytes=number,
        memoryBytes=number,
    ),
    "fault": record({"native": native_figures}, code=text, message=text),
}


def check(name: str, body: Any) -> None:
    assert SHAPES[name](body), f"{name}: {body}"
