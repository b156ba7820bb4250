"""Opens the disk tier of a prompt cache, or says why there is none: a worker goes on without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..log import log
from .block_cache import BlockPromptCache
from .disk_files import DiskFiles
from .disk_format import BlockFormat, Layout
from .disk_index import DiskIndex
from .disk_reader import DiskReader, Pool
from .disk_tier import DiskTier
from .disk_writer import DiskWork, DiskWriter, said
from .prefix_disk import NoDisk, PrefixDisk
from .prompt_cache import PromptCache


@dataclass(frozen=True, slots=True)
class DiskOptions:
    folder: str
    bytes_max: int


class Unusable(Exception):
    """The text says why."""


def open_disk(
    options: DiskOptions,
    prompt_cache: PromptCache,
    *,
    identity: Callable[[], bytes],
    layout: Callable[[], Layout],
    compute_seconds: Callable[[int, int], float],
    keeps_short: bool,
) -> PrefixDisk:
    """`identity` raises `OSError` where the weights can't be read."""
    try:
        cache = _in_blocks(prompt_cache)
        files = DiskFiles(Path(options.folder))
        block_format = BlockFormat(identity(), layout())
        _check_limit(options.bytes_max, block_format.size_bytes(cache.block_tokens))
    except (OSError, Unusable) as error:
        reason = said(error) if isinstance(error, OSError) else str(error)
        log(f"no prefixes are kept on disk in {options.folder}: {reason}")
        return NoDisk()
    index = DiskIndex(files, options.bytes_max)
    return DiskTier(
        cache,
        block_format,
        index,
        DiskWriter(DiskWork(files, index, block_format)),
        DiskReader(files, index, block_format, Pool()),
        compute_seconds,
        keeps_short=keeps_short,
    )


def _in_blocks(prompt_cache: PromptCache) -> BlockPromptCache:
    if not prompt_cache.figures().bytes_max:
        raise Unusable("none are kept in memory, and what is read goes there")
    if not isinstance(prompt_cache, BlockPromptCache):
        raise Unusable("this model's caches can't be cut into blocks")
    return prompt_cache


def _check_limit(bytes_max: int, block_bytes: int) -> None:
    if bytes_max < block_bytes:
        raise Unusable(
            f"--prefix-cache-disk is {bytes_max} bytes, a block of this model takes {block_bytes}"
        )
