"""The disk tier as a worker has it: a model, threads, a folder. And why there may be none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.disk_store import DiskOptions, open_disk
from mlx_serving.mlx.kv_bytes import layout_of
from mlx_serving.mlx.prefix_disk import NoDisk, PrefixDisk
from mlx_serving.mlx.prefix_store import prefix_store
from mlx_serving.mlx.prompt_cache import PromptCache
from mlx_serving.mlx.whole_cache import WholePromptCache

from disk import files_in
from toy import Driver, model, prompt, request

BLOCK_TOKENS = 64


def opening(
    folder: Path, bytes_max: int = 10**9, identity: bytes = b"a model", short: bool = True
) -> Callable[[PromptCache, CacheFactory], PrefixDisk]:
    return lambda prompt_cache, caches: open_disk(
        DiskOptions(str(folder), bytes_max),
        prompt_cache,
        identity=lambda: identity,
        layout=lambda: layout_of(caches),
        # Whatever computing takes here, a machine may be busy.
        compute_seconds=lambda tokens, depth: 60.0,
        keeps_short=short,
    )


def driver(folder: Path | None, deterministic: bool = False, **options: object) -> Driver:
    return Driver(
        model(),
        prefix_bytes=10**8,
        block_tokens=BLOCK_TOKENS,
        deterministic=deterministic,
        max_batch=1 if deterministic else 8,
        open_disk=None if folder is None else opening(folder, short=not deterministic),
        **options,  # type: ignore[arg-type]
    )


def test_a_prompt_is_found_again_after_a_restart_with_the_same_text(tmp_path: Path) -> None:
    asked = [request(1, prompt(1, 300)), request(2, prompt(2, 90))]
    one = driver(tmp_path)
    expected = one.run(*asked)
    assert files_in(tmp_path)
    two = driver(tmp_path)
    assert two.run(*asked) == expected
    # Short blocks too, if they were written before a longer one took their place.
    assert 256 <= two.cached(1) <= 299 and 64 <= two.cached(2) <= 89
    assert two.disk and two.disk.counts().hits >= 5


def test_hits_end_on_borders_and_bits_are_the_same_in_the_deterministic_profile(
    tmp_path: Path,
) -> None:
    asked = [request(id, prompt(id, length), logprobs=3) for id, length in ((1, 300), (2, 257))]
    plain = driver(None, deterministic=True)
    expected = plain.run(*asked)
    one = driver(tmp_path, deterministic=True)
    assert one.run(*asked) == expected
    two = driver(tmp_path, deterministic=True)
    assert two.run(*asked) == expected
    assert (two.cached(1), two.cached(2)) == (256, 256)
    # To the last bit.
    assert two.logprobs == one.logprobs == plain.logprobs


def test_prompts_that_are_read_while_others_decode_are_right(tmp_path: Path) -> None:
    one = driver(tmp_path)
    late = request(2, prompt(2, 200))
    expected = one.run(late)
    two = driver(tmp_path)
    two.insert(request(1, prompt(1, 20), 60))
    for _ in range(5):
        two.step()
    assert two.run(late)[2] == expected[2]
    assert 192 <= two.cached(2) <= 199


def test_a_request_may_go_while_its_prompt_is_read(tmp_path: Path) -> None:
    one = driver(tmp_path)
    one.run(request(1, prompt(1, 300)))
    two = driver(tmp_path)
    two.insert(request(1, prompt(1, 300)))
    two.runner.remove(1)
    expected = one.run(request(2, prompt(1, 300)))
    assert two.run(request(2, prompt(1, 300))) == expected


@pytest.mark.parametrize("memory", ["none", "whole", "blocks"])
def test_a_worker_goes_on_without_what_it_cannot_use(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], memory: str
) -> None:
    caches = CacheFactory(model())
    prompt_cache: PromptCache = prefix_store(caches, 0 if memory == "none" else 10**8)
    if memory == "whole":
        prompt_cache = WholePromptCache(caches, 10**8)
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" if memory == "blocks" else tmp_path
    disk = opening(folder)(prompt_cache, caches)
    assert isinstance(disk, NoDisk) and disk.counts().on is False
    assert not disk.awaits(1, [1] * 100, "", may_wait=True) and disk.delay_seconds is None
    disk.keep_up(beside_rows=False)
    disk.forget(1)
    why = {
        "none": "none are kept in memory",
        "whole": "can't be cut into blocks",
        "blocks": "File exists",
    }
    assert why[memory] in capfd.readouterr().err


def test_a_folder_that_is_read_only_and_a_limit_below_a_block(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = CacheFactory(model())
    cache = prefix_store(caches, 10**8)
    assert isinstance(opening(tmp_path, 1000)(cache, caches), NoDisk)
    assert "--prefix-cache-disk is 1000 bytes, a block of this model takes" in (
        capfd.readouterr().err
    )
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert isinstance(opening(tmp_path)(cache, caches), NoDisk)
    assert "can't be written" in capfd.readouterr().err


def test_weights_that_cannot_be_read_are_no_failure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    caches = CacheFactory(model())

    def unreadable() -> bytes:
        raise PermissionError(13, "Permission denied")

    disk = open_disk(
        DiskOptions(str(tmp_path), 10**9),
        prefix_store(caches, 10**8),
        identity=unreadable,
        layout=lambda: layout_of(caches),
        compute_seconds=lambda tokens, depth: 1.0,
        keeps_short=True,
    )
    assert isinstance(disk, NoDisk) and "Permission denied" in capfd.readouterr().err
