/** The OpenAPI and AsyncAPI documents: valid, true to the server, and as they stand in docs/. */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import {
  asyncApiDocument,
  clientMessages,
  serverMessages,
} from "../../../src-ts/protocol/asyncapi.js";
import { ClientMessage, ServerEvent } from "../../../src-ts/protocol/events.js";
import { examplesOf, openApiDocument, operations } from "../../../src-ts/protocol/openapi.js";
import type { WorkerStatus } from "../../../src-ts/protocol/operations.js";
import { Gate } from "../../../src-ts/server/access/gate.js";
import { HostPolicy } from "../../../src-ts/server/access/hosts.js";
import { Keys } from "../../../src-ts/server/access/keys.js";
import { Limits } from "../../../src-ts/server/access/limits.js";
import { Sessions } from "../../../src-ts/server/access/sessions.js";
import { Tickets } from "../../../src-ts/server/access/tickets.js";
import { BodyBudget } from "../../../src-ts/server/bodies/budget.js";
import { ConsoleAssets } from "../../../src-ts/server/console/assets.js";
import { DocsSite } from "../../../src-ts/server/docs/site.js";
import { createApp } from "../../../src-ts/server/http/app.js";
import { KeyUse } from "../../../src-ts/server/operations/key-use.js";
import { LiveFeed } from "../../../src-ts/server/operations/live-feed.js";
import { Metrics } from "../../../src-ts/server/operations/metrics.js";
import { Resumes } from "../../../src-ts/server/operations/reliability-metrics.js";
import { SchemaRefusals } from "../../../src-ts/server/operations/schema-refusals.js";
import { resolveOptions, type ServerLogger } from "../../../src-ts/server/options.js";
import { addRoutes } from "../../../src-ts/server/routes.js";
import { ScriptedEngine } from "../support/scripted-engine.js";
import { startServer } from "../support/test-server.js";

const root = resolve(import.meta.dirname, "../../..");
const load = createRequire(import.meta.url);

/** `npm run docs` sets this; a plain test run only compares. */
const writing = process.env.MLX_SERVING_WRITE_DOCS === "1";

const documents = { openapi: openApiDocument, asyncapi: asyncApiDocument };

/** As a reader gets it. */
const json = (value: unknown) => JSON.parse(JSON.stringify(value));

describe("docs", () => {
  it.each(Object.entries(documents))("%s.json is what the schemas say", (name, make) => {
    const file = join(root, `docs/${name}.json`);
    const text = `${JSON.stringify(make(), undefined, 2)}\n`;
    if (writing) writeFileSync(file, text);
    expect(readFileSync(file, "utf8"), "run `npm run docs`").toBe(text);
  });

  it.each(Object.entries(documents))(
    "%s.json is served, with and without a key",
    async (name, make) => {
      const { get } = await startServer({ apiKeys: ["key"] });
      const answer = await get(`/${name}.json`);
      expect(answer.headers.get("content-type")).toContain("application/json");
      expect(await answer.json()).toEqual(json(make()));
    },
  );
});

describe("the OpenAPI document", () => {
  it("is valid", async () => {
    expect((await new Validator().validate(json(openApiDocument()))).errors ?? []).toEqual([]);
    const wrong = { ...json(openApiDocument()), paths: { "/x": { get: { responses: 3 } } } };
    expect((await new Validator().validate(wrong)).valid).toBe(false);
  });

  it("refers to nothing that isn't there", () => {
    expect(danglingIn(json(openApiDocument()))).toEqual([]);
  });

  it.each(examplesOf().map((one) => [one.name, one] as const))(
    "%s has an example that its schema takes",
    (_name, { schema, example }) => {
      expect(schema.safeParse(example).error?.message).toBeUndefined();
    },
  );

  it("has every route of the server, and no other", () => {
    const described = operations.map(({ method, path }) => `${method} ${plain(path)}`);
    expect(described.toSorted()).toEqual(registeredRoutes().toSorted());
  });
});

