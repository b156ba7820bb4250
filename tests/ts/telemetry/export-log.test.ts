import { expect, it } from "vitest";
import { ExportLog } from "../../../src-ts/telemetry/export-log.js";

it("says the first failure at once, then a line a minute with counts, and once that it is over", () => {
  let now = 0;
  const lines: string[] = [];
  const say = (level: string) => (fields: object, message: string) =>
    void lines.push(`${now / 1000} ${level} ${message} ${JSON.stringify(fields)}`);
  const log = new ExportLog(
    { info: say("info"), warn: say("warn") },
    { traces: "http://a/t", metrics: "http://a/m" },
    () => now,
  );
  log.sent("traces");
  for (; now < 100_000; now += 5_000) log.failed("traces", 3, "ECONNREFUSED");
  log.failed("metrics", 0, "no answer");
  now = 125_000;
  log.sent("traces");
  log.sent("traces");
  const failed = "can't be sent, requests are not affected";
  expect(lines).toEqual([
    `0 warn telemetry: traces ${failed} {"url":"http://a/t","reason":"ECONNREFUSED","failures":1,"droppedSpans":3}`,
    `60 warn telemetry: traces ${failed} {"url":"http://a/t","reason":"ECONNREFUSED","failures":12,"droppedSpans":36}`,
    `100 warn telemetry: metrics ${failed} {"url":"http://a/m","reason":"no answer","failures":1,"droppedSpans":0}`,
    '125 info telemetry: traces are sent again {"url":"http://a/t","droppedSpans":21}',
  ]);
});

it("an endpoint that comes and goes says no more than one that is gone", () => {
  let now = 0;
  let lines = 0;
  const log = new ExportLog(
    { info: () => lines++, warn: () => lines++ },
    { traces: "http://a/t", metrics: undefined },
    () => now,
  );
  for (; now < 59_000; now += 1_000) {
    log.failed("traces", 1, "ECONNRESET");
    log.sent("traces");
  }
  expect(lines).toBe(2);
});
