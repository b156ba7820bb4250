"""The link thread: owns the socket, the active requests and the order of frames.

Commands go to the engine thread through a queue, prompts to the prepare thread. Both threads post
their results here, and this thread alone writes to the socket. It never computes for long, so it
sees the end of the link at once.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from ..acceleration import Parts, module_parts
from ..acceleration import describe as describe_parts
from ..engine import End, Loaded, PrefillProgress, StepOutput, is_out_of_memory
from ..failures import LoadFailed, Refused, Violation
from ..grammar.grammars import Wish
from ..grammar.matcher import Matcher
from ..log import log
from ..loop import Command, Credit, Finish, Insert, Remove
from ..messages import (
    Abort,
    Ack,
    Admission,
    Blocks,
    Hello,
    Load,
    Prepare,
    Prepared,
    Stop,
    Telemetry,
)
from .active_requests import ActiveRequests, EndedRequest
from .compiler import GrammarCompiler
from .frames import Link
from .outgoing import Outgoing
from .parse import Admissions, UnreadableRequest, parse
from .preparer import Preparer
from .resources import LinkResources

EXIT_CLEAN: Final = 0
EXIT_FAULT: Final = 1
EXIT_VIOLATION: Final = 3
LAST_WORDS_SECONDS: Final = 0.5
# After a stop, of the 5 s in which a worker must have gone.
FINISH_SECONDS: Final = 2.0
SETTLED_IDS_MAX: Final = 65536
FAULT_CHARACTERS_MAX: Final = 500
TELLING_ERRORS: Final = (RuntimeError, MemoryError, OSError)


class LinkThread:
    """Everything the link thread owns. `post` is for the other threads."""

    def __init__(
        self,
        sock: socket.socket,
        epoch: int,
        commands: SimpleQueue[Command],
        outgoing: Callable[[Outgoing], Outgoing],
    ) -> None:
        """`outgoing`: what frames pass on their way to the socket, made of where they wait."""
        self._resources = LinkResources()
        self._link = Link(sock, epoch, outgoing(self._resources.outgoing()))
        self._commands = commands
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._asleep = False
        self._loading = False
        # On disk, so that it takes a moment to stop.
        self._keeps_prefixes = False
        self._active: ActiveRequests | None = None
        self._preparer: Preparer | None = None
        self._grammars: GrammarCompiler | None = None
        self._steps_sent = 0
        self._steps_acked = 0
        # Ids whose last frame is sent: an abort that crosses it on the way gets no answer.
        self._settled: OrderedDict[int, None] = OrderedDict()

    # --- any thread ---

    def start(self, hello: Hello) -> None:
        self._link.send("hello", hello)
        threading.Thread(target=self._run, name="link", daemon=True).start()

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Has the link thread call this."""
        self._posted.append((call, arguments))
        if self._asleep:
            self._asleep = False
            os.write(self._wake_write, b"!")

    def loading(self, done: float, total: float, what: str) -> None:
        self.post(self._link.send, "loading", {"done": done, "total": total, "what": what})

    def busy(self, reason: str, allowance_ms: float) -> None:
        self.post(self._link.send, "busy", {"reason": reason, "allowanceMs": allowance_ms})

    def prefilled(self, progress: PrefillProgress) -> None:
        self.post(self._on_prefilled, progress)

    def loaded(self, loaded: Loaded) -> None:
        self.post(self._on_loaded, loaded)

    def load_failed(self, failure: LoadFailed) -> None:
        body = {"code": failure.code, "message": str(failure)}
        self.post(self._link.send, "loadFailed", body)
        self.post(self._exit, EXIT_FAULT)

    def refused(self, id: int, refusal: Refused) -> None:
        self.post(self._on_refused, id, refusal)

    def removed(self, id: int) -> None:
        self.post(self._on_removed, id)

    def stepped(self, output: StepOutput) -> None:
        self.post(self._on_stepped, output)

    def telemetry(self, body: Telemetry) -> None:
        self.post(self._on_telemetry, body)

    def crashed(self, error: BaseException) -> None:
        """A thread cannot go on: the process says why and ends."""
        log_crash(error)
        code = "out_of_memory" if is_out_of_memory(error) else "internal"
        self.post(self._fault, code, describe(error), EXIT_FAULT)

    # --- link thread ---

    def _run(self) -> None:
        """Never returns: a worker without its link is no worker."""
        try:
            self._serve()
        except EOFError:
            os._exit(EXIT_CLEAN)
        except Violation as violation:
            self._fault(violation.code, str(violation), EXIT_VIOLATION)
        except BaseException as error:
            log_crash(error)
            self._fault("internal", describe(error), EXIT_FAULT)
        finally:
            os._exit(EXIT_FAULT)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            reading = selectors.EVENT_READ
            while True:
                self._run_posted()
                self._link.flush()
                unsent = selectors.EVENT_WRITE if self._link.unsent_bytes else 0
                if (selectors.EVENT_READ | unsent) != reading:
                    reading = selectors.EVENT_READ | unsent
                    selector.modify(self._link, reading)
                self._asleep = True
                ready = selector.select(0 if self._posted else None)
                self._asleep = False
                for key, events in ready:
                    if key.fd == self._wake_read:
                        os.read(self._wake_read, 4096)
                    elif events & selectors.EVENT_READ:
                        self._receive()

    def _run_posted(self) -> None:
        # Bounded by what is there now: the socket gets its turn under load too.
        for _ in range(len(self._posted)):
            call, arguments = self._posted.popleft()
            call(*arguments)

    def _receive(self) -> None:
        for type_byte, body in self._link.receive():
            message = parse(type_byte, body)
            if isinstance(message, Ack):
                self._on_ack(message)
            elif isinstance(message, Load):
                self._on_load(message)
            elif isinstance(message, Stop):
                self._finish()
            elif isinstance(message, Prepare):
                self._on_prepare(message)
            elif isinstance(message, UnreadableRequest):
                self._on_unreadable(message)
            elif isinstance(message, Admissions):
                self._on_admit(message)
            elif isinstance(message, Abort):
                for id in message.ids:
                    self._on_abort(id)

    def _finish(self) -> None:
        if self._keeps_prefixes and self._active is not None:
            finish = Finish(FINISH_SECONDS)
            self._commands.put(finish)
            finish.done.wait(FINISH_SECONDS)
        self._exit(EXIT_CLEAN)

    def _on_load(self, load: Load) -> None:
        self._keeps_prefixes = bool(load.options.prefix_disk_folder)
        if self._loading:
            raise Violation("a second load", "wrong_order")
        self._loading = True
        self._commands.put(load)

    def _on_loaded(self, loaded: Loaded) -> None:
        context_max = loaded.limits.context_max
        parts: Parts = {**module_parts(), **loaded.native}
        log(describe_parts(parts))
        self._active = ActiveRequests(loaded.text, context_max)
        self._grammars = GrammarCompiler(loaded.grammars, self.crashed, self._is_idle)
        self._preparer = Preparer(
            loaded.text,
            context_max,
            grammars=self._grammars,
            done=lambda body: self.post(self._on_prepared, body),
            refused=self.refused,
            crashed=self.crashed,
            busy=self.busy,
        )
        self._link.send(
            "ready",
            {
                "limits": loaded.limits.to_wire(),
                "sampling": loaded.sampling.to_wire(),
                "native": parts,
                "abilities": loaded.abilities.to_wire(),
            },
        )

    def _ready(self) -> tuple[ActiveRequests, Preparer]:
        if self._active is None or self._preparer is None:
            raise Violation("work before the model is ready", "wrong_order")
        return self._active, self._preparer

    def _on_prepare(self, request: Prepare) -> None:
        _, preparer = self._ready()
        self._check_new(request.id)
        preparer.put(request)

    def _on_unreadable(self, request: UnreadableRequest) -> None:
        self._check_new(request.id)
        self._send_refused(request.id, request.refusal)

    def _on_prepared(self, body: Prepared) -> None:
        _, preparer = self._ready()
        if preparer.settle(body["id"]):
            self._settle(body["id"])
            self._link.send("prepared", body)

    def _on_admit(self, message: Admissions) -> None:
        active, _ = self._ready()
        inserted: list[Admission] = []
        for request in message.requests:
            self._resources.collector.record_request()
            if isinstance(request, UnreadableRequest):
                self._resources.collector.record_failure()
                self._on_unreadable(request)
                continue
            self._check_new(request.id)
            try:
                wish = active.wish(request)
                ended = active.admit(request, wish)
            except Refused as refusal:
                self._resources.collector.record_failure()
                self._send_refused(request.id, refusal)
                continue
            if ended is not None:
                self._send_ended(ended)
            elif wish is None:
                inserted.append(request)
            else:
                self._constrain(request, wish)
        if inserted:
            self._commands.put(Insert(inserted, forcings=active.forcings(inserted)))

    def _constrain(self, request: Admission, wish: Wish) -> None:
        """It goes to the engine when its grammar is where its answer is."""
        assert self._grammars is not None
        self._grammars.start(
            wish,
            request.emitted,
            lambda result: self.post(self._on_matcher, request, result),
        )

    def _on_matcher(self, request: Admission, result: Matcher | Refused | None) -> None:
        active, _ = self._ready()
        if isinstance(result, Refused):
            self._on_refused(request.id, result)
        elif request.id in active:
            if result is not None:
                active.constrain(request.id, result)
            end = active.end_of(request, result)
            if end is not None:
                self._on_ended(end)
            elif result is None:
                self._commands.put(Insert([request]))
            else:
                forcings = active.forcings([request])
                self._commands.put(Insert([request], {request.id: result}, forcings))

    def _is_idle(self) -> bool:
        if self._active is None or self._preparer is None:
            return False
        return not self._active.any and not self._preparer.any_pending

    def _check_new(self, id: int) -> None:
        active, preparer = self._ready()
        if id in active or preparer.pending(id):
            raise Violation(f"id {id} is in use", "duplicate_id")

    def _on_refused(self, id: int, refusal: Refused) -> None:
        active, preparer = self._ready()
        admitted = active.drop(id)
        if admitted:
            self._resources.collector.record_failure()
        if admitted or preparer.settle(id):
            self._send_refused(id, refusal)

    def _send_refused(self, id: int, refusal: Refused) -> None:
        self._settle(id)
        self._link.send(
            "refused",
            {"id": id, "code": refusal.code, "field": refusal.field, "message": str(refusal)},
        )

    def _on_abort(self, id: int) -> None:
        active, preparer = self._ready()
        if id in active:
            self._commands.put(Remove(id, answer=True))
        elif preparer.settle(id) or id not in self._settled:
            self._settle(id)
            self._link.send("aborted", {"id": id})

    def _on_removed(self, id: int) -> None:
        active, _ = self._ready()
        if active.drop(id):
            self._settle(id)
            self._link.send("aborted", {"id": id})

    def _on_prefilled(self, progress: PrefillProgress) -> None:
        active, _ = self._ready()
        if progress.id in active:
            self._link.send(
                "prefill",
                {
                    "id": progress.id,
                    "done": progress.done,
                    "total": progress.total,
                    "cached": progress.cached,
                },
            )

    def _on_stepped(self, output: StepOutput) -> None:
        active, _ = self._ready()
        for progress in output.prefills:
            self._on_prefilled(progress)
        if output.rows:
            rows, stopped = active.rows(output.rows)
            if rows:
                self._steps_sent += 1
                self._link.send("step", {"step": self._steps_sent, "rows": rows})
            else:
                self._commands.put(Credit(1))
            for one in stopped:
                self._commands.put(Remove(one.body["id"], answer=False))
                self._send_ended(one)
        for result in output.reads:
            if result.id in active:
                self._link.send("read", active.read(result))
        for end in output.ends:
            self._on_ended(end)
        if output.kept or output.evicted:
            blocks: Blocks = {"kept": list(output.kept), "evicted": list(output.evicted)}
            self._link.send("blocks", blocks)

    def _on_ended(self, end: End) -> None:
        active, _ = self._ready()
        ended = active.end(end)
        if ended is not None:
            self._send_ended(ended)

    def _send_ended(self, ended: EndedRequest) -> None:
        body = ended.body
        self._settle(body["id"])
        if self._grammars is not None and ended.matcher is not None:
            self._grammars.ended(ended.matcher)
        if body["finish"] == "failed":
            self._resources.collector.record_failure()
        else:
            self._resources.collector.record_completion(ended.total_ms)
        self._link.send("ended", body)

    def _on_ack(self, ack: Ack) -> None:
        if ack.step > self._steps_sent:
            raise Violation(f"step {ack.step} was never sent", "wrong_order")
        if ack.step > self._steps_acked:
            self._commands.put(Credit(ack.step - self._steps_acked))
            self._steps_acked = ack.step

    def _on_telemetry(self, body: Telemetry) -> None:
        # Here, behind all that ended before: the figures agree with what was sent.
        figures: Telemetry = {**body, "native": self._resources.figures()}
        if self._grammars is not None:
            figures["grammars"] = self._grammars.figures()
        self._link.send("telemetry", figures)

    def _settle(self, id: int) -> None:
        self._settled[id] = None
        if len(self._settled) > SETTLED_IDS_MAX:
            self._settled.popitem(last=False)

    def _fault(self, code: str, message: str, exit_code: int) -> None:
        message = message[:FAULT_CHARACTERS_MAX]
        log(f"{code}: {message}")
        self._link.send(
            "fault", {"code": code, "message": message, "native": self._resources.figures()}
        )
        self._exit(exit_code)

    def _exit(self, code: int) -> None:
        # No clean-up of interpreter or MLX: the other threads may be anywhere.
        self._link.flush_blocking(LAST_WORDS_SECONDS)
        os._exit(code)


def describe(error: BaseException) -> str:
    """With its text only where that comes from MLX or the system: another may hold a prompt."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, TELLING_ERRORS) else name


def log_crash(error: BaseException) -> None:
    """Where it happened, without the error's text: that may hold a prompt."""
    lines = traceback.format_list(traceback.extract_tb(error.__traceback__))
    log(f"{type(error).__name__}\n{''.join(lines)}")
