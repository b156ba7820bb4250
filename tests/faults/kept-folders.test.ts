/** Data folders that earlier versions left: `tests/fixtures/data-folders` says what is in them. */
import { appendFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pack } from "msgpackr";
import { describe, expect, it, vi } from "vitest";
import { WorkerEngine } from "../../src-ts/engine/engine.js";
import { systemPorts } from "../../src-ts/engine/index.js";
import { describePython, pythonProject } from "../../src-ts/environment/python.js";
import { encodeFrame } from "../../src-ts/journal/frames.js";
import { openJournal } from "../../src-ts/journal/index.js";
import { parseSegmentName } from "../../src-ts/journal/recovery.js";
import { createServer, type ServerLogger } from "../../src-ts/server/index.js";
import { nativeEnvironment } from "../e2e/support/native.js";
import { startServer } from "../e2e/support/server.js";
import { fakeEngine } from "../support/engine-options.js";
import { dataFolder, expectWhole, getResponse, parsed, post, replay } from "./support/stored.js";

vi.setConfig({ testTimeout: 120_000 });

interface Kept {
  name: string;
  id: string;
  state: "ended" | "running";
  /** Absent: the server's own. */
  owner?: string;
  status?: string;
  reason?: string | null;
  text: string;
  /** What had been seen of it when its process was killed. */
  shown?: string;
  output_tokens: number;
  logprobs?: number;
  metadata?: Record<string, string>;
}

interface Expected {
  madeAt: number;
  model: string;
  deleted: string;
  keys: { key: string; body: object; id: string }[];
  responses: Kept[];
}

const kept = join(import.meta.dirname, "../fixtures/data-folders");
const formats = readdirSync(kept, { withFileTypes: true }).filter((entry) => entry.isDirectory());

function copyOf(format: string) {
  const folder = dataFolder();
  const expected = JSON.parse(readFileSync(join(kept, format, "expected.json"), "utf8"));
  cpSync(join(kept, format), folder.path, { recursive: true });
  rmSync(join(folder.path, "expected.json"));
  return { folder, expected: expected as Expected };
}

const ignore = () => {};
const silent: ServerLogger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** A server in this process whose wall clock stands where the folder was made. */
async function serveAt({ madeAt, model }: Expected, folder: string) {
  const own = nativeEnvironment();
  const { path: python } = describePython({ ...process.env, ...own });
  const ports = systemPorts({ command: () => ({ python, packageDir: pythonProject, env: own }) });
  const clock = { ...ports.clock, wall: () => madeAt };
  const lines: string[] = [];
  const journal = await openJournal({
    folder,
    fsync: false,
    clock,
    log: (_level, message, fields) => lines.push(`${message} ${JSON.stringify(fields)}`),
  });
  const models = [{ id: model, kind: "fake" as const, path: "" }];
  const engine = new WorkerEngine({ ...fakeEngine, models }, { ...ports, clock, journal });
  engine.start();
  const server = createServer({ engine, config: { port: 0 }, logger: silent });
  const { url } = await server.listen();
  return {
    url,
    engine,
    lines,
    async [Symbol.asyncDispose]() {
      await server.close();
      await engine.close();
      await journal.close();
    },
  };
}

type Served = Awaited<ReturnType<typeof serveAt>>;

/** Of what a server without keys has stored. */
const anonymous = "open";

describe.each(formats.map(({ name }) => name))("a folder of %s", (format) => {
  it("opens: what had ended is read, what was running finishes, keys still hold", async () => {
    const { folder, expected } = copyOf(format);
    using _folder = folder;
    await using served = await serveAt(expected, folder.path);
    const running = expected.responses.filter(({ state }) => state === "running").length;
    const ended = expected.responses.length - running;
    expect(served.lines).toContainEqual(`restored responses ${JSON.stringify({ ended, running })}`);
    for (const one of expected.responses) await expectKept(served, one);
    expect((await fetch(`${served.url}/v1/responses/${expected.deleted}`)).status).toBe(404);
    for (const { key, body, id } of expected.keys) {
      const again = await post(`${served.url}/v1/responses`, body, { "idempotency-key": key });
      expect(await again.json()).toMatchObject({ id });
    }
  });

  it("has nothing to go on from where no input was kept, and says so", async () => {
    const { folder, expected } = copyOf(format);
    using _folder = folder;
    await using served = await serveAt(expected, folder.path);
    const { id } = expected.responses.find(
      (one) => isLocal(one) && one.state === "ended" && one.status === "completed",
    )!;
    const items = await fetch(`${served.url}/v1/responses/${id}/input_items`);
    expect(items.status).toBe(404);
    expect(await items.json()).toMatchObject({ error: { code: "input_items_not_found" } });
    const next = await post(`${served.url}/v1/responses`, { input: "x", previous_response_id: id });
    expect(next.status).toBe(400);
    expect(await next.json()).toMatchObject({
      error: { code: "previous_response_not_found", param: "previous_response_id" },
    });
  });

  it("is opened by the program, and read a second time as the first", async () => {
    const { folder, expected } = copyOf(format);
    using _folder = folder;
    const flags = ["--engine", "fake", "--data-dir", folder.path];
    // What had ended is too old by now, and one of them too late.
    const running = expected.responses.filter(
      ({ state, name }) => state === "running" && name !== "runningDeadline",
    );
    const replays: string[][] = [];
    for (const _start of [1, 2]) {
      await using server = await startServer({ flags });
      expect(server.stderr()).not.toMatch(/"level":50/);
      for (const one of running.filter(isLocal)) {
        const events = await replay(server.url, one.id);
        expectWhole(parsed(events), one.name);
        replays.push(events);
        await expectResponse(server.url, one);
      }
      server.signal("SIGTERM");
      await server.exited;
    }
    const half = replays.length / 2;
    expect(replays.slice(half)).toEqual(replays.slice(0, half));
  });
});

