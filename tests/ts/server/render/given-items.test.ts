import { describe, expect, it } from "vitest";
import { conversation } from "../../../../src-ts/engine/conversation.js";
import { GivenItem, type InputItemsQuery } from "../../../../src-ts/protocol/responses.js";
import {
  allGivenItems,
  givenItems,
  inputItemsPage,
  saidItems,
} from "../../../../src-ts/server/render/given-items.js";
import { keptItems } from "../../../../src-ts/server/submissions/conversation.js";
import { hello, hold } from "../../support/scripted-engine.js";
import { startServer } from "../../support/test-server.js";

const user = (text: string, id?: string) => ({
  type: "message" as const,
  role: "user" as const,
  content: text,
  id,
});

async function responded(input: Parameters<typeof keptItems>[0], before?: readonly object[]) {
  const { engine } = await startServer();
  engine.script = hold;
  const items = keptItems(input, () => undefined);
  const said = conversation(items, before && conversation(before, undefined));
  const echo = { kind: "response" };
  await engine.submit({
    input: { kind: "text", text: "" },
    conversation: said,
    echo,
    idPrefix: "resp",
  });
  const [run] = engine.runs;
  return run!;
}

describe("items", () => {
  it("have ids that follow from their response's", async () => {
    const { log } = await responded([
      user("a", "mine"),
      user("b"),
      { type: "function_call_output", call_id: "c", output: "x" },
    ]);
    const own = log.id.slice("resp_".length);
    const items = givenItems(log).map((item) => GivenItem.parse(item));
    expect(items.map(({ id }) => id)).toEqual(["mine", `msg_${own}_in_1`, `fco_${own}_in_2`]);
  });

  it("come with those before", async () => {
    const before = [{ ...user("a"), id: "first" }];
    const { log } = await responded("b", before);
    expect(givenItems(log)).toHaveLength(1);
    expect(allGivenItems(log).map(({ id }) => id)[0]).toBe("first");
    expect(allGivenItems(log)).toHaveLength(2);
  });

  it("with one id are told apart, or nobody would come to a list's end", async () => {
    const { log } = await responded([user("a", "x"), user("b", "x"), user("c", "x")]);
    expect(new Set(allGivenItems(log).map(({ id }) => id)).size).toBe(3);
  });

  it("of an answer are kept without its probabilities", async () => {
    const run = await responded("a");
    run.emit(hello, [{ token: hello, bytes: [], logprob: -1, top: [] }]);
    run.end({ kind: "stop" });
    const [, answer] = saidItems(run.log);
    expect(answer).toMatchObject({ role: "assistant", content: [{ text: hello, logprobs: [] }] });
  });
});

describe("a page", () => {
  const items = Array.from({ length: 45 }, (_, i) => ({ ...user(`${i}`), id: `i${i}` }));
  const page = (asked: InputItemsQuery) => {
    const { data, ...rest } = inputItemsPage(items as unknown as GivenItem[], asked);
    return { ids: data.map(({ id }) => Number(id.slice(1))), ...rest };
  };

  it("has the newest 20 first", () => {
    expect(page({})).toMatchObject({ first_id: "i44", last_id: "i25", has_more: true });
    expect(page({}).ids).toHaveLength(20);
  });

  it.each(["asc", "desc"] as const)("after page comes to the end, %s", (order) => {
    const found: number[] = [];
    let after: string | undefined;
    for (let count = 0; count < 10; count++) {
      const { ids, last_id, has_more } = page({ order, after, limit: "7" });
      found.push(...ids);
      if (!has_more) break;
      after = last_id!;
    }
    const all = items.map((_, i) => i);
    expect(found).toEqual(order === "asc" ? all : all.toReversed());
  });

  it("ends before an item, and has none behind the last", () => {
    expect(page({ order: "asc", before: "i2" }).ids).toEqual([0, 1]);
    expect(page({ order: "asc", after: "i3", before: "i2" }).ids).toEqual([]);
    expect(page({ order: "asc", after: "i44" })).toEqual({
      ids: [],
      object: "list",
      first_id: null,
      last_id: null,
      has_more: false,
    });
  });

  it.each(["after", "before"] as const)("%s what isn't there blames the field", (param) => {
    expect(() => page({ [param]: "i99" })).toThrow(
      expect.objectContaining({ status: 400, code: "invalid_value", param }),
    );
  });
});
