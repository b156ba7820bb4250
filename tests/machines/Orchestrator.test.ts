/** The composition of the machines, driven without an engine: inputs in, commands out. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Command,
  type Config,
  copy,
  handle,
  type Input,
  make,
  type Orchestrator,
  view,
} from "../../src-ts/machines/Orchestrator.js";
import { defaultPolicy as schedulerPolicy } from "../../src-ts/machines/Scheduler.js";
import { protocol, defaultPolicy as workerPolicy } from "../../src-ts/machines/Worker.js";

const config: Config = {
  workers: [
    ["w1", "m"],
    ["w2", "m"],
  ],
  activeMax: 1,
  membersMax: 2,
  queueMax: 2,
  newTokensDefault: 4,
  prefillTokensMax: 64,
  batchWindowMs: 0,
  reductionMs: 1000,
  workerPolicy,
  schedulerPolicy,
};

const limits = {
  contextMax: 20,
  kvBytesPerToken: 1,
  kvBytesFixed: 0,
  kvBudgetBytes: 100,
  kvAloneBytes: 100,
  kvRoom: { oneIn: 1, tokensMin: 0, tokensMax: 0 },
  weightsBytes: 1,
};

const submit = (requestId: string, changes: object = {}): Input => ({
  kind: "submit",
  submission: {
    requestId,
    modelId: "m",
    clientId: "c",
    priority: "normal",
    deadlineMs: Number.POSITIVE_INFINITY,
    tokensWanted: 3,
    survives: false,
    ...changes,
  },
});

/** An orchestrator, what it has ordered so far, and the ends of turns that it asked for. */
class Driven {
  readonly commands: Command[] = [];
  now = 0;

  constructor(readonly orchestrator: Orchestrator = make(config)) {}

  say(...inputs: Input[]): Command[] {
    const before = this.commands.length;
    for (const input of inputs) this.take(input);
    return this.commands.slice(before);
  }

  of<K extends Command["kind"]>(kind: K): Extract<Command, { kind: K }>[] {
    return this.commands.filter((one): one is Extract<Command, { kind: K }> => one.kind === kind);
  }

  load(workerId: string, epoch: number, changes: object = {}): void {
    this.say(
      { kind: "spawned", workerId, epoch, pid: 7 },
      { kind: "hello", workerId, epoch, protocol },
      { kind: "loaded", workerId, epoch, limits: { ...limits, ...changes } },
    );
  }

  /** Ready, with one request decoding on w1 under the slot that is returned. */
  static running(changes: object = {}): { driven: Driven; slot: number } {
    const driven = new Driven();
    driven.say({ kind: "start" });
    driven.load("w1", 1);
    driven.load("w2", 1);
    driven.say(submit("r1", changes));
    driven.prepare("w1");
    for (const { requestId } of driven.of("store")) driven.say({ kind: "stored", requestId });
    return { driven, slot: driven.of("admit").at(-1)!.requests[0]!.slot };
  }

  prepare(workerId: string, promptTokens = 5): void {
    const { slot } = this.of("prepare").at(-1)!;
    this.say({ kind: "prepared", workerId, epoch: 1, slot, promptTokens, blockHashes: ["a"] });
  }

  private take(input: Input): void {
    const commands = handle(this.orchestrator, input, this.now);
    this.commands.push(...commands);
    if (commands.some(({ kind }) => kind === "endTurn")) this.take({ kind: "turnEnded" });
  }
}

const step = (slot: number, index: number, workerId = "w1"): Input => ({
  kind: "step",
  workerId,
  epoch: 1,
  step: index + 1,
  rows: [[slot, index]],
});

