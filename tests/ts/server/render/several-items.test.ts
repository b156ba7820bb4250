/** Logs of several items, as each API shows them: places come from the entries, and from nothing else. */
import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../../../src-ts/engine/api.js";
import type { ResponseLog } from "../../../../src-ts/engine/responses/log.js";
import {
  ChatChunk,
  Completion,
  ResponseObject,
  ResponseStreamEvent,
} from "../../../../src-ts/protocol/index.js";
import { ChatChunks, CompletionChunks } from "../../../../src-ts/server/render/chat-chunks.js";
import { ResponseEvents } from "../../../../src-ts/server/render/response-events.js";
import { responseObject } from "../../../../src-ts/server/render/response-object.js";
import {
  call,
  custom,
  ended,
  itemEntries,
  logOf,
  message,
  reasoning,
  started,
} from "../../support/logs.js";

const think = (index: number) => itemEntries(index, reasoning, ["Hm, ", "well."]);
const twoParts = (index: number) => itemEntries(index, message, ["One ", "part, "], ["another."]);

const logs = {
  oneMessage: [...itemEntries(0, message, ["Only ", "this."])],
  twoParts: [...twoParts(0)],
  reasoned: [...think(0), ...itemEntries(1, message, ["Yes."])],
  calls: [...itemEntries(0, call("1"), ["{", "}"]), ...itemEntries(1, call("2"), ["[]"])],
  everything: [
    ...think(0),
    ...twoParts(1),
    ...itemEntries(2, call("1"), ["{}"]),
    ...itemEntries(3, custom("2"), ["ls"]),
    ...itemEntries(4, message, ["Done."]),
  ],
} satisfies Record<string, LogEntry[]>;

const whole = (entries: readonly LogEntry[]) => logOf([...started, ...entries, ended]);

function eventsOf(log: ResponseLog, from = 0): ResponseStreamEvent[] {
  const events = new ResponseEvents(log, "json");
  const out: string[] = [];
  for (let number = from; number < log.entries.length; number++)
    events.render(log.entries[number]!, number, out);
  return out.map((text) => ResponseStreamEvent.parse(JSON.parse(text)));
}

/** Each event in short: its type, where it is, and its text. */
function inShort(event: ResponseStreamEvent): string {
  const type = event.type.replace("response.", "").replace("output_", "");
  const id = "item" in event ? event.item.id : "item_id" in event ? event.item_id : "";
  const place = "output_index" in event ? ` ${id} ${event.output_index}` : "";
  const part = "content_index" in event ? `.${event.content_index}` : "";
  const text = "delta" in event ? event.delta : "text" in event ? event.text : undefined;
  return `${type}${place}${part}${text === undefined ? "" : ` ${text}`}`;
}

const ofItems = (events: ResponseStreamEvent[]) =>
  events.map(inShort).filter((line) => /msg|fc|ctc|rs/.test(line));

describe("events of the Responses API", () => {
  it("of a message with two parts name the part", () => {
    expect(ofItems(eventsOf(whole(logs.twoParts)))).toEqual([
      "item.added msg_1 0",
      "content_part.added msg_1 0.0",
      "text.delta msg_1 0.0 One ",
      "text.delta msg_1 0.0 part, ",
      "text.done msg_1 0.0 One part, ",
      "content_part.done msg_1 0.0",
      "content_part.added msg_1 0.1",
      "text.delta msg_1 0.1 another.",
      "text.done msg_1 0.1 another.",
      "content_part.done msg_1 0.1",
      "item.done msg_1 0",
    ]);
  });

  it("of a message behind reasoning name its place", () => {
    expect(ofItems(eventsOf(whole(logs.reasoned)))).toEqual([
      "item.added msg_1_1 1",
      "content_part.added msg_1_1 1.0",
      "text.delta msg_1_1 1.0 Yes.",
      "text.done msg_1_1 1.0 Yes.",
      "content_part.done msg_1_1 1.0",
      "item.done msg_1_1 1",
    ]);
  });

  it("of items in between are of both messages, each in its place", () => {
    const lines = ofItems(eventsOf(whole(logs.everything)));
    expect(lines.filter((line) => line.startsWith("item."))).toEqual([
      "item.added msg_1_1 1",
      "item.done msg_1_1 1",
      "item.added msg_1_4 4",
      "item.done msg_1_4 4",
    ]);
    expect(lines).toContain("text.done msg_1_4 4.0 Done.");
  });

  it("that the protocol doesn't have yet are not made up, and take their numbers along", () => {
    const log = whole(logs.calls);
    expect(eventsOf(log).map(({ type, sequence_number }) => [type, sequence_number])).toEqual([
      ["response.created", 0],
      ["response.in_progress", 1],
      ["response.completed", log.entries.length - 1],
    ]);
  });

  it.each(Object.entries(logs))("are the same from wherever they are read: %s", (_, entries) => {
    const log = whole(entries);
    const all = eventsOf(log);
    for (let from = 0; from < log.entries.length; from++)
      expect(eventsOf(log, from)).toEqual(all.filter((event) => event.sequence_number >= from));
  });

  it("in SSE and in JSON are the same", () => {
    const log = whole(logs.everything);
    const sse: string[] = [];
    const json: string[] = [];
    log.entries.forEach((entry, number) => {
      new ResponseEvents(log, "sse", "lane").render(entry, number, sse);
      new ResponseEvents(log, "json", "lane").render(entry, number, json);
    });
    const framed = json.map((text) => `event: ${JSON.parse(text).type}\ndata: ${text}\n\n`);
    expect(sse).toEqual(framed);
  });
});

