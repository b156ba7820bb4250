/** Whether the names of `gen_ai` are those of the semantic conventions in the version that they say they are of. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as semconv from "@opentelemetry/semantic-conventions/incubating";
import { expect, it } from "vitest";
import * as names from "../../../src-ts/telemetry/names.js";

const own = "mlx_serving.";
const said = new Set<unknown>(Object.values(semconv));
const minorOf = (version: string) => version.split(".").slice(0, 2).join(".");

it("are tried against the version that they name", () => {
  const entry = createRequire(import.meta.url).resolve("@opentelemetry/semantic-conventions");
  const root = entry.slice(0, entry.indexOf("/build/"));
  const { version } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));
  expect(minorOf(version)).toBe(minorOf(names.semconvVersion));
  expect(names.schemaUrl).toContain(names.semconvVersion);
});

it("stand in the conventions, but for our own, which say so", () => {
  const all = [
    ...Object.values(names.attributes),
    ...Object.values(names.metrics).map(({ name }) => name),
  ];
  expect(all.length).toBeGreaterThan(25);
  expect(all.filter((name) => !name.startsWith(own) && !said.has(name))).toEqual([]);
  expect(Object.values(names.events).every((name) => name.startsWith(own))).toBe(true);
});

it("are each there once", () => {
  const all = Object.values(names.attributes);
  expect(new Set(all).size).toBe(all.length);
});

it("have values of the conventions", () => {
  const { chat, completion, embedding } = names.operations;
  expect([chat, completion, embedding].filter((value) => !said.has(value))).toEqual([]);
});
