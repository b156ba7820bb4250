/** What stands in a log when text of one item or of several comes, and what it adds up to. */
import { describe, expect, it } from "vitest";
import type { Item, LogEntry } from "../../../../src-ts/engine/api.js";
import type { ResponseLog } from "../../../../src-ts/engine/responses/log.js";
import { addUp } from "../../../../src-ts/journal/entries.js";
import type { Piece } from "../../../../src-ts/worker/messages.js";
import {
  call,
  custom,
  ended,
  itemEntries,
  logOf,
  logprob,
  message,
  newLog,
  reasoning,
  said,
  started,
} from "../../support/logs.js";

function begun(): ResponseLog {
  const log = newLog();
  log.create();
  log.inProgress();
  return log;
}

/** What came after it was in progress, and before the end. */
const output = ({ entries }: ResponseLog): LogEntry[] =>
  entries.filter((entry) => "index" in entry);

/** Whole items. */
function writeWhole(log: ResponseLog, ...texts: [item: Item, text: string][]): void {
  for (const [item, text] of texts) {
    write(log, [item, text]);
    if ("callId" in item) log.emit(said([7], [["callEnd", true]]));
  }
}

function write(log: ResponseLog, ...texts: [item: Item, text: string][]): void {
  for (const [item, text] of texts) log.emit(said([7], piecesOf(log, item, text)));
}

/** A call begins where it isn't the one that is open. */
function piecesOf(log: ResponseLog, item: Item, text: string): Piece[] {
  if (item.kind === "message") return [["content", text]];
  if (item.kind === "reasoning") return [["reasoning", text]];
  const open = log.output.at(-1)?.item;
  const isOpen = open !== undefined && "callId" in open && open.callId === item.callId;
  return [...(isOpen ? [] : [["call", item.name] as Piece]), ["arguments", text]];
}

const shown = ({ output }: ResponseLog) =>
  output.map(({ item, parts }) => [item.kind, ...parts.map(({ text }) => text)]);