describe("the response object", () => {
  const objectOf = (entries: readonly LogEntry[]) =>
    ResponseObject.parse(responseObject(logOf([...started, ...entries])));

  it("has every message with all its parts", () => {
    const { output, status } = objectOf([...logs.everything, ended]);
    expect(status).toBe("completed");
    expect(output.map(({ id, content }) => [id, ...content.map(({ text }) => text)])).toEqual([
      ["msg_1_1", "One part, ", "another."],
      ["msg_1_4", "Done."],
    ]);
    expect(output.map((one) => one.status)).toEqual(["completed", "completed"]);
  });

  it.each([
    ["stop", "completed"],
    ["toolCalls", "completed"],
    ["length", "incomplete"],
    ["cancelled", "incomplete"],
    ["expired", "incomplete"],
  ] as const)(
    "that ended with %s: its last item is %s, those before are complete",
    (kind, last) => {
      const end = { ...ended, ending: { kind } } as LogEntry;
      const { output } = objectOf([...twoParts(0), ...itemEntries(1, message, ["More"]), end]);
      expect(output.map(({ status }) => status)).toEqual(["completed", last]);
    },
  );

  it("of a response that runs shows how far each item has come", () => {
    const running = [...twoParts(0), ...itemEntries(1, message, ["More"]).slice(0, 3)];
    expect(objectOf(running).output.map(({ status }) => status)).toEqual([
      "completed",
      "in_progress",
    ]);
    expect(objectOf([]).output).toEqual([]);
  });
});

describe("a choice", () => {
  const head = { id: "c", created: 1, model: "m", includeUsage: false };

  function chunksOf(
    entries: readonly LogEntry[],
    make: typeof ChatChunks | typeof CompletionChunks,
  ) {
    const log = whole(entries);
    const chunks = new make(log, head, 0);
    const out: string[] = [];
    for (const [number, entry] of log.entries.entries()) chunks.render(entry, number, out);
    return out.map((text) => JSON.parse(text.slice("data: ".length)));
  }

  const cases: [keyof typeof logs, string[]][] = [
    ["oneMessage", ["Only ", "this."]],
    ["twoParts", ["One ", "part, ", "another."]],
    ["reasoned", ["Yes."]],
    ["calls", []],
    ["everything", ["One ", "part, ", "another.", "Done."]],
  ];

  it.each(cases)("of chat has what messages say: %s", (name, texts) => {
    const chunks = chunksOf(logs[name], ChatChunks).map((chunk) => ChatChunk.parse(chunk));
    const deltas = chunks.map(({ choices }) => choices[0]!.delta);
    expect(deltas.flatMap(({ role }) => role ?? [])).toEqual(["assistant"]);
    expect(deltas.flatMap(({ content }) => content || [])).toEqual(texts);
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe("stop");
    expect(whole(logs[name]).text).toBe(texts.join(""));
  });

  it.each(cases)("of completions has what messages say: %s", (name, texts) => {
    const chunks = chunksOf(logs[name], CompletionChunks).map((chunk) => Completion.parse(chunk));
    const shown = chunks.map(({ choices }) => choices[0]!.text);
    expect(shown.slice(0, -1)).toEqual(texts);
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe("stop");
  });
});
