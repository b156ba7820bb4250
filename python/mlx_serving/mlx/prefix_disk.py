"""The port of the disk tier: blocks of prompts that outlive the worker, below those in memory.

What is read is put into the prompt cache, so a match there finds it as if it had been computed.
The engine thread alone calls these methods, and none of them waits for a disk unless it may.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..engine import DiskCounts


class PrefixDisk(Protocol):
    @property
    def delay_seconds(self) -> float | None:
        """Until `keep_up` has something to do; None: it has nothing."""
        ...

    def awaits(self, id: int, tokens: Sequence[int], salt: str, may_wait: bool) -> bool:
        """Whether more of these tokens is on its way from the disk to the prompt cache. To be asked
        again until it isn't. `may_wait`: nothing else could be done meanwhile."""
        ...

    def forget(self, id: int) -> None:
        """A request that is not asked for any more."""
        ...

    def keep_up(self, beside_rows: bool) -> None:
        """Once a step: hands on what is to be written. `beside_rows`: as little at once as lets a
        step be short."""
        ...

    def finish(self, seconds: float) -> None:
        """The worker ends: writes what waits, as far as there is time."""
        ...

    def counts(self) -> DiskCounts: ...


class NoDisk:
    """Implements `PrefixDisk` where the folder can't be used: the worker goes on without."""

    delay_seconds: float | None = None

    def awaits(self, id: int, tokens: Sequence[int], salt: str, may_wait: bool) -> bool:
        return False

    def forget(self, id: int) -> None:
        pass

    def keep_up(self, beside_rows: bool) -> None:
        pass

    def finish(self, seconds: float) -> None:
        pass

    def counts(self) -> DiskCounts:
        return DiskCounts(on=False)