describe("a log", () => {
  it("whose rows say no more is one message with one part", () => {
    const log = begun();
    log.emit(said([1], "a "));
    log.emit(said([2, 3], "b ", [logprob("b ")]));
    log.emit(said([4], ""));
    log.end({ kind: "stop" }, "tail", 5);
    const [a, b, tail] = output(log).filter(({ kind }) => kind === "delta");
    expect(output(log)).toEqual([
      { kind: "itemAdded", index: 0, item: message },
      { kind: "partAdded", index: 0, part: 0 },
      a,
      b,
      tail,
      { kind: "textDone", index: 0, part: 0 },
      { kind: "partDone", index: 0, part: 0 },
      { kind: "itemDone", index: 0 },
    ]);
    const place = { kind: "delta", index: 0, part: 0 };
    expect([a, b, tail]).toEqual([
      { ...place, text: "a ", tokens: 1 },
      { ...place, text: "b ", tokens: 2, logprobs: [logprob("b ")] },
      { ...place, text: "tail", tokens: 0 },
    ]);
    expect(log).toMatchObject({
      text: "a b tail",
      tokens: [1, 2, 3, 4],
      logprobs: [logprob("b ")],
    });
    expect(log.output[0]).toMatchObject({ item: message, isDone: true });
  });

  it.each<[string, Item[], [item: Item, text: string][]]>([
    [
      "reasoning, then a message",
      [reasoning, message],
      [
        [reasoning, "Hm."],
        [message, "Yes."],
      ],
    ],
    [
      "two calls",
      [call("call_1_0"), call("call_1_1")],
      [
        [call("call_1_0"), "{}"],
        [call("call_1_1"), "[]"],
      ],
    ],
    [
      "a message between two calls",
      [call("call_1_0"), message, custom("call_1_1")],
      [
        [call("call_1_0"), "{}"],
        [message, "So"],
        [custom("call_1_1"), "ls"],
      ],
    ],
    [
      "a call of a function and one of a custom tool",
      [call("call_1_0"), custom("call_1_1")],
      [
        [call("call_1_0"), "{}"],
        [custom("call_1_1"), "ls"],
      ],
    ],
    [
      "reasoning twice, with a message between",
      [reasoning, message, reasoning],
      [
        [reasoning, "Hm."],
        [message, "Yes"],
        [reasoning, "Or?"],
      ],
    ],
  ])("of several items opens and closes one after another: %s", (_, items, texts) => {
    const log = begun();
    writeWhole(log, ...texts);
    log.end({ kind: "stop" }, "", 5);
    expect(output(log)).toEqual(
      items.flatMap((item, index) => itemEntries(index, item, [texts[index]![1]])),
    );
    expect(addUp(log.entries)).toBe(true);
    expect(shown(log)).toEqual(texts.map(([{ kind }, text]) => [kind, text]));
    expect(log.output.every(({ isDone }) => isDone)).toBe(true);
  });

  it("goes on with an item as long as the text is of it", () => {
    const log = begun();
    write(
      log,
      [reasoning, "H"],
      [reasoning, "m"],
      [call("call_1_0"), "{"],
      [call("call_1_0"), "}"],
    );
    expect(shown(log)).toEqual([
      ["reasoning", "Hm"],
      ["functionCall", "{}"],
    ]);
    expect(log.output.map(({ isDone }) => isDone)).toEqual([true, false]);
  });

  it("takes what was held back as what comes with a token", () => {
    const log = begun();
    write(log, [message, "See"], [call("call_1_0"), "{"]);
    const tail: Piece[] = [
      ["arguments", "}"],
      ["callEnd", true],
    ];
    log.end({ kind: "toolCalls" }, tail, 5);
    expect(shown(log)).toEqual([
      ["message", "See"],
      ["functionCall", "{}"],
    ]);
  });

  it("has as its text what its messages say", () => {
    const log = begun();
    log.emit(said([1], [["reasoning", "Hm."]], [logprob("Hm.")]));
    log.emit(said([2], "One ", [logprob("One ")]));
    log.emit(
      said(
        [3],
        [
          ["call", "look"],
          ["arguments", "{}"],
          ["callEnd", true],
        ],
      ),
    );
    log.emit(said([4], [["content", "two"]], [logprob("two")]));
    expect(log.text).toBe("One two");
    expect(log.logprobs.map(({ token }) => token)).toEqual(["One ", "two"]);
  });

  it("has no probabilities of marks, and no message for them alone", () => {
    const log = begun();
    log.emit(said([1], "", [logprob("<think>")]));
    log.emit(said([2], [["reasoning", "Hm."]], [logprob("Hm.")]));
    log.emit(said([3], "", [logprob("</think>")]));
    log.emit(said([4], [["call", "look"]]));
    log.emit(said([5], [["callEnd", true]]));
    log.emit(said([6], "", [logprob("<tool_call>")]));
    log.emit(said([7], [["call", "look"]]));
    log.emit(said([8], [["callEnd", true]]));
    log.emit(said([9], "", [logprob("<|im_end|>")]));
    log.end({ kind: "toolCalls" }, "", 5);
    expect(shown(log).map(([kind]) => kind)).toEqual(["reasoning", "functionCall", "functionCall"]);
    expect(log.logprobs).toEqual([]);
  });

  it("has the probabilities of what was held back where its text is, or at the end", () => {
    const log = begun();
    log.emit(said([1], "", [logprob("<")]));
    log.emit(said([2], "<b", [logprob("b")]));
    log.emit(said([3], "", [logprob("ST")]));
    log.emit(said([4], "", [logprob("OP")]));
    log.end({ kind: "stop", sequence: "STOP" }, "", 5);
    const names = ({ logprobs }: { logprobs?: readonly { token: string }[] }) =>
      logprobs?.map(({ token }) => token);
    const deltas = output(log).flatMap((entry) => (entry.kind === "delta" ? [entry] : []));
    expect(deltas.map((delta) => [delta.text, names(delta)])).toEqual([
      ["<b", ["<", "b"]],
      ["", ["ST", "OP"]],
    ]);
    expect(names(log)).toEqual(["<", "b", "ST", "OP"]);
  });

  it.each([
    ["stop", 100, 1],
    ["length", 100, 1],
    ["toolCalls", 100, 1],
    ["cancelled", 100, 1],
    ["expired", 100, 0],
    ["stop", 0, 0],
  ] as const)(
    "that ends with %s without a word, asked for %d tokens, has %d items",
    (kind, maxTokens, items) => {
      const log = newLog(maxTokens);
      log.create();
      log.end({ kind }, "", 5);
      expect(log.output).toHaveLength(items);
      expect(output(log)).toEqual(items === 0 ? [] : itemEntries(0, message, []));
    },
  );

  it("counts tokens of reasoning, without text too, and what each text took", () => {
    const log = begun();
    log.emit(said([1], [["reasoning", ""]]));
    log.emit(said([2, 3], [["reasoning", "Hm."]]));
    log.emit(
      said(
        [4],
        [
          ["reasoning", " So"],
          ["content", "Yes"],
        ],
      ),
    );
    log.end({ kind: "stop" }, "!", 5);
    expect(log.usage).toMatchObject({ completionTokens: 4, reasoningTokens: 3 });
    const deltas = output(log).filter((entry) => entry.kind === "delta");
    expect(deltas.map(({ text, tokens }) => [text, tokens])).toEqual([
      ["Hm.", 1],
      [" So", 1],
      ["Yes", 0],
      ["!", 0],
    ]);
  });

  it("has a call without arguments, and none of what belongs to no call", () => {
    const log = begun();
    log.emit(
      said(
        [1],
        [
          ["arguments", "{"],
          ["callEnd", true],
          ["content", ""],
          ["call", "look"],
        ],
      ),
    );
    log.emit(
      said(
        [2],
        [
          ["callEnd", true],
          ["arguments", "}"],
          ["reasoning", ""],
        ],
      ),
    );
    log.end({ kind: "toolCalls" }, "", 5);
    expect(output(log)).toEqual(itemEntries(0, call("call_1_0"), []));
  });

  it("tells a call that was broken off from one that is whole", () => {
    const log = begun();
    log.emit(
      said(
        [1],
        [
          ["call", "look"],
          ["arguments", "{"],
          ["callEnd", false],
        ],
      ),
    );
    log.emit(
      said(
        [2],
        [
          ["call", "look"],
          ["callEnd", true],
          ["content", "So."],
        ],
      ),
    );
    expect(log.output.map(({ isDone, isIncomplete }) => [isDone, isIncomplete])).toEqual([
      [true, true],
      [true, false],
      [false, false],
    ]);
    log.emit(said([3], [["call", "look"]]));
    log.end({ kind: "length" }, "", 5);
    expect(log.output.map(({ isIncomplete }) => isIncomplete)).toEqual([true, false, false, true]);
  });

  it("that has a call needs no empty message", () => {
    const log = begun();
    write(log, [call("call_1_0"), "{}"]);
    log.end({ kind: "toolCalls" }, "", 5);
    expect(shown(log)).toEqual([["functionCall", "{}"]]);
  });
});

