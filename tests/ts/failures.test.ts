import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { isServingError, ServingError } from "../../src-ts/errors.js";
import {
  type FailureCode,
  failure,
  failures,
  retryAfterOf,
  statusOf,
} from "../../src-ts/failures.js";
import { openApiDocument } from "../../src-ts/protocol/openapi.js";

const root = resolve(import.meta.dirname, "../..");
interface Row {
  status: number;
  code?: string;
  retryAfterS?: number;
  words?: unknown;
}
const rows = Object.entries(failures as Record<string, Row>);

describe("the table of failures", () => {
  it.each(rows)("%s is a sentence, if it says anything", (_name, { words }) => {
    if (typeof words === "string") expect(words).toMatch(/^[A-Z].*\.$/);
  });

  it.each(rows)("%s says when to try again where that may help", (_name, row) => {
    expect(row.retryAfterS !== undefined).toBe(row.status === 429 || row.status === 503);
  });

  it("is the one of docs/PROTOCOL.md", () => {
    const page = readFileSync(join(root, "docs/PROTOCOL.md"), "utf8");
    const table = page.slice(page.indexOf("| status | type | codes |"));
    const lines = table.slice(0, table.indexOf("\n\n")).split("\n").slice(2);
    const documented = lines.flatMap((line) => {
      const [, statuses = "", type = "", codes = ""] = line.split("|");
      const allowed = statuses.split(",").map(Number);
      return [...codes.matchAll(/`([a-z_]+)`/g)].map(([, code]) => ({
        code,
        statuses: allowed,
        type: type.trim().replaceAll("`", ""),
      }));
    });
    // Not of a request over the network.
    const own = rows.filter(([name]) => name !== "closed");
    for (const [name, { status, code = name }] of own) {
      const { type } = new ServingError("", { code, status });
      const found = documented.filter((one) => one.code === code && one.statuses.includes(status));
      expect(
        found.map((one) => one.type),
        `${code} ${status}`,
      ).toEqual([type]);
    }
    const known = new Set(own.map(([name, { code = name }]) => code));
    expect(documented.map(({ code }) => code).filter((code) => !known.has(code!))).toEqual([]);
  });

  it("is where the examples of OpenAPI are from", () => {
    const answers = Object.values(openApiDocument().components.responses) as {
      content: { "application/json": { examples?: object; example?: unknown } };
    }[];
    const codes = [...JSON.stringify(answers).matchAll(/"code":"([a-z_]+)"/g)].map(([, c]) => c!);
    expect(codes.length).toBeGreaterThan(9);
    expect(codes.filter((code) => !Object.hasOwn(failures, code))).toEqual([]);
  });

  it("is the only place where failures get a status", () => {
    const outside = readdirSync(join(root, "src-ts"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .filter((name) => /new ServingError\(/.test(readFileSync(join(root, "src-ts", name), "utf8")))
      .sort();
    expect(outside).toEqual([
      // Why a model could not be loaded: the code is the worker's.
      "engine/worker-events.ts",
      "failures.ts",
      // The same error about a field that has another name.
      "server/errors.ts",
      // A response that failed earlier, perhaps in another version: its code and its words are stored.
      "server/render/endings.ts",
    ]);
  });
});

describe("a failure", () => {
  it("has code, status, words and the field to blame", () => {
    const error = failure("queue_full", { queueMax: 3 });
    expect(isServingError(error)).toBe(true);
    expect(error).toMatchObject({ code: "queue_full", status: 429, retryAfterS: 1, param: null });
    expect(error.message).toBe("The queue is full: 3 requests are waiting (--max-queue).");
    expect(failure("unknown_parameter", { param: "x" }).toBody()).toEqual({
      message: "Unknown parameter: x.",
      type: "invalid_request_error",
      param: "x",
      code: "unknown_parameter",
    });
  });

  it("may say more than its row", () => {
    const cause = new Error("why");
    const error = failure("no_worker", { reason: "it is broken", retryAfterS: 60, cause });
    expect(error).toMatchObject({ retryAfterS: 60, cause });
    expect(failure("invalid_value", { message: "No.", param: "n" }).message).toBe("No.");
  });

  it("has one code where the status tells two apart", () => {
    const [own, all] = [
      failure("too_many_bytes", { bytes: 1000 }),
      failure("too_many_bytes_in_all", { bytes: 1000 }),
    ];
    expect([own.code, own.status, all.code, all.status]).toEqual([
      "too_many_bytes",
      429,
      "too_many_bytes",
      503,
    ]);
  });

  it.each([
    ["worker_crashed", 500],
    ["out_of_memory", 503],
    ["invalid_prompt", 400],
    ["of_another_version", 500],
    ["toString", 500],
  ])("%s, if it is stored, has the status %i", (code, status) => {
    expect(statusOf(code)).toBe(status);
  });

  it("of somebody else's making is tried again as one of ours", () => {
    const retry = (status: number, retryAfterS?: number) =>
      retryAfterOf(
        new ServingError("", { code: "x", status, ...(retryAfterS && { retryAfterS }) }),
      );
    expect([retry(503), retry(429, 9), retry(500), retry(400)]).toEqual([
      1,
      9,
      undefined,
      undefined,
    ]);
  });

  it("is typed by what its words need", () => {
    // @ts-expect-error: the reason is left out.
    expect(() => failure("no_worker", {})).not.toThrow();
    // @ts-expect-error: this row has no words of its own.
    expect(() => failure("invalid_value")).toThrow("without words");
    // @ts-expect-error: there is no such failure.
    expect(() => failure("unheard_of" satisfies FailureCode)).toThrow();
  });
});
