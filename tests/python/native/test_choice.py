"""Which native parts are asked for."""

from __future__ import annotations

import pytest
from mlx_serving.native import choice
from mlx_serving.native.choice import DEFAULT_PARTS, PARTS


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (choice.VARIABLE, choice.PARTS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def ask(monkeypatch: pytest.MonkeyPatch, mode: str | None, parts: str | None = None) -> None:
    for name, value in ((choice.VARIABLE, mode), (choice.PARTS_VARIABLE, parts)):
        if value is not None:
            monkeypatch.setenv(name, value)


def wanted() -> set[str]:
    return {part for part in PARTS if choice.is_wanted(part)}


@pytest.mark.parametrize(
    ("mode", "parts", "expected"),
    [
        (None, None, DEFAULT_PARTS),
        ("auto", "", DEFAULT_PARTS),
        (" AUTO ", None, DEFAULT_PARTS),
        ("auto", "all", PARTS),
        ("auto", "pool, blas", {"pool", "blas"}),
        ("on", None, PARTS),
        ("1", "metrics", {"metrics"}),
        ("off", None, ()),
        ("0", "all", ()),
    ],
)
def test_wanted_parts(
    monkeypatch: pytest.MonkeyPatch, mode: str | None, parts: str | None, expected: object
) -> None:
    ask(monkeypatch, mode, parts)
    assert wanted() == set(expected)  # type: ignore[call-overload]
    assert choice.is_required() == (mode in ("on", "1"))


@pytest.mark.parametrize(
    ("mode", "parts", "reason"),
    [
        ("off", None, "turned off by --native or MLX_SERVING_NATIVE"),
        ("auto", None, "off by default: it gains too little"),
        ("auto", "blas", "not among --native-parts"),
        ("maybe", None, "MLX_SERVING_NATIVE must be auto, on, off, 1 or 0, not 'maybe'"),
        ("auto", "blas,magic", "MLX_SERVING_NATIVE_PARTS must name some of pool, metrics, blas"),
    ],
)
def test_why_the_pool_is_unwanted(
    monkeypatch: pytest.MonkeyPatch, mode: str, parts: str | None, reason: str
) -> None:
    ask(monkeypatch, mode, parts)
    assert str(choice.why_unwanted("pool")).startswith(reason)


@pytest.mark.parametrize(("mode", "parts"), [("maybe", None), ("auto", "magic"), ("off", "magic")])
def test_what_means_nothing_is_no_choice(
    monkeypatch: pytest.MonkeyPatch, mode: str, parts: str | None
) -> None:
    ask(monkeypatch, mode, parts)
    assert wanted() == set() and choice.is_required()


def test_one_wanted_part_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, "auto", "blocks")
    assert choice.why_unwanted("products", "blocks") is None
    assert choice.why_unwanted("products", "sampling") is not None