describe("a log from disk", () => {
  const whole = [
    ...started,
    ...itemEntries(0, reasoning, ["H", "m."]),
    ...itemEntries(1, message, ["One ", "more "], ["part"]),
    ...itemEntries(2, call("1"), ["{", "}"]),
    ...itemEntries(3, call("2"), ["[]"]),
    ended,
  ];

  it("is the same as the one that was written", () => {
    const log = logOf(whole);
    expect(log.entries).toEqual(whole);
    expect(shown(log)).toEqual([
      ["reasoning", "Hm."],
      ["message", "One more ", "part"],
      ["functionCall", "{}"],
      ["functionCall", "[]"],
    ]);
    expect(log.text).toBe("One more part");
    expect(log.ending).toEqual({ kind: "stop" });
  });

  it("goes on wherever it was cut, and adds up", () => {
    for (let length = 2; length < whole.length; length++) {
      const log = logOf(whole.slice(0, length));
      log.emit(said([9], "!"));
      log.end({ kind: "stop" }, "", 5);
      expect(addUp(log.entries), `cut at ${length}`).toBe(true);
      expect(log.text.endsWith("!")).toBe(true);
      expect(log.output.every(({ isDone }) => isDone)).toBe(true);
      expect(log.entries.slice(0, length)).toEqual(whole.slice(0, length));
    }
  });
});
