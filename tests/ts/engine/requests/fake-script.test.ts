import { expect, it } from "vitest";
import { packTokens } from "../../../../src-ts/encoding/tokens.js";
import type { FakeScriptEntry } from "../../../../src-ts/engine/api.js";
import { FakeScript } from "../../../../src-ts/engine/requests/fake-script.js";
import type { PrepareInput, ToolOffer } from "../../../../src-ts/worker/messages.js";

const tool = { name: "look", description: "", parameters: {}, custom: false };
const offer = (count: number): ToolOffer => ({
  tools: Array.from({ length: count }, () => tool),
  choice: "auto",
  parallel: true,
});
const chat = (content: unknown, tools?: ToolOffer): PrepareInput => ({
  kind: "chat",
  messages: [
    { role: "user", content: "first" },
    { role: "tool", content },
  ],
  ...(tools && { tools }),
});
const text = (value: string): PrepareInput => ({ kind: "text", text: value });

function playing(...entries: FakeScriptEntry[]) {
  const script = new FakeScript(entries);
  return (...inputs: PrepareInput[]) => inputs.map((input) => script.choose(input));
}

it("plays the first entry not used yet whose text occurs in what was said last", () => {
  const play = playing(
    { when: "file", say: "1" },
    { when: "file", say: "2" },
    { when: "x", say: "3" },
  );
  expect(play(chat("a file"), text("file"), chat("first"))).toEqual(["1", "2", undefined]);
});

it("takes what the system says behind a turn for the end of that turn", () => {
  const play = playing({ when: "first", say: "1", repeat: true });
  const said = (...roles: string[]): PrepareInput => ({
    kind: "chat",
    messages: roles.map((role) => ({ role, content: role === "user" ? "first" : "mind this" })),
  });
  const late = [said("user", "system"), said("user", "developer", "system")];
  expect(play(...late)).toEqual(["1", "1"]);
  expect(play(said("user", "assistant", "system"), said("system"))).toEqual([undefined, undefined]);
  const reminder = playing({ when: "mind", say: "2", repeat: true });
  expect(reminder(said("user", "system"), said("system"))).toEqual(["2", "2"]);
});

it("begins again when all are used, and not before", () => {
  const play = playing({ when: "a", say: "1" }, { when: "b", say: "2" });
  expect(play(text("a"), text("a"), text("b"), text("a"))).toEqual(["1", undefined, "2", "1"]);
});

it("plays what may be repeated any number of times, and waits for the others", () => {
  const play = playing({ when: "a", say: "1", repeat: true }, { when: "b", say: "2" });
  expect(play(text("a"), text("ab"), text("b"), text("b"))).toEqual(["1", "1", "2", "2"]);
});

it("asks whether tools are offered, where an entry says so", () => {
  const play = playing(
    { when: "", say: "title", tools: false, repeat: true },
    { when: "", say: "call", tools: true, repeat: true },
  );
  const inputs = [chat("x"), chat("x", offer(0)), chat("x", offer(1)), text("x")];
  expect(play(...inputs)).toEqual(["title", "title", "call", "title"]);
});

it("has nothing for what has no text, unless anything will do", () => {
  const tokens: PrepareInput = { kind: "tokens", tokens: packTokens([1]) };
  expect(playing({ when: "a", say: "1" })(tokens, chat(null), chat([]))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(playing({ when: "", say: "1" })(tokens)).toEqual(["1"]);
  expect(playing()(text("a"))).toEqual([undefined]);
});
