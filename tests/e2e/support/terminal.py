"""Runs a program in a terminal of its own, and types Ctrl-C once it shows what is waited for.

usage: terminal.py WAIT_FOR PROGRAM [ARGUMENT …]

Prints what the terminal got, and ends as the program did.
"""

import os
import pty
import sys


def main(wait_for: str, *command: str) -> int:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    seen = b""
    typed = False
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the program has gone
            break
        if not chunk:
            break
        seen += chunk
        if not typed and wait_for.encode() in seen:
            typed = True
            os.write(terminal, b"\x03")
    sys.stdout.buffer.write(seen)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
