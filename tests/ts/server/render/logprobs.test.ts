/** Log probabilities of tokens whose bytes are not whole characters, in every API. */
import { describe, expect, it } from "vitest";
import { Completion } from "../../../../src-ts/protocol/index.js";
import {
  CompletionLogprobStream,
  completionLogprobs,
  tokenLogprobs,
} from "../../../../src-ts/server/render/logprobs.js";
import type { TokenLogprob } from "../../../../src-ts/worker/messages.js";
import type { Script } from "../../support/scripted-engine.js";
import { parseSse, startServer } from "../../support/test-server.js";

type Likely = Omit<TokenLogprob, "top">;

/** As a worker says it. */
function likely(bytes: readonly number[], logprob: number, name = ""): Likely {
  const token = Buffer.from(bytes).toString() || name;
  return { token, bytes: [...bytes], logprob };
}

const text = (value: string, logprob: number) => likely([...Buffer.from(value)], logprob);
const drawn = (own: Likely, ...top: Likely[]): TokenLogprob => ({ ...own, top });

const llama = [...Buffer.from("🦙")];
const firstHalf = likely(llama.slice(0, 2), -0.1);
const secondHalf = likely(llama.slice(2), -0.2);

function topOf(token: TokenLogprob, whole = "x"): Record<string, number> {
  return completionLogprobs([token], whole).top_logprobs[0]!;
}

describe("names of completions", () => {
  it.each([
    ["whole characters", text(" Grüße", -1), " Grüße"],
    ["half a character", firstHalf, "bytes:\\xf0\\x9f"],
    ["the other half", secondHalf, "bytes:\\xa6\\x99"],
    ["a space before half a one", likely([0x20, 0xf0], -1), "bytes: \\xf0"],
    ["a whole one before half a one", likely([0xc3, 0xbc, 0xf0], -1), "bytes:\\xc3\\xbc\\xf0"],
    ["a backslash in it", likely([0x5c, 0xff], -1), "bytes:\\\\\\xff"],
    ["a line's end in it", likely([0x0a, 0xff], -1), "bytes:\\x0a\\xff"],
    ["U+FFFD itself", text("\ufffd", -1), "\ufffd"],
    ["a token without text", likely([], -1, "<|end|>"), "<|end|>"],
  ])("%s", (_name, token, name) => {
    expect(completionLogprobs([drawn(token, token)], "x").tokens).toEqual([name]);
    expect(topOf(drawn(token, token))).toEqual({ [name]: token.logprob });
  });
});

describe("the likeliest of completions", () => {
  it("are as many as asked for, whatever their bytes", () => {
    const others = [0xf0, 0xe4, 0xe6].map((byte, index) => likely([byte], -1 - index));
    const top = topOf(drawn(firstHalf, firstHalf, ...others));
    expect(top).toEqual({
      "bytes:\\xf0\\x9f": -0.1,
      "bytes:\\xf0": -1,
      "bytes:\\xe4": -2,
      "bytes:\\xe6": -3,
    });
  });

  it("are apart where they have the same text", () => {
    const letter = text("A", -0.5);
    const byte = likely([0x41], -2);
    expect(topOf(drawn(letter, letter, byte))).toEqual({ A: -0.5, "bytes:A": -2 });
    // The drawn one has its own name, also where it is the less likely one.
    expect(topOf(drawn(byte, letter, byte))).toEqual({ "bytes:A": -0.5, A: -2 });
    const third = text("A", -3);
    expect(Object.keys(topOf(drawn(letter, letter, byte, third)))).toHaveLength(3);
  });

  it("are apart where they have none", () => {
    const ends = ["<|end|>", "<|stop|>", "token_id:9"].map((name) => likely([], -1, name));
    expect(Object.keys(topOf(drawn(ends[0]!, ...ends)))).toHaveLength(3);
  });

  it("have the drawn one among them, though it is not one of them", () => {
    expect(topOf(drawn(text("b", -7), text("a", -0.1)))).toEqual({ a: -0.1, b: -7 });
    expect(topOf(drawn(text("a", -7), likely([0x61], -0.1)))).toEqual({ "bytes:a": -0.1, a: -7 });
    expect(topOf(drawn(text("b", -7)))).toEqual({ b: -7 });
  });

  it("may be called like what every object has", () => {
    const named = ["__proto__", "constructor", "1"].map((name) => text(name, -1));
    const top = topOf(drawn(named[0]!, ...named));
    expect(Object.keys(JSON.parse(JSON.stringify(top)))).toHaveLength(3);
  });
});

it("chat and Responses name bytes without a mark, and give them", () => {
  const [shown] = tokenLogprobs([drawn(firstHalf, firstHalf, likely([], -3, "<|end|>"))]);
  expect(shown).toEqual({
    token: "\\xf0\\x9f",
    bytes: [0xf0, 0x9f],
    logprob: -0.1,
    top_logprobs: [
      { token: "\\xf0\\x9f", bytes: [0xf0, 0x9f], logprob: -0.1 },
      { token: "<|end|>", bytes: [], logprob: -3 },
    ],
  });
});

