/** Fields that a folder lacks, or has too many of: it outlives the version that wrote it. */
import { pack, Unpackr } from "msgpackr";
import { describe, expect, it } from "vitest";
import { conversation } from "../../../src-ts/engine/conversation.js";
import type { Acceptance } from "../../../src-ts/engine/journal.js";
import { encodeRecord } from "../../../src-ts/journal/records.js";
import { acceptanceOf, decoded } from "./support.js";

type Fields = Record<string, unknown>;

const accepted = acceptanceOf("resp_1", {
  clientId: "somebody",
  priority: "batch",
  chat: false,
  turn: {
    tools: {
      tools: [
        { name: "look", description: "Looks", parameters: { type: "object" }, custom: false },
        { name: "run", description: "", parameters: {}, custom: true, lark: "start: /a/" },
      ],
      choice: { name: "run" },
      parallel: false,
    },
    reasoning: { enabled: false, maxTokens: 7 },
    fakeSay: "<think>Hm.</think>",
  },
  deadlineAt: 1_700_000_060_000,
  idempotency: { key: "k", fingerprint: "f" },
  conversation: conversation(
    [{ type: "message", role: "user", content: [{ type: "input_text", text: "two" }] }],
    conversation([{ type: "message", id: "msg_1", role: "user", content: [] }], undefined),
  ),
});

/** The map on disk, for a test to change. */
function onDisk(): Fields & { sampling: Fields; cost: Fields } {
  const response = {
    acceptance: accepted,
    entries: [],
    tokens: [],
    cachedTokens: 0,
    reasoningTokens: 0,
  };
  const unpacker = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "bigint" });
  return unpacker.unpack(encodeRecord({ kind: "whole", response }))[1];
}

function read(fields: Fields): Acceptance | string {
  const [record] = decoded(pack([1, fields, [], new Uint8Array(), 0]));
  if (record?.kind === "foreign") return record.what;
  if (record?.kind !== "whole") throw new Error(record?.kind);
  return record.response.acceptance;
}

const without = <T extends Fields>(fields: T, name: string): T => {
  const { [name]: _, ...rest } = fields;
  return rest as T;
};

describe("an acceptance", () => {
  it("is read as it was written", () => {
    expect(read(onDisk())).toEqual(accepted);
  });

  it.each([
    ["temperature", 0],
    ["topP", 1],
    ["topK", 0],
    ["minP", 0],
    ["repetitionPenalty", 1],
    ["presencePenalty", 0],
    ["frequencyPenalty", 0],
    ["logitBias", []],
    ["seed", 0n],
    ["stop", []],
    ["logprobs", -1],
  ])("without sampling.%s asked for nothing of it", (name, neutral) => {
    const fields = onDisk();
    const sampling = { ...accepted.sampling, [name]: neutral };
    expect(read({ ...fields, sampling: without(fields.sampling, name) })).toEqual({
      ...accepted,
      sampling,
    });
  });

  it("has a default for every field of its sampling", () => {
    const { sampling } = read({ ...onDisk(), sampling: {} }) as Acceptance;
    expect(Object.keys(sampling).sort()).toEqual(Object.keys(accepted.sampling).sort());
    expect(read(without(onDisk(), "sampling"))).toEqual({ ...accepted, sampling });
  });

  it("has what was said before in one list, however many turns it took", () => {
    const turns = [["a"], ["b", "c"], [], ["d"]].map((items) => items.map((text) => ({ text })));
    const said = turns.reduce<ReturnType<typeof conversation> | undefined>(
      (before, items) => conversation(items, before),
      undefined,
    );
    const response = {
      ...{ acceptance: acceptanceOf("r", { conversation: said }), entries: [], tokens: [] },
      ...{ cachedTokens: 0, reasoningTokens: 0 },
    };
    const [record] = decoded(encodeRecord({ kind: "whole", response }));
    if (record?.kind !== "whole") throw new Error(record?.kind);
    const read = record.response.acceptance.conversation!;
    expect(read).toMatchObject({ items: [{ text: "d" }], count: 4, chars: 4 });
    expect(read.before).toMatchObject({ items: [{ text: "a" }, { text: "b" }, { text: "c" }] });
  });

  it("without what was said is one that nobody can go on from", () => {
    expect(read(without(onDisk(), "said"))).toEqual({ ...accepted, conversation: undefined });
    expect(read({ ...onDisk(), said: [[]] })).toMatch(/^a record of type 1: said/);
  });

  it.each([
    ["chat", true],
    ["turn", {}],
    ["clientId", "o"],
    ["priority", "normal"],
    ["deadlineAt", undefined],
    ["idempotency", undefined],
    ["echo", undefined],
  ])("without %s means what it meant before there was one", (name, meaning) => {
    expect(read(without(onDisk(), name))).toEqual({ ...accepted, [name]: meaning });
  });

  it.each(["id", "model", "owner", "createdAt", "maxTokens", "promptTokens", "cost"])(
    "without %s is nothing that anybody could go on with, and says so",
    (name) => {
      expect(read(without(onDisk(), name))).toMatch(new RegExp(`^a record of type 1: ${name}: `));
    },
  );

  it("may have fields that only later versions know", () => {
    const { sampling, cost, ...rest } = onDisk();
    const idempotency = { ...accepted.idempotency, scope: "key" };
    const later = { grammar: "later", topA: 0.5 };
    const fields = {
      ...rest,
      idempotency,
      sampling: { ...sampling, ...later },
      cost: { ...cost, ...later },
    };
    expect(read({ ...fields, later: { deep: [1] } })).toEqual(accepted);
  });
});