describe("a request", () => {
  it("is prepared, sized, accepted, run and closed", () => {
    const { driven, slot } = Driven.running();
    driven.say(step(slot, 0), step(slot, 1), {
      ...{ kind: "ended", workerId: "w1", epoch: 1, slot },
      finish: { kind: "stop" },
    });
    const kinds = driven.commands.map(({ kind }) => kind);
    const own = ["prepare", "size", "accept", "lease", "admit", "append", "close", "release"];
    expect(kinds.filter((kind) => own.includes(kind))).toEqual([
      ...["prepare", "size", "accept", "lease", "admit", "append", "append", "close", "release"],
    ]);
    expect(driven.of("acknowledge").map(({ step }) => step)).toEqual([1, 2]);
    expect(view(driven.orchestrator).requests).toEqual([]);
  });

  it("goes to the worker that holds its beginning, until it holds that no more", () => {
    const driven = new Driven(make({ ...config, activeMax: 2, queueMax: 9 }));
    driven.say({ kind: "start" });
    driven.load("w1", 1);
    driven.load("w2", 1);
    const place = (requestId: string) => {
      driven.say(submit(requestId));
      driven.prepare(driven.of("prepare").at(-1)!.workerId);
      const { workerId, requests } = driven.of("admit").at(-1)!;
      const { slot } = requests[0]!;
      driven.say(step(slot, 0, workerId));
      return { workerId, slot };
    };
    const end = (slot: number): Input => ({
      ...{ kind: "ended", workerId, epoch: 1, slot },
      finish: { kind: "stop" },
    });
    const { workerId } = place("r1");
    const blocks = (kept: string[], evicted: string[], epoch = 1): Input => ({
      ...{ kind: "blocks", workerId, epoch },
      ...{ kept, evicted },
    });
    driven.say(blocks(["a"], []));
    const second = place("r2");
    expect(second.workerId).toBe(workerId);
    driven.say(end(second.slot), blocks([], ["a"], 0));
    const third = place("r3");
    expect(third.workerId).toBe(workerId);
    driven.say(end(third.slot), blocks(["b"], ["c", "a"]));
    expect(place("r4").workerId).not.toBe(workerId);
  });

  it("that is stored is written before it is accepted", () => {
    const driven = new Driven();
    driven.say({ kind: "start" });
    driven.load("w1", 1);
    driven.say(submit("r1", { survives: true }));
    driven.prepare("w1");
    expect(driven.of("store")).toHaveLength(1);
    expect(driven.of("accept")).toEqual([]);
    driven.say({ kind: "stored", requestId: "r1" });
    expect(driven.of("accept")).toHaveLength(1);
    expect(driven.of("admit")).toHaveLength(1);
  });

  it.each([
    [0, "noTokens", "invalid_prompt"],
    [20, "contextExceeded", "context_length_exceeded"],
  ])("of %i tokens is refused: %s", (promptTokens, explanation, code) => {
    const driven = new Driven();
    driven.say({ kind: "start" });
    driven.load("w1", 1);
    driven.say(submit("r1"));
    driven.prepare("w1", promptTokens);
    expect(driven.of("close")).toMatchObject([
      { finish: { kind: "failed", code }, explanation: { kind: explanation } },
    ]);
  });

  it("goes on where another worker left it, under a new slot", () => {
    const { driven, slot } = Driven.running();
    driven.say(step(slot, 0));
    driven.say({ kind: "exited", workerId: "w1", epoch: 1, code: 1, signal: "", jitter: 0 });
    const [first, second] = driven.of("lease");
    expect([first?.workerId, second?.workerId]).toEqual(["w1", "w2"]);
    expect(second).toMatchObject({ first: false });
    expect(driven.of("migrated")).toMatchObject([{ attempt: 1, loss: "exited" }]);
    driven.say(step(second!.slot, 1, "w2"));
    expect(driven.of("append").map(({ count }) => count)).toEqual([1, 1]);
    // What comes under the old slot says nothing any more.
    expect(driven.say(step(slot, 2, "w2")).map(({ kind }) => kind)).not.toContain("blame");
  });
});

describe("who lies is blamed", () => {
  it.each([
    ["a token out of order", (slot: number) => step(slot, 1), "wrongToken"],
    ["another's slot", (slot: number) => step(slot, 0, "w2"), "wrongToken"],
    [
      "the end of another's slot",
      (slot: number): Input => ({
        ...{ kind: "ended", workerId: "w2", epoch: 1, slot },
        finish: { kind: "stop" },
      }),
      "foreignSlot",
    ],
    [
      "an abort that was not asked for",
      (slot: number): Input => ({ kind: "aborted", workerId: "w1", epoch: 1, slot }),
      "illegal",
    ],
  ])("%s", (_what, lie, mistake) => {
    const { driven, slot } = Driven.running();
    const said = lie(slot);
    const commands = driven.say(said);
    const workerId = "workerId" in said ? said.workerId : "";
    expect(driven.of("blame")).toMatchObject([{ workerId, mistake: { kind: mistake } }]);
    expect(commands).toContainEqual({ kind: "kill", workerId, epoch: 1, signal: "SIGKILL" });
  });

  it("a token too many", () => {
    const { driven, slot } = Driven.running();
    driven.say(...[0, 1, 2, 3].map((index) => step(slot, index)));
    expect(driven.of("blame")).toMatchObject([
      { mistake: { kind: "tooManyTokens", tokensMax: 3 } },
    ]);
  });
});