describe("a folder of a newer version", () => {
  it("is exit 2 with one sentence, and stays as it is", async () => {
    const { folder } = copyOf("format-1");
    using _folder = folder;
    writeFileSync(join(folder.path, "00000009-00000000.log"), "mlx-serving journal 2\n");
    const before = folder.bytes();
    const flags = ["--engine", "fake", "--data-dir", folder.path, "--log-level", "silent"];
    await expect(startServer({ flags })).rejects.toThrow(
      `ended with 2 before it was ready:\nmlx-serving: --data-dir ${folder.path} can't be used: ` +
        "00000009-00000000.log was written by a newer version (format 2; this one reads 1).\n",
    );
    expect(folder.bytes().equals(before)).toBe(true);
  });
});

describe("a folder with something of another version", () => {
  it("is served but for that, with a line in the log", async () => {
    const { folder, expected } = copyOf("format-1");
    using _folder = folder;
    const named = (wanted: string) => expected.responses.find(({ name }) => name === wanted);
    const [strange, other] = [named("runningChat"), named("runningKeyed")];
    // Behind the torn end, where a start looks for what is whole.
    const segment = folder.segments().at(-1);
    const { salt } = parseSegmentName(basename(segment!))!;
    appendFileSync(segment!, encodeFrame(pack([77, strange!.id, "of another version"]), salt));
    await using server = await startServer({
      flags: ["--engine", "fake", "--data-dir", folder.path],
    });
    expect(server.stderr()).toContain("responses that another version wrote are left on disk");
    expect(server.stderr()).toContain("a record of type 77");
    expect((await fetch(`${server.url}/v1/responses/${strange!.id}`)).status).toBe(404);
    expectWhole(parsed(await replay(server.url, other!.id)), other!.name);
  });
});

const isLocal = ({ owner }: Kept) => owner === undefined;

async function expectKept({ url, engine }: Served, one: Kept): Promise<void> {
  const response = engine.get(one.id, one.owner ?? anonymous)!;
  expect(response, one.name).toBeDefined();
  for await (const _entry of response.read(-1));
  expect(response.text, one.name).toBe(one.text);
  expect(response.tokens.length, one.name).toBe(one.output_tokens);
  if (one.owner !== undefined) return;
  await expectResponse(url, one);
  const events = parsed(await replay(url, one.id));
  expectWhole(events, one.name);
  const deltas = events.flatMap((event) =>
    event.type === "response.output_text.delta" ? [event.delta] : [],
  );
  expect(deltas.join(""), one.name).toBe(one.text);
}

async function expectResponse(url: string, one: Kept): Promise<void> {
  const { status, incomplete_details, error, output, usage, metadata } = await getResponse(
    url,
    one.id,
  );
  const parts = output.flatMap((item) => (item.type === "message" ? item.content : []));
  expect(
    {
      status,
      reason: incomplete_details?.reason ?? error?.code ?? null,
      text: parts.map(({ text }) => text).join(""),
      output_tokens: usage?.output_tokens,
      logprobs: parts.flatMap(({ logprobs }) => logprobs).length,
      metadata,
    },
    one.name,
  ).toEqual({
    status: one.status,
    reason: one.reason,
    text: one.text,
    output_tokens: one.output_tokens,
    logprobs: one.logprobs,
    metadata: one.metadata ?? {},
  });
}
