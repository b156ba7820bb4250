"""A bound on the time that a chat template takes."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

from ..failures import Refused

_T = TypeVar("_T")


class _TooSlow(BaseException):
    """Raised inside the thread that renders."""


def within_seconds(call: Callable[[], _T], seconds: float) -> _T:
    """`call()`, or `Refused` when it takes longer. For pure Python code, as templates are."""
    thread = threading.get_ident()
    lock = threading.Lock()
    over = False

    def interrupt() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(_TooSlow)
                )

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        try:
            return call()
        finally:
            with lock:
                over = True
            timer.cancel()
    except _TooSlow:
        message = f"messages: the chat template takes longer than {seconds:g} s"
        raise Refused("invalid_prompt", "messages", message) from None