describe("the server", () => {
  it("restarts a worker after its requests; asked again, at once", () => {
    const { driven } = Driven.running();
    driven.say({ kind: "restartWorker", workerId: "w1" });
    expect(driven.of("workerChanged").at(-1)).toMatchObject({ workerId: "w1", to: "draining" });
    expect(driven.of("askStop")).toEqual([]);
    expect(driven.of("migrated")).toEqual([]);
    driven.say({ kind: "restartWorker", workerId: "w1" });
    expect(driven.of("askStop")).toHaveLength(1);
    expect(driven.of("migrated")).toMatchObject([{ loss: "stopped" }]);
  });

  it("has workers killed as often as it likes, and no request is charged with it", () => {
    const { driven } = Driven.running();
    const signal = "SIGKILL" as const;
    for (let deaths = 1; deaths <= 6; deaths++) {
      const { workerId } = driven.of("admit").at(-1)!;
      driven.say({ kind: "killWorker", workerId });
      const { epoch, ...killed } = driven.of("kill").at(-1)!;
      expect(killed).toEqual({ kind: "kill", workerId, signal });
      // It shows by its link first, or by its exit.
      if (deaths % 2 === 0) driven.say({ kind: "closed", workerId, epoch });
      driven.say({ kind: "exited", workerId, epoch, code: -1, signal, jitter: 0 });
      driven.say({ kind: "workerTimer", workerId, timer: "backoff" });
      driven.load(workerId, epoch + 1);
      expect(driven.of("admit")).toHaveLength(deaths + 1);
    }
    expect(driven.of("migrated").map(({ loss }) => loss)).toEqual(Array(6).fill("stopped"));
    expect(driven.of("close")).toEqual([]);
  });

  it("has nothing killed where there is no process", () => {
    const driven = new Driven();
    driven.say({ kind: "killWorker", workerId: "w1" }, { kind: "killWorker", workerId: "w9" });
    expect(driven.of("kill")).toEqual([]);
  });

  it("turns away what the queue has no room for, and everything while it drains", () => {
    const driven = new Driven();
    driven.say({ kind: "start" });
    driven.say(...["r1", "r2", "r3"].map((id) => submit(id)));
    expect(driven.of("turnAway")).toMatchObject([
      { requestId: "r3", explanation: { kind: "queueFull" } },
    ]);
    driven.say({ kind: "cancel", requestId: "r1" }, { kind: "drain" }, submit("r4"));
    expect(driven.of("turnAway").at(-1)).toMatchObject({ explanation: { kind: "draining" } });
  });

  it("leaves what survives to the next process, and ends the rest", () => {
    const { driven } = Driven.running({ survives: true });
    driven.say(submit("r2"), { kind: "shutDown" });
    expect(driven.of("interrupt")).toEqual([{ kind: "interrupt", requestId: "r1" }]);
    expect(driven.of("close")).toMatchObject([
      { requestId: "r2", finish: { kind: "failed", code: "server_shutdown" } },
    ]);
  });
});

describe("a copy", () => {
  it("is independent of the original", () => {
    const { driven, slot } = Driven.running();
    const before = JSON.stringify(view(driven.orchestrator));
    const other = new Driven(copy(driven.orchestrator));
    other.say(step(slot, 0), { kind: "cancel", requestId: "r1" }, submit("r2"));
    other.say({ kind: "exited", workerId: "w1", epoch: 1, code: 1, signal: "", jitter: 0 });
    expect(JSON.stringify(view(driven.orchestrator))).toBe(before);
    expect(JSON.stringify(view(other.orchestrator))).not.toBe(before);
  });
});

