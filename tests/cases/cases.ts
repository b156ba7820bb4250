/**
 * Cases: requests that real clients have sent, each with what is right for it, and neighbours of the same
 * kind. Owns the format of the lists. `npm run cases -- FILE` plays a list of somebody else's; what its
 * `and` says in words is checked where a case of ours has the same request.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";

/** What a status alone doesn't say. */
const Condition = z.discriminatedUnion("check", [
  /** The same process as before, never restarted. */
  z.strictObject({ check: z.literal("worker_unharmed") }),
  /** A stream that runs beside it ends as it would have, and after this answer. */
  z.strictObject({ check: z.literal("streams_undisturbed") }),
  z.strictObject({ check: z.literal("message_names"), text: z.string() }),
  /** A list in a header. */
  z.strictObject({
    check: z.literal("header_names"),
    header: z.string(),
    names: z.array(z.string()),
  }),
  /** In the answer, in every event of a stream and over WebSocket. */
  z.strictObject({ check: z.literal("numbers_in_responses"), fields: z.array(z.string()) }),
  /** Sampled warm, this body draws otherwise with that seed, and the same again with its own. */
  z.strictObject({ check: z.literal("another_draw"), seed: z.string() }),
  /** Of a completion: as many alternatives as asked for, the drawn token among them; offsets in the text. */
  z.strictObject({ check: z.literal("logprobs_add_up"), likeliest: z.int() }),
]);
export type Condition = z.infer<typeof Condition>;

const Request = {
  /** `METHOD path`, with `{stored id}` and `{running id}` for responses to be made before; or `WS type`. */
  route: z.string(),
  headers: z.record(z.string(), z.string()).optional(),
  /** The exact text, escapes as written. */
  raw: z.string().optional(),
  gzip_of: z.string().optional(),
  /** Layers of an encoding, the innermost first. */
  encoded: z
    .strictObject({ as: z.array(z.enum(["gzip", "br", "deflate"])), of: z.string() })
    .optional(),
};

const Expected = z.strictObject({
  status: z.int(),
  param: z.string().nullable().optional(),
  code: z.string().optional(),
  /** Over WebSocket: the type of the event that answers. */
  event: z.string().optional(),
  headers: z.record(z.string(), z.string()).optional(),
  and: z.union([z.string(), z.array(Condition)]).optional(),
});

type Expected = z.infer<typeof Expected>;

const Neighbour = z.strictObject({
  ...Request,
  route: Request.route.optional(),
  name: z.string(),
  expect: Expected.partial().optional(),
});

const Listed = z.strictObject({
  name: z.string(),
  ...Request,
  expect: Expected,
  /** What is left out is the case's; a body of one form replaces that of another. */
  neighbours: z.array(Neighbour).optional(),
});
type Listed = z.infer<typeof Listed>;

export interface Case {
  name: string;
  route: string;
  headers: Record<string, string>;
  body: Pick<Listed, "raw" | "gzip_of" | "encoded">;
  expect: Expected;
  conditions: readonly Condition[];
  /** Said in words, and checked by nothing. */
  unchecked: string | undefined;
}

export const ownList = new URL("http.json", import.meta.url);

export function readCases(file: string | URL): Case[] {
  const own = withNeighbours(parse(ownList));
  const listed = String(file) === String(ownList) ? own : withNeighbours(parse(file));
  return listed.map((one) => completed(one, own));
}

function parse(file: string | URL): Listed[] {
  return z.array(Listed).parse(JSON.parse(readFileSync(file, "utf8")));
}

function withNeighbours(listed: readonly Listed[]): Listed[] {
  return listed.flatMap(({ neighbours = [], ...one }) => [
    one,
    ...neighbours.map((neighbour) => ({
      ...(hasBody(neighbour)
        ? { ...one, raw: undefined, gzip_of: undefined, encoded: undefined }
        : one),
      ...neighbour,
      route: neighbour.route ?? one.route,
      name: `${one.name}: ${neighbour.name}`,
      expect: expectedOf(one.expect, neighbour.expect),
    })),
  ]);
}

/** With a status of its own nothing else of the case is expected. */
function expectedOf(expected: Expected, own: Partial<Expected> = {}): Expected {
  const { status } = own;
  return status === undefined ? { ...expected, and: undefined, ...own } : { ...own, status };
}

function hasBody(one: Pick<Listed, "raw" | "gzip_of" | "encoded">): boolean {
  return (one.raw ?? one.gzip_of ?? one.encoded) !== undefined;
}

function completed(one: Listed, own: readonly Listed[]): Case {
  const { name, route, headers = {}, raw, gzip_of, encoded, expect } = one;
  const words = typeof expect.and === "string" ? expect.and : undefined;
  const same = words === undefined ? one : own.find((known) => isSame(known, one));
  const and = same?.expect.and;
  return {
    name,
    route,
    headers,
    body: { raw, gzip_of, encoded },
    expect,
    conditions: Array.isArray(and) ? and : [],
    unchecked: Array.isArray(and) ? undefined : words,
  };
}

function isSame(one: Listed, other: Listed): boolean {
  return one.route === other.route && one.raw === other.raw && one.gzip_of === other.gzip_of;
}