/** What may contain slashes: the router writes it `*`. */
function plain(path: string): string {
  return path.replace(/\{(?:model_id|file)\}/, "*").replace(/\{\w+\}/g, "{}");
}

function registeredRoutes(): string[] {
  const engine = new ScriptedEngine();
  const config = resolveOptions({});
  const logger: ServerLogger = { debug() {}, info() {}, warn() {}, error() {} };
  const keys = new Keys(config.keys);
  const limits = new Limits(undefined, () => {});
  const gate = new Gate(engine, keys, limits);
  const keyUse = new KeyUse(keys, limits);
  const sessions = new Sessions(keys);
  const hosts = new HostPolicy("127.0.0.1", [], []);
  const bodies = new BodyBudget(config.limits);
  const app = createApp({ config, logger, sessions, keys, limits, hosts, bodies });
  const routes: string[] = [];
  app.addHook("onRoute", ({ method, url, onRequest }) => {
    // Those that a path lacks are one route of their own, with a hook that refuses.
    const taken = onRequest === undefined ? [method].flat() : [];
    for (const one of taken) routes.push(`${one.toLowerCase()} ${url.replace(/:\w+/g, "{}")}`);
  });
  const counted = { refusals: new SchemaRefusals(), resumes: new Resumes(), keyUse };
  const metrics = new Metrics(engine, { size: 0 }, counted);
  const tickets = new Tickets(config.limits);
  const context = { engine: gate, keys, bodies, config, logger, now: () => 0 };
  const feed = new LiveFeed({
    engine,
    samples: () => [],
    writeBufferBytesMax: 0,
    viewersMax: 0,
    now: () => 0,
  });
  const console = new ConsoleAssets();
  const docs = new DocsSite();
  addRoutes(app, context, {
    ...{ sessions, keys, tickets, metrics, keyUse, feed, console, docs, drain() {} },
  });
  metrics.close();
  return routes.filter((route) => !route.startsWith("head "));
}

describe("the AsyncAPI document", () => {
  // Its own schema is JSON Schema of an older draft, with formats that ajv doesn't know.
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const validate = ajv.compile(load("@asyncapi/specs/schemas/3.0.0-without-$id.json"));

  it("is valid", () => {
    expect(validate(json(asyncApiDocument())) ? [] : validate.errors).toEqual([]);
    expect(validate({ ...json(asyncApiDocument()), channels: 3 })).toBe(false);
  });

  it("refers to nothing that isn't there", () => {
    expect(danglingIn(json(asyncApiDocument()))).toEqual([]);
  });

  it.each([...clientMessages, ...serverMessages].map((one) => [one.name, one] as const))(
    "%s has an example that its schema takes",
    (_name, { schema, example }) => {
      expect(schema.safeParse(example).error?.message).toBeUndefined();
    },
  );

  it("has every message of both sides", () => {
    const client = ClientMessage.options.map((option) => option.shape.type.value);
    expect(clientMessages.map(({ name }) => name)).toEqual(client);
    for (const { example } of serverMessages)
      expect(ServerEvent.safeParse(example).success).toBe(true);
  });
});

/** References that lead nowhere. */
function danglingIn(document: unknown): string[] {
  const refs = new Set<string>();
  JSON.stringify(document, (key, value: unknown) => {
    if (key === "$ref") refs.add(value as string);
    return value;
  });
  expect(refs.size).toBeGreaterThan(10);
  return [...refs].filter((ref) => {
    const steps = ref.slice(2).split("/");
    // biome-ignore lint/suspicious/noExplicitAny: any document
    return steps.reduce((at: any, step) => at?.[step], document) === undefined;
  });
}

/** What the engine says of a worker is what the document says. */
type Same = import("../../../src-ts/engine/api.js").WorkerInfo extends {
  [K in keyof Required<WorkerStatus>]: unknown;
}
  ? true
  : never;
const same: Same = true;

it("describes every field of a worker", () => {
  expect(same).toBe(true);
});
