import { describe, expect, it } from "vitest";
import { flagOf, parseOptions } from "../../../src-ts/bench/options.js";

const defaults = {
  url: "http://127.0.0.1:1",
  api: "chat",
  streams: "16",
  sockets: "1",
  maxTokens: "64",
  timeout: "120s",
};

describe("parseOptions", () => {
  it("turns flags into numbers, times and objects", () => {
    expect(
      parseOptions({ ...defaults, duration: "1.5m", timeout: "250ms", body: '{"seed":1}' }),
    ).toMatchObject({ streams: 16, duration: 90_000, timeout: 250, body: { seed: 1 } });
    expect(parseOptions({ ...defaults, duration: "3" })).toMatchObject({ duration: 3000 });
  });

  it.each([
    [{ url: "localhost" }, "--url is an address such as http://127.0.0.1:8088"],
    [{ api: "grpc" }, "--api is one of chat, responses, websocket"],
    [{ streams: "0" }, "--streams is at least 1"],
    [{ streams: "many" }, "--streams is a number"],
    [{ streams: "1.5" }, "--streams is a whole number"],
    [{ duration: "soon" }, "--duration is a time such as 500ms, 30s or 2m"],
    [{ duration: "0s" }, "--duration is more than nothing and at most 24 hours"],
    [{ body: "[1]" }, `--body is a JSON object, such as '{"seed":1}'`],
    [{ addedLatency: "-1" }, "--added-latency is more than 0"],
    [{ requests: "1", duration: "1s" }, "--duration and --requests exclude each other"],
    [{ prompt: "x", promptTokens: "9" }, "--prompt-tokens and --prompt exclude each other"],
    [{ idleSockets: "5" }, "--idle-sockets needs --pid: the process whose memory is read"],
    [{ sockets: "17" }, "--sockets is at most the number of streams"],
  ])("refuses %j", (flags, message) => {
    expect(parseOptions({ ...defaults, ...flags })).toBe(message);
  });
});

describe("flagOf", () => {
  it("is the flag of an option's name", () => {
    expect(flagOf("maxTokens")).toBe("--max-tokens");
  });
});
