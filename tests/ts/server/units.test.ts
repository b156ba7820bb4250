import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import * as ws from "ws";
import { ServingError } from "../../../src-ts/errors.js";
import { Keys } from "../../../src-ts/server/auth.js";
import { encodeTextFrames } from "../../../src-ts/server/frames.js";
import { LaneQueue } from "../../../src-ts/server/lanes.js";

describe("text frames", () => {
  it("are read by a WebSocket receiver as what they were, whatever their length", async () => {
    const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000];
    const texts = lengths.flatMap((length) => ["x".repeat(length), "é🌍".repeat(length / 6)]);
    // Not in the type declarations: the parser of the client side.
    const { Receiver } = ws as unknown as {
      Receiver: new (options: { isServer: boolean }) => Writable;
    };
    const receiver = new Receiver({ isServer: false });
    const received: string[] = [];
    receiver.on("message", (data: Buffer, isBinary: boolean) => {
      expect(isBinary).toBe(false);
      received.push(data.toString());
    });
    await new Promise<void>((resolve) => receiver.end(encodeTextFrames(texts), () => resolve()));
    await new Promise((resolve) => setImmediate(resolve));
    expect(received).toEqual(texts);
  });
});

describe("keys", () => {
  it("are told apart by what they are, never by how long they take", () => {
    const keys = new Keys(["one", "two"]);
    const owner = (header: string) => keys.identify(header, "").owner;
    expect(owner("Bearer one")).toBe(owner("Bearer  one"));
    expect(owner("Bearer one")).not.toBe(owner("Bearer two"));
    expect(owner("Bearer one")).not.toContain("one");
    expect(inspect(keys, { depth: 9 })).not.toMatch(/'(one|two)'/);
    for (const header of ["Bearer three", "Bearer on", "Bearer onee", "Bearer ", ""])
      expect(() => owner(header)).toThrow();
  });
});

describe("regular expressions", () => {
  it("are ours: none is made of what a client sends", () => {
    const sources = ["engine", "protocol", "server", "worker"].flatMap((folder) => {
      const path = join(import.meta.dirname, "../../../src-ts", folder);
      const names = readdirSync(path, { recursive: true, encoding: "utf8" });
      return names.filter((name) => name.endsWith(".ts")).map((name) => join(path, name));
    });
    const made = sources.flatMap((path) =>
      [...readFileSync(path, "utf8").matchAll(/\bRegExp\(([^\n]*)/g)].map(([, what]) => what),
    );
    // The one that there is holds a limit of our own.
    expect(made).toEqual([expect.stringContaining("limits.streamIdCharsMax")]);
  });
});

describe("lanes", () => {
  it("start the next job once, however often the last one says that it is done", () => {
    const started: number[] = [];
    const dones: (() => void)[] = [];
    let emptied = 0;
    const limits = { lanesPerSocketMax: 2, queuedPerLaneMax: 9, requestsPerSocketMax: 9 };
    const lanes = new LaneQueue(limits, () => emptied++);
    for (let i = 0; i < 3; i++) {
      lanes.add("a", {
        run: (done) => {
          started.push(i);
          dones.push(done);
        },
        refuse: () => {},
      });
    }
    dones[0]!();
    dones[0]!();
    expect(started).toEqual([0, 1]);
    dones[1]!();
    dones[2]!();
    expect(started).toEqual([0, 1, 2]);
    expect([emptied, lanes.isEmpty]).toEqual([1, true]);
  });

  it("that are broken off tell what waits in them, and take new jobs", () => {
    const limits = { lanesPerSocketMax: 2, queuedPerLaneMax: 2, requestsPerSocketMax: 9 };
    const lanes = new LaneQueue(limits, () => {});
    const refused: string[] = [];
    let done = (): void => {};
    let started = 0;
    const job = (name: string) => ({
      run: (whenDone: () => void) => {
        started++;
        done = whenDone;
      },
      refuse: ({ code }: ServingError) => refused.push(`${name} ${code}`),
    });
    for (const name of ["first", "second", "third"]) lanes.add("a", job(name));
    lanes.abandon("a", new ServingError("no", { code: "storage_unavailable", status: 503 }));
    done();
    expect(refused).toEqual(["second storage_unavailable", "third storage_unavailable"]);
    expect([started, lanes.isEmpty]).toEqual([1, true]);
    lanes.add("a", job("fourth"));
    expect(started).toBe(2);
  });
});
