/** Strings that are no Unicode text, and where a client can put them; drawn from a seed. */
import { gzipSync } from "node:zlib";

/** What a text in JSON can hold and Unicode can't. As written: `\\u` is an escape of JSON. */
const halves = [
  "\\ud83d",
  "\\udc00",
  "\\uD800",
  "\\uDFFF",
  "\\ude00\\ud83d",
  "\\ud83d\\ud83d\\ude00",
  "\\ud83d\\ude00\\ude00",
  "\\ud83d\\u0041",
  "\\ud83d\\\\ude00",
  "\\ud83d\u{1f600}",
];

/** Bytes that are no UTF-8: a stray continuation, overlong, half pairs, too large, cut short. */
const badBytes = [
  "80",
  "c080",
  "eda080",
  "edb080",
  "eda0bdedb880",
  "f8888080",
  "f4908080",
  "e282",
  "ff",
];

/** What is no string of JSON. */
const badEscapes = ["\\ud83", "\\u{1f600}", "\\x41", "\\", "\u0001", "\\U0001f600"];

type Frame = (text: string) => string;

const http: [string, Frame][] = [
  ["chat/completions", (t) => `{"messages":[{"role":"user","content":"${t}"}]}`],
  ["chat/completions", (t) => `{"messages":[{"role":"user","content":"x","name":"${t}"}]}`],
  [
    "chat/completions",
    (t) => `{"messages":[{"role":"user","content":[{"type":"text","text":"${t}"}]}]}`,
  ],
  ["chat/completions", (t) => `{"messages":[{"role":"user","content":"x"}],"stop":["${t}"]}`],
  ["chat/completions", (t) => `{"messages":[{"role":"user","content":"x","${t}":1}]}`],
  ["completions", (t) => `{"prompt":"${t}"}`],
  ["completions", (t) => `{"prompt":["x","${t}"],"stream":true}`],
  ["responses", (t) => `{"input":"${t}"}`],
  ["responses", (t) => `{"input":"x","instructions":"before ${t} behind"}`],
  ["responses", (t) => `{"input":"x","metadata":{"${t}":"x"}}`],
  ["responses", (t) => `{"input":"x","user":"${t}","stream":true}`],
  ["ws-tickets", (t) => `{"${t}":1}`],
];

const messages: Frame[] = [
  (t) => `{"type":"response.create","input":"${t}"}`,
  (t) => `{"type":"response.create","input":[{"role":"user","content":"${t}"}]}`,
  (t) => `{"type":"response.create","input":"x","stop":"${t}"}`,
  (t) => `{"type":"response.create","input":"x","mlx_serving:idempotency_key":"${t}"}`,
  (t) => `{"type":"response.create","input":"x","stream_id":"${t}"}`,
  (t) => `{"type":"response.create","input":"x","event_id":"${t}"}`,
  (t) => `{"type":"response.cancel","response_id":"${t}"}`,
  (t) => `{"type":"${t}"}`,
  (t) => `{"${t}":1}`,
];

export type Malformed =
  | { over: "http"; path: string; body: Buffer; headers: Record<string, string> }
  /** `closes`: the frame itself is broken. */
  | { over: "socket"; message: Buffer; closes: boolean };

/** Of what is wrong as a text; the rest is wrong as bytes, and closes a socket at once. */
const textShare = 0.92;

/** `chance`: 0 ≤ x < 1. */
export function malformed(chance: () => number): Malformed {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance() * list.length)]!;
  const mark = "MARK";
  const kind = chance();
  const bad = kind < 0.6 ? pick(halves) : pick(badEscapes);
  const bytesIn = (frame: string): Buffer => {
    if (kind < textShare) return Buffer.from(frame.replace(mark, () => bad));
    const [before = "", behind = ""] = frame.split(mark);
    const parts = [Buffer.from(before), Buffer.from(pick(badBytes), "hex"), Buffer.from(behind)];
    return Buffer.concat(parts);
  };
  if (chance() < 0.4)
    return { over: "socket", message: bytesIn(pick(messages)(mark)), closes: kind >= textShare };
  const [route, frame] = pick(http);
  const body = bytesIn(frame(mark));
  const path = `/v1/${route}`;
  if (chance() < 0.8) return { over: "http", path, body, headers: {} };
  return { over: "http", path, body: gzipSync(body), headers: { "content-encoding": "gzip" } };
}
