"""What was measured is measured once, for as long as what it depends on stays the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlx_serving.engine import Abilities
from mlx_serving.mlx import known_abilities
from mlx_serving.mlx.known_abilities import cache_folder, key_of, known_or_measured

WITHOUT_SHARED = '{"batch": true, "batch_reason": null, "prefix": "part", "prefix_reason": null, '
ALONE = Abilities(batch=False, batch_reason="logits differ by 0.7", prefix="whole", pieces=False)


class Measurement:
    def __init__(self, result: Abilities) -> None:
        self.count = 0
        self._result = result

    def __call__(self) -> Abilities:
        self.count += 1
        return self._result


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_SERVING_CACHE", str(tmp_path))
    return tmp_path


def only_file(cache: Path) -> Path:
    [file] = (cache / "abilities").iterdir()
    return file


@pytest.mark.parametrize("result", [Abilities(), ALONE])
def test_it_is_measured_once(result: Abilities) -> None:
    measurement = Measurement(result)
    for _ in range(3):
        assert known_or_measured("a", measurement) == result
    assert measurement.count == 1
    known_or_measured("b", measurement)
    assert measurement.count == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"batch": 1}',
        '{"prefix": "all"}',
        '{"more": true}',
        '{"pieces": null}',
        WITHOUT_SHARED + '"pieces": true}',
        WITHOUT_SHARED + '"pieces": true, "shared_prefill": 1, "shared_reason": null}',
    ],
)
def test_a_file_that_is_not_whole_is_none(cache: Path, text: str) -> None:
    known_or_measured("a", Measurement(ALONE))
    only_file(cache).write_text(text)
    measurement = Measurement(ALONE)
    assert known_or_measured("a", measurement) == ALONE
    assert measurement.count == 1
    assert known_or_measured("a", measurement) == ALONE
    assert measurement.count == 1


def test_a_cache_that_cannot_be_written_costs_a_measurement(cache: Path) -> None:
    (cache / "abilities").write_text("a file in the way")
    measurement = Measurement(ALONE)
    assert known_or_measured("a", measurement) == ALONE
    assert known_or_measured("a", measurement) == ALONE
    assert measurement.count == 2


def test_what_lack_of_memory_said_is_not_kept() -> None:
    measurement = Measurement(Abilities(batch=False, batch_reason="Unable to allocate 9 bytes"))
    known_or_measured("a", measurement)
    known_or_measured("a", measurement)
    assert measurement.count == 2


def test_the_key_is_of_all_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_of(b"{}", ["float32"], ["blocks", "products"], ["cpu"])
    assert key == key_of(b"{}", ["float32"], ["products", "blocks"], ["cpu"])
    others = [
        key_of(b"{ }", ["float32"], ["blocks", "products"], ["cpu"]),
        key_of(b"{}", ["float16"], ["blocks", "products"], ["cpu"]),
        key_of(b"{}", ["float32"], ["products"], ["cpu"]),
        key_of(b"{}", ["float32"], ["blocks", "products"], ["gpu"]),
    ]
    monkeypatch.setattr(known_abilities.importlib.metadata, "version", lambda name: "9")
    others.append(key_of(b"{}", ["float32"], ["blocks", "products"], ["cpu"]))
    assert len({key, *others}) == 6


def test_the_cache_is_where_the_set_up_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SERVING_CACHE", "/a")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("MLX_SERVING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/b/mlx-serving")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(known_abilities.sys, "platform", "darwin")
    assert cache_folder() == Path("~/Library/Caches/mlx-serving").expanduser()
