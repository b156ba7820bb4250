/** The schemas here are the source; what the worker's Python declares must say the same. */
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import { prefixBlockTokens } from "../../../src-res/Placement.res.mjs";
import { defaultPolicy } from "../../../src-ts/machines/Scheduler.js";
import { protocol } from "../../../src-ts/machines/Worker.js";
import { sampling } from "../../../src-ts/protocol/fields.js";
import * as limits from "../../../src-ts/protocol/limits.js";
import * as link from "../../../src-ts/worker/link.js";
import {
  Abilities,
  Admission,
  Capabilities,
  fromWorker,
  fromWorkerTypes,
  LoadOptions,
  linkVersion,
  ModelSource,
  NativeFigures,
  NativePartStatus,
  nativeParts,
  neutral,
  PrepareInput,
  refusalCodes,
  Sampling,
  SamplingDefaults,
  TokenLogprob,
  toWorker,
  toWorkerTypes,
} from "../../../src-ts/worker/messages.js";
import { moduleWith, pythonDeclarations } from "../../support/python-declarations.js";

const python = pythonDeclarations();
const constant = (name: string) => moduleWith(name, python)[name];

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const fieldsIn = (name: string) => python.classes[name]?.fields.map(camel).sort();

interface Shaped {
  shape: Record<string, z.ZodType>;
}
const fieldsOf = ({ shape }: Shaped) => Object.keys(shape).sort();
const optionalOf = ({ shape }: Shaped) =>
  Object.keys(shape)
    .filter((name) => shape[name]!.safeParse(undefined).success)
    .sort();

const isOfKind = (kind: string) =>
  PrepareInput.options.find(({ shape }) => shape.kind.value === kind)! as unknown as Shaped;
/** Of an input its kind is the class. */
const contentOf = (kind: string) => fieldsOf(isOfKind(kind)).filter((name) => name !== "kind");

const capital = (name: string) => name[0]!.toUpperCase() + name.slice(1);
/** Where a message's class can't have its name: that is an exception's. */
const classNames: Record<string, string> = { loadFailed: "LoadFailure", refused: "Refusal" };

describe("the worker's Python", () => {
  it("speaks the same version in the same frames", () => {
    expect(constant("LINK_VERSION")).toBe(linkVersion);
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

  it("has the same messages by the same numbers", () => {
    expect(constant("TO_WORKER_TYPES")).toEqual(toWorkerTypes);
    expect(constant("FROM_WORKER_TYPES")).toEqual(fromWorkerTypes);
    expect(Object.keys(toWorker)).toEqual(Object.keys(toWorkerTypes));
    expect(Object.keys(fromWorker)).toEqual(Object.keys(fromWorkerTypes));
  });

  it.each(Object.entries(toWorker))("reads the fields of %s", (name, schema) => {
    expect(fieldsIn(capital(name))).toEqual(fieldsOf(schema));
  });

  it.each(Object.entries(fromWorker))("writes the fields of %s", (name, schema) => {
    const declared = classNames[name] ?? capital(name);
    expect(fieldsIn(declared)).toEqual(fieldsOf(schema));
    expect(python.classes[declared]?.optional.sort()).toEqual(optionalOf(schema));
  });

  it.each<[string, Shaped]>([
    ["Admission", Admission],
    ["Sampling", Sampling],
    ["ModelSource", ModelSource],
    ["LoadOptions", LoadOptions],
    ["SamplingDefaults", SamplingDefaults],
    ["Capabilities", Capabilities],
    ["TokenLogprob", TokenLogprob],
    ["TopLogprob", TokenLogprob.shape.top.element],
    ["PartStatus", NativePartStatus],
    ["NativeFigures", NativeFigures],
  ])("has the fields of %s", (name, schema) => {
    expect(fieldsIn(name)).toEqual(fieldsOf(schema));
  });

  it("has the same values that change nothing", () => {
    const { seed: _, ...defaults } = python.classes.Sampling!.defaults;
    const named = Object.entries(defaults).map(([name, value]) => [camel(name), value]);
    expect(Object.fromEntries(named)).toEqual(neutral);
  });

  it("has the fields of abilities, and those that only it needs", () => {
    const own = ["pieces", "sharedPrefill", "sharedReason"];
    expect(fieldsIn("Abilities")).toEqual([...fieldsOf(Abilities), ...own].sort());
  });

  it.each([
    ["Chat", "chat"],
    ["Text", "text"],
    ["Tokens", "tokens"],
  ])("has an input as %s", (name, kind) => {
    expect(fieldsIn(name)).toEqual(contentOf(kind));
  });

  it("has the same values where they are names", () => {
    const { finish, code } = fromWorker.ended.shape;
    expect(python.literals.Finish).toEqual(finish.options);
    expect(python.literals.FailureCode).toEqual(code.unwrap().options);
    expect(python.literals.RefusalCode).toEqual(refusalCodes);
    expect(python.literals.Part).toEqual(nativeParts);
    expect(python.literals.ControlTokens).toEqual(LoadOptions.shape.controlTokens.options);
    expect(python.literals.PrefixReuse).toEqual(Abilities.shape.prefix.options);
    expect(constant("KV_BITS")).toEqual([...LoadOptions.shape.kvBits.values]);
    expect(Abilities.shape.kvBits).toBe(LoadOptions.shape.kvBits);
  });

  it("cuts prompts into the same blocks, whose hashes tell where a prefix is", () => {
    expect(constant("BLOCK_TOKENS")).toBe(prefixBlockTokens);
    // Nothing shorter can be found.
    expect(defaultPolicy.prefixMin).toBe(prefixBlockTokens);
  });

  it("takes of a model's makers what the server takes of a request", () => {
    const bounds = Object.entries(constant("BOUNDS") as Record<string, [number, number]>);
    expect(bounds.map(([name]) => camel(name)).sort()).toEqual(fieldsOf(SamplingDefaults));
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