describe("offsets", () => {
  it("of what a stop string has cut off do not pass the text", () => {
    const tokens = ["a", "b", "c", "d"].map((each) => drawn(text(each, -1)));
    expect(completionLogprobs(tokens, "ab").text_offset).toEqual([0, 1, 2, 2]);
  });

  it("come with the text in a stream", () => {
    const stream = new CompletionLogprobStream();
    expect(stream.take("", [drawn(firstHalf)])).toBeUndefined();
    expect(stream.take("🦙", [drawn(secondHalf)])).toMatchObject({
      tokens: ["bytes:\\xf0\\x9f", "bytes:\\xa6\\x99"],
      text_offset: [0, 0],
    });
    // Held back, as it may be the beginning of a stop string.
    expect(stream.take("", [drawn(text("E", -1))])).toBeUndefined();
    expect(stream.take("", [drawn(text("N", -1))])).toBeUndefined();
    expect(stream.take("ENx", [drawn(text("x", -1))])).toMatchObject({ text_offset: [1, 2, 3] });
    expect(stream.take("", [drawn(text("E", -1)), drawn(text("N", -1))])).toBeUndefined();
    expect(stream.end()).toMatchObject({ tokens: ["E", "N"], text_offset: [4, 4] });
    expect(stream.end()).toBeUndefined();
  });
});

/** 🦙 in two tokens, a word, the end; text comes when it is certain. */
const split: Script = (run) => {
  run.start();
  const asked = run.submission.sampling.logprobs >= 0;
  const others = [likely([0xf0], -3), likely([0xe4], -4)];
  const emit = (shown: string, own: Likely) =>
    run.emit(shown, asked ? [drawn(own, own, ...others)] : []);
  setImmediate(() => {
    emit("", firstHalf);
    setImmediate(() => {
      emit("🦙", secondHalf);
      emit(" you", text(" you", -0.3));
      emit("", likely([], -0.4, "<|end|>"));
      run.end({ kind: "stop" });
    });
  });
};

const expected = {
  tokens: ["bytes:\\xf0\\x9f", "bytes:\\xa6\\x99", " you", "<|end|>"],
  token_logprobs: [-0.1, -0.2, -0.3, -0.4],
  text_offset: [0, 0, 1, 5],
};

async function served(body: Record<string, unknown>) {
  const { post, engine } = await startServer();
  engine.script = split;
  const answer = await post("/v1/completions", { logprobs: 3, ...body });
  expect(answer.status).toBe(200);
  if (body.stream !== true) return Completion.parse(await answer.json()).choices;
  const { events } = parseSse(await answer.text());
  return events.slice(0, -1).flatMap(({ data }) => Completion.parse(JSON.parse(data)).choices);
}

describe.each([
  ["whole", { prompt: "x" }, 1],
  ["streamed", { prompt: "x", stream: true }, 1],
  ["several choices", { prompt: "x", n: 3 }, 3],
  ["several choices, streamed", { prompt: "x", n: 2, stream: true }, 2],
  ["several prompts, streamed", { prompt: ["x", "y"], stream: true }, 2],
])("completions: %s", (_name, body, count) => {
  it("have lists as long as their tokens, that agree with the text", async () => {
    const parts = await served(body);
    for (let index = 0; index < count; index += 1) {
      const own = parts.filter((part) => part.index === index);
      const shown = own.flatMap(({ logprobs }) => logprobs ?? []);
      const list = <K extends keyof typeof expected>(name: K) =>
        shown.flatMap((each): (string | number | null)[] => each[name]);
      expect(list("tokens")).toEqual(expected.tokens);
      expect(list("token_logprobs")).toEqual(expected.token_logprobs);
      expect(list("text_offset")).toEqual(expected.text_offset);
      const tops = shown.flatMap(({ top_logprobs }) => top_logprobs);
      for (const [at, top] of tops.entries()) {
        expect(Object.keys(top!)).toHaveLength(3);
        expect(top![expected.tokens[at]!]).toBe(expected.token_logprobs[at]);
      }
      checkPlaces(own);
    }
  });
});

/** Every part's tokens begin in the text so far, at the place of their own text. */
function checkPlaces(parts: Completion["choices"]): void {
  let whole: string[] = [];
  for (const { text: shown, logprobs } of parts) {
    whole = [...whole, ...shown];
    for (const [at, offset] of (logprobs?.text_offset ?? []).entries()) {
      expect(offset).toBeLessThanOrEqual(whole.length);
      const token = logprobs!.tokens[at]!;
      if (!/^(bytes:|<)/.test(token)) expect(whole.slice(offset).join("")).toMatch(token);
    }
  }
}

it("a stream without log probabilities has none", async () => {
  const parts = await served({ prompt: "x", stream: true, logprobs: undefined });
  expect(parts.map(({ text: shown }) => shown).join("")).toBe("🦙 you");
  expect(parts.every(({ logprobs }) => logprobs === null)).toBe(true);
});
