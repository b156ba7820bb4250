import { expect, it, vi } from "vitest";
import { formatBytes, formatTable } from "../../../src-ts/cli/format.js";
import { createLogger, prettyLine } from "../../../src-ts/cli/logger.js";
import { createStartupDisplay } from "../../../src-ts/cli/startup.js";
import type { Engine, EngineObserver } from "../../../src-ts/engine/api.js";

function fakeStream(isTTY: boolean) {
  const stream = { isTTY, columns: 60, written: "", write: (_: string) => true };
  stream.write = (text) => {
    stream.written += text;
    return true;
  };
  return stream as typeof stream & NodeJS.WriteStream;
}

function fakeEngine() {
  const observers = new Set<EngineObserver>();
  const engine = {
    observe(observer: EngineObserver) {
      observers.add(observer);
      return () => observers.delete(observer);
    },
  };
  return { engine: engine as unknown as Engine, observers };
}

const logger = () => ({ debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() });

it("formats sizes and tables", () => {
  expect([0, 1023, 1024, 98_362_432, 2 ** 40].map(formatBytes)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "93.8 MiB",
    "1.0 TiB",
  ]);
  expect(
    formatTable([
      ["a", "long", "x"],
      ["bbb", "c", ""],
    ]),
  ).toBe("a    long  x\nbbb  c");
});

it("logs JSON lines, or short lines for people", () => {
  let printed = "";
  const print = (text: string) => {
    printed += text;
  };
  createLogger({ level: "info", print, pretty: false }).info({ worker: "w1" }, "is ready");
  expect(JSON.parse(printed)).toMatchObject({ level: 30, worker: "w1", msg: "is ready" });
  const line = prettyLine('{"level":40,"time":"2026-01-02T03:04:05.678Z","n":1,"msg":"slow"}');
  expect(line).toBe("03:04:05 warn  slow  n=1\n");
});

it("keeps quiet below its level", () => {
  const print = vi.fn();
  createLogger({ level: "warn", print }).info("nothing");
  expect(print).not.toHaveBeenCalled();
});

it("logs the loading of a model in a few steps where there is no terminal", () => {
  const { engine, observers } = fakeEngine();
  const log = logger();
  const display = createStartupDisplay(fakeStream(false));
  display.follow(engine, log);
  const [observer] = observers;
  for (let done = 0; done <= 100; done += 1) {
    observer?.loading?.({ workerId: "w1", model: "m", done, total: 100, what: "weights" });
  }
  expect(log.info).toHaveBeenCalledTimes(5);
  display.end();
  expect(observers.size).toBe(0);
});

it("shows on a terminal that a worker starts, and then what it loads", () => {
  const { engine, observers } = fakeEngine();
  const stream = fakeStream(true);
  const display = createStartupDisplay(stream);
  display.follow(engine, logger());
  expect(stream.written).toContain("starting a worker");
  stream.written = "";
  const [observer] = observers;
  observer?.loading?.({ workerId: "w1", model: "m-1", done: 2, total: 4, what: "weights" });
  expect(stream.written.startsWith("\r\x1b[2K")).toBe(true);
  display.end();
  expect(observers.size).toBe(0);
});

it("logs a progress again only when more than its figures changed", () => {
  const log = logger();
  const display = createStartupDisplay(fakeStream(false));
  for (const text of ["downloading 1 of 98 MB", "downloading 2 of 98 MB", "converting"]) {
    display.progress(text, log);
  }
  expect(log.info.mock.calls).toEqual([["downloading 1 of 98 MB"], ["converting"]]);
});

it("shows a line on a terminal, prints the log above it, and clears it at the end", () => {
  const stream = fakeStream(true);
  const display = createStartupDisplay(stream);
  display.progress("x".repeat(200), logger());
  expect(stream.written).toContain("x".repeat(59));
  expect(stream.written).not.toContain("x".repeat(60));
  stream.written = "";
  display.print("a log line\n");
  expect(stream.written.startsWith("\r\x1b[2Ka log line\n")).toBe(true);
  stream.written = "";
  display.end();
  expect(stream.written).toBe("\r\x1b[2K");
});
