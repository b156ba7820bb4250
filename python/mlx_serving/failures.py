"""What a worker can't do, as exceptions: each becomes a message on the link."""

from __future__ import annotations

from .messages import RefusalCode


class Violation(Exception):
    """The other side broke the protocol; `code` goes into the `fault` frame."""

    def __init__(self, message: str, code: str = "bad_message") -> None:
        super().__init__(message)
        self.code = code


class Refused(Exception):
    """A `prepare` or an `admit` that this worker cannot serve. `field` names what is to blame."""

    def __init__(self, code: RefusalCode, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class LoadFailed(Exception):
    """The model cannot be loaded. `code` is stable, the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
