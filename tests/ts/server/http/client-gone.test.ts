import { EventEmitter } from "node:events";
import type { FastifyReply } from "fastify";
import { expect, it } from "vitest";
import { goneSignal, unlessGone } from "../../../../src-ts/server/http/client-gone.js";

/** An answer, as far as it says that its client has gone. */
class Raw extends EventEmitter {
  destroyed = false;
  writableFinished = false;

  close(writableFinished = false): void {
    this.destroyed = true;
    this.writableFinished = writableFinished;
    this.emit("close");
  }
}

function reply() {
  const raw = new Raw();
  return { raw, answer: { raw } as unknown as Pick<FastifyReply, "raw"> };
}

it("says so when the connection closes before the answer is out", () => {
  const { raw, answer } = reply();
  const gone = goneSignal(answer);
  expect(gone.aborted).toBe(false);
  raw.close();
  expect(gone.aborted).toBe(true);
});

it("doesn't when the answer is out, however late one asks", () => {
  const { raw, answer } = reply();
  const gone = goneSignal(answer);
  raw.close(true);
  expect([gone.aborted, goneSignal(answer).aborted]).toEqual([false, false]);
});

it("says so at once of a client that had gone before", () => {
  const { raw, answer } = reply();
  raw.close();
  expect(goneSignal(answer).aborted).toBe(true);
});

it("keeps nothing of work that is done", async () => {
  const { raw, answer } = reply();
  let seen: AbortSignal | undefined;
  const work = async (gone: AbortSignal) => {
    seen = gone;
    return 1;
  };
  expect(await unlessGone(answer, work)).toBe(1);
  expect(raw.listenerCount("close")).toBe(0);
  raw.close();
  expect(seen?.aborted).toBe(false);
  await expect(unlessGone(answer, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
});

it("gives work up when the client leaves meanwhile", async () => {
  const { raw, answer } = reply();
  const work = unlessGone(
    answer,
    (gone) => new Promise((resolve) => gone.addEventListener("abort", () => resolve("given up"))),
  );
  raw.close();
  expect(await work).toBe("given up");
});
