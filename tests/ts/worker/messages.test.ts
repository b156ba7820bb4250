/** The schemas here are the source; the worker's Python is made of them, and what else both sides know is the same. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { messageChecks } from "../../../scripts/lib/worker-messages/checks.mjs";
import { messageTypes } from "../../../scripts/lib/worker-messages/types.mjs";
import { prefixBlockTokens } from "../../../src-res/Placement.res.mjs";
import { defaultPolicy } from "../../../src-ts/machines/Scheduler.js";
import { protocol } from "../../../src-ts/machines/Worker.js";
import { sampling } from "../../../src-ts/protocol/fields.js";
import * as limits from "../../../src-ts/protocol/limits.js";
import * as figures from "../../../src-ts/worker/figures.js";
import * as link from "../../../src-ts/worker/link.js";
import * as messages from "../../../src-ts/worker/messages.js";
import { moduleWith, pythonDeclarations } from "../../support/python-declarations.js";

const { fromWorker, fromWorkerTypes, linkVersion, Sampling, SamplingDefaults } = messages;
const { toWorker, toWorkerTypes } = messages;
const python = pythonDeclarations();
const constant = (name: string) => moduleWith(name, python)[name];

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

const sources = resolve(import.meta.dirname, "../../../python/mlx_serving");
/** `npm run docs` sets this; a plain test run only compares. */
const writing = process.env.MLX_SERVING_WRITE_DOCS === "1";

const made = { "messages.py": messageTypes, "link/bodies.py": messageChecks };

describe("the worker's Python", () => {
  it.each(Object.entries(made))("has %s as the schemas say", (name, make) => {
    const file = join(sources, name);
    const text = make({ ...messages, ...figures });
    if (writing) writeFileSync(file, text);
    expect(readFileSync(file, "utf8"), "run `npm run docs`").toBe(text);
  });

  it("speaks the same version in the same frames", () => {
    // What the machine takes in a `hello`.
    expect(protocol).toBe(linkVersion);
    expect(moduleWith("MAGIC", python)).toMatchObject({
      MAGIC: link.frameMagic,
      VERSION: link.frameVersion,
      PAYLOAD_BYTES_MAX: link.frameBytesMax,
      // magic u16, version u8, type u8, epoch u32, length u32, crc32 u32.
      HEADER: ["<HBBIII"],
    });
    expect(link.frameHeaderBytes).toBe(2 + 1 + 1 + 4 + 4 + 4);
  });

  it("has a number for every message", () => {
    expect(Object.keys(toWorker)).toEqual(Object.keys(toWorkerTypes));
    expect(Object.keys(fromWorker)).toEqual(Object.keys(fromWorkerTypes));
    const numbers = [...Object.values(toWorkerTypes), ...Object.values(fromWorkerTypes)];
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  it("cuts prompts into the same blocks, whose hashes tell where a prefix is", () => {
    expect(constant("BLOCK_TOKENS")).toBe(prefixBlockTokens);
    // Nothing shorter can be found.
    expect(defaultPolicy.prefixMin).toBe(prefixBlockTokens);
  });

  it("takes of a model's makers what the server takes of a request", () => {
    const bounds = Object.entries(constant("BOUNDS") as Record<string, [number, number]>);
    expect(bounds.map(([name]) => camel(name)).sort()).toEqual(
      Object.keys(SamplingDefaults.shape).sort(),
    );
    for (const [name, [low, high]] of bounds) {
      const field = sampling[name as keyof typeof sampling];
      const taken = [low, high, high + 1].map((value) => field.safeParse(value).success);
      expect({ name, taken }).toEqual({ name, taken: [true, true, false] });
    }
  });

  it("takes what the server lets through", () => {
    const number = (name: string) => constant(name) as number;
    expect(number("TEMPLATE_ARGUMENTS_MAX")).toBe(limits.templateArgumentsMax);
    expect(number("STOPS_MAX")).toBeGreaterThanOrEqual(limits.stopStringsMax);
    expect(number("STOP_CHARACTERS_MAX")).toBeGreaterThanOrEqual(limits.stopStringCharsMax);
    expect(number("DEPTH_MAX")).toBeGreaterThan(limits.jsonDepthMax);
    expect(number("PAYLOAD_BYTES_MAX")).toBeGreaterThan(limits.bodyBytesMax);
    const { logprobs } = Sampling.shape;
    expect(logprobs.safeParse(limits.topLogprobsMax).success).toBe(true);
    expect(logprobs.safeParse(limits.topLogprobsMax + 1).success).toBe(false);
  });
});
