"""A fake orchestrator: starts a worker process on a socketpair and speaks frames with it.

Every frame that comes is checked against the shapes of `src-ts/worker/messages.ts`.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
from mlx_serving.link.frames import HEADER, MAGIC, VERSION
from mlx_serving.messages import FROM_WORKER_TYPES, TO_WORKER_TYPES
from mlx_serving.tokens import pack_tokens, unpack_tokens

import shapes

PYTHON_ROOT = Path(__file__).resolve().parents[3] / "python"
NAMES = {number: name for name, number in FROM_WORKER_TYPES.items()}
WAIT_SECONDS = 60.0
# The link has to be fd 3 in the worker, whatever it is here.
ON_FD_3 = """
import os, sys
link = int(sys.argv[1])
if link != 3:
    os.dup2(link, 3)
    os.close(link)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""

Message = dict[str, Any]


class Worker:
    """One worker process. `receive` gives its messages, each with its name under `type`.

    `program`: what Python is to run, with the options of Python itself.
    """

    def __init__(
        self,
        engine: str = "fake",
        epoch: int = 7,
        faults: str = "",
        env: dict[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "mlx_serving"),
    ) -> None:
        self.epoch = epoch
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(WAIT_SECONDS)
        environment = {**os.environ, "PYTHONPATH": str(PYTHON_ROOT), **(env or {})}
        if faults:
            environment["MLX_SERVING_FAKE_FAULTS"] = faults
        command = [*program, "--engine", engine, "--epoch", str(epoch)]
        self.process = subprocess.Popen(
            [sys.executable, "-IS", "-c", ON_FD_3, str(theirs.fileno()), *command],
            pass_fds=(theirs.fileno(),),
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        self._buffer = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        self.process.kill()
        self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()

    def send(self, name: str, **body: Any) -> None:
        self.sock.sendall(frame(TO_WORKER_TYPES[name], self.epoch, body))

    def receive(self) -> Message:
        """The next message. Raises `EOFError` when the worker closed the link."""
        header = self._take(HEADER.size)
        magic, version, type_byte, epoch, length, crc = HEADER.unpack(header)
        assert (magic, version, epoch) == (MAGIC, VERSION, self.epoch)
        payload = self._take(length)
        assert zlib.crc32(payload) == crc
        name = NAMES[type_byte]
        body = msgpack.unpackb(payload)
        shapes.check(name, body)
        return {"type": name, **body}

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def expect(self, name: str, skip: tuple[str, ...] = ("telemetry", "busy")) -> Message:
        """The next message, which must be this one."""
        message = self.receive()
        while message["type"] in skip:
            message = self.receive()
        assert message["type"] == name, message
        return message

    def wait_for(self, name: str, id: int | None = None) -> Message:
        """Reads on until this message comes; acknowledges steps on the way."""
        while True:
            message = self.receive()
            if message["type"] == "step" and name != "step":
                # It may be dead by now, and what it said before is still to be read.
                with suppress(BrokenPipeError):
                    self.send("ack", step=message["step"])
            if message["type"] == name and (id is None or message["id"] == id):
                return message

    def ready(self, model: Message | None = None, **options: Any) -> Message:
        """Hello, load, ready."""
        self.expect("hello")
        self.send("load", model=model or FAKE_MODEL, options=load_options(**options))
        return self.wait_for("ready")

    def exit_code(self) -> int:
        return self.process.wait(WAIT_SECONDS)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def run(self, *requests: Message) -> dict[int, Run]:
        """Admits, acknowledges every step, and collects until all have ended."""
        self.send("admit", requests=list(requests))
        runs = {request["id"]: Run() for request in requests}
        first = {request["id"]: len(unpack_tokens(request["emitted"])) for request in requests}
        while any(run.ended is None for run in runs.values()):
            message = self.receive()
            if message["type"] == "step":
                for id, index, token, said, *rest in message["rows"]:
                    run = runs[id]
                    assert run.ended is None and index == first[id] + len(run.tokens)
                    run.tokens.append(token)
                    run.said.append(said)
                    run.logprobs.extend(rest)
                self.send("ack", step=message["step"])
            elif message["type"] == "prefill":
                runs[message["id"]].prefills.append(message)
            elif message["type"] in ("ended", "refused", "aborted"):
                runs[message["id"]].ended = message
        return runs


class Run:
    """What came of one request."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.said: list[Any] = []
        self.logprobs: list[Message] = []
        self.prefills: list[Message] = []
        self.ended: Message | None = None

    @property
    def end(self) -> Message:
        assert self.ended is not None
        return self.ended

    @property
    def texts(self) -> list[str]:
        """Of each token, where the answer is nothing but text."""
        assert all(type(said) is str for said in self.said)
        return self.said

    @property
    def text(self) -> str:
        return "".join(self.texts) + str(self.end["tail"])

    @property
    def turn(self) -> list[list[Any]]:
        """All pieces, neighbours of one kind as one."""
        turn: list[list[Any]] = []
        for said in [*self.said, self.end["tail"]]:
            for kind, value in [["content", said]] if type(said) is str else said:
                if turn and turn[-1][0] == kind and type(value) is str and kind != "call":
                    turn[-1][1] += value
                elif value != "":
                    turn.append([kind, value])
        return turn


FAKE_MODEL = {"id": "fake", "kind": "fake", "path": ""}


def frame(type_byte: int, epoch: int, body: object) -> bytes:
    payload = msgpack.packb(body)
    crc = zlib.crc32(payload)
    return struct.pack("<HBBIII", MAGIC, VERSION, type_byte, epoch, len(payload), crc) + payload


def load_options(**changes: Any) -> Message:
    return {
        "maxBatch": 16,
        "contextMax": 0,
        "memoryBudgetBytes": 0,
        "device": "auto",
        "prefillChunkTokens": 512,
        "prefixCacheBytes": 0,
        "prefixCacheShare": 0.5,
        "prefixDiskFolder": "",
        "prefixDiskBytes": 0,
        "kvBits": 0,
        "unackedStepsMax": 64,
        "deterministic": False,
        "controlTokens": "text",
        "fakeTokensPerSecond": 0,
        "fakeLoadMs": 0,
        **changes,
    }


def sampling(**changes: Any) -> Message:
    return {
        "temperature": 0,
        "topP": 1,
        "topK": 0,
        "minP": 0,
        "repetitionPenalty": 1,
        "presencePenalty": 0,
        "frequencyPenalty": 0,
        "logitBias": [],
        "seed": 0,
        "stop": [],
        "logprobs": -1,
        **changes,
    }


WEATHER = {
    "name": "get_weather",
    "description": "The weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
    "custom": False,
}
REASONING = {"enabled": True, "maxTokens": 100}


def offer(**changes: Any) -> Message:
    return {"tools": [WEATHER], "choice": "auto", "parallel": True, **changes}


def admission(
    id: int,
    prompt: str | list[int] = "hello",
    emitted: list[int] | None = None,
    max_tokens: int = 40,
    chat: bool = True,
    **sampled: Any,
) -> Message:
    tokens = list(prompt.encode()) if isinstance(prompt, str) else prompt
    return {
        "id": id,
        "prompt": pack_tokens(tokens),
        "emitted": pack_tokens(emitted or []),
        "maxTokens": max_tokens,
        "sampling": sampling(**sampled),
        "chat": chat,
    }


def until(condition: Any, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
