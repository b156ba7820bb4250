"""Faults of the fake engine, for the tests of this project.

The environment variable MLX_SERVING_FAKE_FAULTS holds a JSON object with any of
  prefillMsPerToken   prefill takes this long, in chunks of `prefillChunkTokens`
  prepareMs           every `prepare` takes this long
  dieAtToken          a signal right after the token of this index was sent, if this process sent it
  dieSignal           the name of that signal; SIGKILL if it is left out
  hangAtToken         the same, but the engine thread never comes back
  raiseAtToken        the same, but the step raises an exception
  poison              SIGKILL when a prompt holds this word
  poisonPrepare       SIGSEGV while a prompt that holds this word is prepared
  hangPrepare         the same, but the prepare thread never comes back
  outOfMemoryAtRows   a step with more rows than that runs out of memory
  outOfMemoryAtTokens a prompt of more tokens than that runs out of memory
  exitOnLoad          true: the process exits with code 1 while it loads
  loadFailed          the load fails with this message
and, on the link (`link_faults.py`; places are counted from the end of the frame `ready`),
  dieAtByte           SIGKILL when exactly so many bytes have left
  dieInFrame          {frame, nth, byte}: SIGKILL when so many bytes of the nth such frame (from 1)
                      have left; more than it has are all
  damage              {kind, frame, nth, byte}: that frame is sent as kind says: `stray` (text that
                      is no frame at this byte of it), `oversize`, `checksum`, `unknownType`,
                      `olderEpoch` (a copy of the incarnation before comes first), `order` (a
                      `step` that skips a token)
  afterEnded          they are counted from the end of so many frames `ended` instead
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ..failures import LoadFailed
from ..link.outgoing import Outgoing
from .link_faults import Damage, FaultyOutgoing, LinkFaults, Place

FAULTS_VARIABLE: Final = "MLX_SERVING_FAKE_FAULTS"
# Time for the link thread to write what was sent before a fault.
FLUSH_SECONDS: Final = 0.1
# As MLX says it.
MEMORY_MESSAGE: Final = "[malloc] Unable to allocate 1099511627776 bytes."

_NAMES: Final = {
    "prefillMsPerToken": "prefill_ms_per_token",
    "prepareMs": "prepare_ms",
    "dieAtToken": "die_at_token",
    "dieSignal": "die_signal",
    "hangAtToken": "hang_at_token",
    "raiseAtToken": "raise_at_token",
    "poison": "poison",
    "poisonPrepare": "poison_prepare",
    "hangPrepare": "hang_prepare",
    "outOfMemoryAtRows": "rows_max",
    "outOfMemoryAtTokens": "prompt_tokens_max",
    "exitOnLoad": "exit_on_load",
    "loadFailed": "load_failed",
}
_LINK_NAMES: Final = frozenset({"dieAtByte", "dieInFrame", "damage", "afterEnded"})


class Generating(Protocol):
    """`first`: index of the first token that this process makes, `next`: of the next one."""

    @property
    def first(self) -> int: ...
    @property
    def next(self) -> int: ...


@dataclass(slots=True)
class Faults:
    """See the module's head. All off unless the environment variable is set."""

    prefill_ms_per_token: float = 0.0
    prepare_ms: float = 0.0
    die_at_token: int = -1
    die_signal: str = "SIGKILL"
    hang_at_token: int = -1
    raise_at_token: int = -1
    poison: str = ""
    poison_prepare: str = ""
    hang_prepare: str = ""
    rows_max: int | None = None
    prompt_tokens_max: int | None = None
    exit_on_load: bool = False
    load_failed: str = ""
    link: LinkFaults = field(default_factory=LinkFaults)

    @classmethod
    def from_environment(cls) -> Faults:
        raw: dict[str, Any] = json.loads(os.environ.get(FAULTS_VARIABLE) or "{}")
        unknown = raw.keys() - _NAMES.keys() - _LINK_NAMES
        if unknown:
            raise ValueError(f"{FAULTS_VARIABLE}: unknown {', '.join(sorted(unknown))}")
        own = {_NAMES[key]: value for key, value in raw.items() if key in _NAMES}
        return cls(**own, link=_link_faults(raw))

    def outgoing(self, out: Outgoing) -> Outgoing:
        """What frames pass on their way to the socket, instead of `out`."""
        return FaultyOutgoing(self.link) if self.link else out

    def on_load(self) -> None:
        if self.exit_on_load:
            os._exit(1)
        if self.load_failed:
            raise LoadFailed("model_not_found", self.load_failed)

    def on_prepare(self, text: str) -> None:
        if self.prepare_ms:
            time.sleep(self.prepare_ms / 1000)
        if self.hang_prepare and self.hang_prepare in text:
            time.sleep(1e9)
        if self.poison_prepare and self.poison_prepare in text:
            signal.raise_signal(signal.SIGSEGV)  # this thread: it must not come to an answer

    def on_prompt(self, prompt: list[int]) -> None:
        if self.poison and self.poison.encode() in bytes(token & 255 for token in prompt):
            os.kill(os.getpid(), signal.SIGKILL)

    def on_prefill(self, prompt_tokens: int) -> None:
        if self.prompt_tokens_max is not None and prompt_tokens > self.prompt_tokens_max:
            raise RuntimeError(MEMORY_MESSAGE)

    def on_step(self, rows: Sequence[Generating]) -> None:
        if self.rows_max is not None and len(rows) > self.rows_max:
            raise RuntimeError(MEMORY_MESSAGE)
        if _sent(rows, self.die_at_token):
            time.sleep(FLUSH_SECONDS)
            os.kill(os.getpid(), signal.Signals[self.die_signal])
        if _sent(rows, self.hang_at_token):
            time.sleep(1e9)
        if _sent(rows, self.raise_at_token):
            raise RuntimeError("a fault that was asked for")


def _link_faults(raw: dict[str, Any]) -> LinkFaults:
    place, damage = raw.get("dieInFrame"), raw.get("damage")
    return LinkFaults(
        die_at_byte=raw.get("dieAtByte"),
        die_in_frame=None if place is None else Place(**place),
        damage=None if damage is None else Damage.parse(**damage),
        after_ended=raw.get("afterEnded", 0),
    )


def _sent(rows: Sequence[Generating], index: int) -> bool:
    return index >= 0 and any(row.first <= index and row.next == index + 1 for row in rows)
