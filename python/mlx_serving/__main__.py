"""`python -m mlx_serving --engine mlx|fake --epoch N`: a worker, with its link on fd 3.

Exit codes: 0 stopped or the link ended, 1 a fault or a model that cannot be loaded, 2 wrong
usage, 3 the orchestrator broke the protocol.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from queue import SimpleQueue

from . import loop
from .engine import Engine
from .link.frames import LINK_FD
from .link.outgoing import Outgoing
from .link.thread import EXIT_FAULT, LinkThread
from .loop import Command
from .messages import LINK_VERSION

PR_SET_PDEATHSIG = 1
SWITCH_SECONDS = 0.001


def main() -> None:
    arguments = parse_arguments()
    ignore_terminal()
    die_with_parent()
    # The link thread has to get its turn soon while Python code runs in the engine thread.
    sys.setswitchinterval(SWITCH_SECONDS)
    commands: SimpleQueue[Command] = SimpleQueue()
    engine, outgoing = make_engine(arguments.engine)
    link_thread = LinkThread(socket.socket(fileno=LINK_FD), arguments.epoch, commands, outgoing)
    versions, backend = engine.describe()
    link_thread.start(
        {
            "protocol": LINK_VERSION,
            "versions": versions,
            "backend": backend,
        }
    )
    try:
        loop.run(engine, commands, link_thread)
    except BaseException as error:
        link_thread.crashed(error)
    # The link thread says the last words and ends the process.
    time.sleep(5)
    os._exit(EXIT_FAULT)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mlx_serving", description=__doc__)
    parser.add_argument("--engine", choices=("mlx", "fake"), required=True)
    parser.add_argument("--epoch", type=int, required=True, help="incarnation, in every frame")
    arguments = parser.parse_args()
    try:
        linked = stat.S_ISSOCK(os.fstat(LINK_FD).st_mode)
    except OSError:
        linked = False
    if not linked:
        parser.error(f"file descriptor {LINK_FD} must be a socket: the orchestrator starts workers")
    return arguments


def make_engine(name: str) -> tuple[Engine, Callable[[Outgoing], Outgoing]]:
    """An engine, and what its frames pass on their way out."""
    from .fake.checked import checked

    if name == "fake":
        from .fake.engine import FakeEngine
        from .fake.faults import Faults

        faults = Faults.from_environment()
        return checked(FakeEngine(faults)), faults.outgoing
    from .mlx.engine import MlxEngine

    return checked(MlxEngine()), lambda out: out


def ignore_terminal() -> None:
    """Ctrl-C goes to the whole group, but the orchestrator decides; SIGTERM ends at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def die_with_parent() -> None:
    """A second safety beside the end of the link, where the system has it."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
