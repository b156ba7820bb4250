/**
 * Nothing unreachable: no event of a machine that nobody posts, no effect, message or field that nobody
 * reads. Found by the text of the sources: see `variants.ts`. What is on a list here stays for its reason;
 * what is on it and used after all fails too.
 */
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import {
  Admission,
  fromWorker,
  LoadOptions,
  ModelSource,
  Sampling,
  toWorker,
} from "../../src-ts/worker/messages.js";
import {
  isMadeInReScript,
  isMadeInTypeScript,
  readOf,
  sourcesIn,
  takenInReScript,
  takenInTypeScript,
  variantsOf,
} from "../support/variants.js";

type Reasons = Readonly<Record<string, string>>;

const unposted: Reasons = {};

const unread: Reasons = {};

const unsent: Reasons = {};
const unheeded: Reasons = {
  admit: "its requests are read one by one, so that a bad one leaves the others alone",
};
const unreadFields: Reasons = Object.fromEntries(
  [
    ...["running", "waiting", "steps", "prefixCacheBytes", "kvBytes", "memoryBytes"],
    ...["grammars", "prefixes", "prefixDisk"],
  ].map((name) => [`telemetry.${name}`, "passed on whole to /admin/workers and /metrics"]),
);
const unreadByPython: Reasons = {};

const root = resolve(import.meta.dirname, "../..");
const engine = sourcesIn(resolve(root, "src-ts/engine"), /\.ts$/);
const worker = sourcesIn(resolve(root, "python/mlx_serving"), /\.py$/);
/** Where messages are used, and not only declared and checked. */
const workerAtWork = sourcesIn(
  resolve(root, "python/mlx_serving"),
  /(?<!messages|bodies|parse)\.py$/,
);

/** A machine's own module makes no event, and reads no effect. */
const othersThan = (module: string) =>
  sourcesIn(resolve(root, "src-res"), /\.res$/, [`${module}.res`]);

describe.each(["Request", "Worker", "Batch"])("%s", (module) => {
  const declared = resolve(root, "src-res", `${module}.resi`);
  const others = othersThan(module);
  const listed = (reasons: Reasons) =>
    Object.keys(reasons).filter((name) => name.startsWith(`${module} `));

  it("is told every event that it knows", () => {
    const events = variantsOf(declared, /^event$|Event$/);
    expect(events.length).toBeGreaterThan(4);
    const missing = events.filter(
      (event) => !isMadeInTypeScript(event, engine) && !isMadeInReScript(event, others),
    );
    expect(missing.map(({ kind }) => `${module} ${kind}`)).toEqual(listed(unposted));
  });

  it("is obeyed in every effect, and all that it says there is read", () => {
    const effects = variantsOf(declared, /^effect$/);
    expect(effects.length).toBeGreaterThan(3);
    const taken = effects.map((effect) => ({
      ...effect,
      inTypeScript: takenInTypeScript(effect, engine),
      inReScript: takenInReScript(effect, others),
    }));
    const ignored = taken.filter((effect) => !effect.inTypeScript && !effect.inReScript);
    expect(ignored.map(({ kind }) => kind)).toEqual([]);
    const fields = taken.flatMap(({ kind, fields, inTypeScript, inReScript }) =>
      fields
        .filter((field) => !inTypeScript?.has(field) && !inReScript?.has(field))
        .map((field) => `${module} ${kind}.${field}`),
    );
    expect(fields).toEqual(listed(unread));
  });
});

describe("the link", () => {
  it("has no message to a worker that nobody sends", () => {
    const missing = Object.keys(toWorker).filter(
      (name) => !engine.some((source) => new RegExp(`type: "${name}"`).test(source)),
    );
    expect(missing).toEqual(Object.keys(unsent));
  });

  it("has no message to a worker that it doesn't look at", () => {
    const missing = Object.keys(toWorker).filter((name) => {
      const type = name[0]!.toUpperCase() + name.slice(1);
      return !workerAtWork.some((source) => new RegExp(`[ ,(]${type}\\b[,)(:]`).test(source));
    });
    expect(missing).toEqual(Object.keys(unheeded));
  });

  it.each<[string, { shape: object }]>([
    ["Admission", Admission],
    ["Sampling", Sampling],
    ["LoadOptions", LoadOptions],
    ["ModelSource", ModelSource],
  ])("has no field of %s that a worker doesn't read", (type, { shape }) => {
    const missing = Object.keys(shape).filter((field) => {
      const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return !workerAtWork.some((source) => new RegExp(`\\.${name}\\b`).test(source));
    });
    const listed = Object.keys(unreadByPython).filter((name) => name.startsWith(`${type}.`));
    expect(missing.map((name) => `${type}.${name}`)).toEqual(listed);
  });

  it("has no message from a worker that it doesn't send, or that nobody reads", () => {
    const names = Object.keys(fromWorker);
    const sent = names.filter((name) =>
      worker.some((source) => new RegExp(`\\(\\s*(?:[\\w.]+, )?"${name}",`).test(source)),
    );
    expect(names.filter((name) => !sent.includes(name))).toEqual([]);
    const unhandled = names.filter(
      (name) => !engine.some((source) => source.includes(`case "${name}":`)),
    );
    expect(unhandled).toEqual([]);
  });

  it("has no field from a worker that nobody reads", () => {
    const missing = Object.entries(fromWorker).flatMap(([name, { shape }]) => {
      const fields = Object.keys(shape);
      const read = readOf(fields, ["message", name], engine);
      return fields.filter((field) => !read.includes(field)).map((field) => `${name}.${field}`);
    });
    expect(missing.sort()).toEqual(Object.keys(unreadFields).sort());
  });
});