describe("whatever it is told", () => {
  const workerId = fc.constantFrom("w1", "w2", "w9");
  const requestId = fc.constantFrom("r1", "r2", "r3");
  const epoch = fc.constantFrom(0, 1, 2);
  const slot = fc.integer({ min: 0, max: 6 });
  const small = fc.integer({ min: 0, max: 6 });
  const record = (shape: Record<string, fc.Arbitrary<unknown>>) =>
    fc.record(shape) as unknown as fc.Arbitrary<Input>;
  const kind = (name: string) => fc.constant(name);
  const inputs = fc.oneof(
    requestId.map((id) => submit(id)),
    requestId.map((id) => submit(id, { survives: true, deadlineMs: 5 })),
    fc.constantFrom<Input>({ kind: "turnEnded" }, { kind: "start" }, { kind: "shutDown" }),
    record({ kind: fc.constantFrom("cancel", "stored", "unstorable", "deadline"), requestId }),
    record({ kind: fc.constantFrom("restartWorker", "killWorker", "windowElapsed"), workerId }),
    record({
      kind: fc.constantFrom("violated", "closed", "outOfMemory", "loadFailed"),
      workerId,
      epoch,
    }),
    record({ kind: kind("join"), workerId, modelId: fc.constantFrom("m", "n") }),
    record({ kind: kind("leave"), workerId }),
    record({ kind: kind("spawned"), workerId, epoch, pid: small }),
    record({ kind: kind("hello"), workerId, epoch, protocol: fc.constantFrom(protocol, 99) }),
    record({ kind: kind("loaded"), workerId, epoch, limits: fc.constant(limits) }),
    record({
      ...{ kind: kind("prepared"), workerId, epoch, slot, promptTokens: small },
      blockHashes: fc.constant(["a"]),
    }),
    record({
      kind: kind("prefill"),
      workerId,
      epoch,
      slot,
      done: small,
      total: small,
      cached: small,
    }),
    record({
      kind: kind("step"),
      workerId,
      epoch,
      step: small,
      rows: fc.array(fc.tuple(slot, small)),
    }),
    record({
      ...{ kind: kind("ended"), workerId, epoch, slot },
      finish: fc.constantFrom({ kind: "stop" }, { kind: "cancelled" }),
    }),
    record({ kind: kind("aborted"), workerId, epoch, slot }),
    record({
      ...{ kind: kind("blocks"), workerId, epoch },
      kept: fc.constant(["a"]),
      evicted: fc.constant(["b"]),
    }),
    record({ kind: kind("refused"), workerId, epoch, slot, code: kind("invalid_prompt") }),
    record({ kind: kind("unsendable"), slot, code: kind("request_too_large") }),
    record({
      ...{ kind: kind("exited"), workerId, epoch, code: small, signal: kind("") },
      jitter: fc.constant(0.5),
    }),
    record({
      ...{ kind: kind("workerTimer"), workerId },
      timer: fc.constantFrom("hello", "load", "watchdog", "stop", "drain", "backoff", "probe"),
    }),
  );

  it("it never throws, ends each request once, and its view agrees with itself", () => {
    fc.assert(
      fc.property(fc.array(inputs, { maxLength: 60 }), (sequence) => {
        const orchestrator = make(config);
        const open = new Set<string>();
        for (const input of [{ kind: "start" } as Input, ...sequence]) {
          // An id is given once.
          if (input.kind === "submit" && open.has(input.submission.requestId)) continue;
          if (input.kind === "submit") open.add(input.submission.requestId);
          for (const command of handle(orchestrator, input, 0))
            if (command.kind === "close" || command.kind === "turnAway")
              expect(open.delete(command.requestId), command.requestId).toBe(true);
          const seen = view(orchestrator);
          expect(seen.requests.map(({ requestId }) => requestId).toSorted()).toEqual(
            [...open].toSorted(),
          );
          for (const { requestId, state, slot, workerId } of seen.requests) {
            expect("lease" in state).toBe(slot !== undefined);
            expect(seen.queue.includes(requestId)).toBe(state.kind === "queued");
            const holder = seen.workers.find((one) => one.workerId === workerId);
            if (slot !== undefined) expect(holder?.slots).toContain(slot);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("memory", () => {
  const kvBudgetBytes = 40;
  const kvAloneBytes = 60;

  /** One worker with room for two requests of twenty bytes each, and places for more. */
  function small(workers: Config["workers"] = [["w1", "m"]]): Driven {
    const wide = { ...config, workers, membersMax: 8, queueMax: 8 };
    const driven = new Driven(make(wide));
    driven.say({ kind: "start" });
    driven.load("w1", 1, { contextMax: 100, kvBudgetBytes, kvAloneBytes });
    return driven;
  }

  /** Prompt and answer together are so many bytes. */
  function ask(driven: Driven, id: string, bytes: number, changes: object = {}): void {
    driven.now += 1;
    driven.say(submit(id, { tokensWanted: bytes - 5, ...changes }));
    driven.prepare("w1");
  }

  const admitted = (driven: Driven) =>
    driven.of("admit").flatMap(({ requests }) => requests.map(({ requestId }) => requestId));
  const slotOf = (driven: Driven, id: string) =>
    driven
      .of("admit")
      .flatMap(({ requests }) => requests)
      .findLast(({ requestId }) => requestId === id)!.slot;
  const end = (driven: Driven, id: string) =>
    driven.say({ kind: "cancel", requestId: id }, aborted(slotOf(driven, id)));
  const aborted = (slot: number): Input => ({ kind: "aborted", workerId: "w1", epoch: 1, slot });

  it("that is full lets the next one wait", () => {
    const driven = small();
    for (const id of ["r1", "r2", "r3"]) ask(driven, id, 20);
    expect(admitted(driven)).toEqual(["r1", "r2"]);
    end(driven, "r1");
    expect(admitted(driven)).toEqual(["r1", "r2", "r3"]);
  });

  it.each([
    ["just enough for one", kvBudgetBytes],
    ["enough for one to which the prefix cache gives way", kvAloneBytes],
  ])("that is %s lets it wait, and run alone", (_, bytes) => {
    const driven = small();
    ask(driven, "r1", 20);
    ask(driven, "whole", bytes);
    ask(driven, "r3", 20);
    expect(admitted(driven)).toEqual(["r1"]);
    end(driven, "r1");
    expect(admitted(driven)).toEqual(["r1", "whole"]);
    end(driven, "whole");
    expect(admitted(driven)).toEqual(["r1", "whole", "r3"]);
  });

  it("is counted with room for tokens to come, where there are others", () => {
    const driven = new Driven(
      make({ ...config, workers: [["w1", "m"]], membersMax: 8, queueMax: 8 }),
    );
    driven.say({ kind: "start" });
    const kvRoom = { oneIn: 4, tokensMin: 2, tokensMax: 5 };
    driven.load("w1", 1, { contextMax: 100, kvBudgetBytes, kvAloneBytes, kvRoom });
    for (const [id, bytes] of [
      ["a", 16],
      ["b", 16],
      ["c", 6],
    ] as const)
      ask(driven, id, bytes);
    expect(admitted(driven)).toEqual(["a", "b"]);
    end(driven, "a");
    ask(driven, "d", 11);
    expect(admitted(driven)).toEqual(["a", "b", "c"]);
    end(driven, "b");
    end(driven, "c");
    // Alone it needs none.
    for (const [id, bytes] of [
      ["whole", kvAloneBytes],
      ["e", 6],
    ] as const)
      ask(driven, id, bytes);
    end(driven, "d");
    expect(admitted(driven)).toEqual(["a", "b", "c", "d", "whole"]);
  });

  it("that can never be enough is a refusal with both numbers", () => {
    const driven = small();
    ask(driven, "r1", kvAloneBytes + 1);
    expect(admitted(driven)).toEqual([]);
    expect(JSON.stringify(driven.commands)).toContain('"neededBytes":61,"limitBytes":60');
  });

  it("is first for those who lost theirs with a worker", () => {
    const driven = small(config.workers);
    ask(driven, "r1", 20);
    ask(driven, "r2", 20);
    ask(driven, "urgent", 20, { clientId: "another", deadlineMs: 1_000 });
    driven.say({ kind: "exited", workerId: "w1", epoch: 1, code: 1, signal: "", jitter: 0 });
    driven.load("w2", 1, { contextMax: 100, kvBudgetBytes });
    expect(admitted(driven)).toEqual(["r1", "r2", "r1", "r2"]);
  });

  it("is taken from the newest of the batch class for who is interactive", () => {
    const driven = small();
    ask(driven, "old", 20, { priority: "batch" });
    ask(driven, "new", 20, { priority: "batch" });
    ask(driven, "chat", 20, { priority: "interactive" });
    const orders = driven.of("abort").map(({ slot }) => slot);
    expect(orders).toEqual([slotOf(driven, "new")]);
    expect(admitted(driven)).toEqual(["old", "new"]);
    driven.say(aborted(orders[0]!));
    expect(admitted(driven)).toEqual(["old", "new", "chat"]);
    // Nothing of it is over: it goes on when there is room again.
    end(driven, "chat");
    expect(admitted(driven)).toEqual(["old", "new", "chat", "new"]);
    expect(driven.of("close").map(({ requestId }) => requestId)).toEqual(["chat"]);
  });
});
