/** The options of `bench`: one schema, which turns flags into what the parts want. */
import { z } from "zod";
import { apis } from "./target.js";

const unitsMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000 };

/** `500ms`, `30s`, `2m`; a bare number is seconds. Result in ms. */
const duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m)?$/, "is a time such as 500ms, 30s or 2m")
  .transform((text) => Number.parseFloat(text) * unitsMs[/[a-z]+$/.exec(text)?.[0] ?? "s"]!)
  .refine((ms) => ms > 0 && ms <= 24 * 3600 * 1000, "is more than nothing and at most 24 hours");

const integer = (min: number, max: number) =>
  z.coerce
    .number("is a number")
    .int("is a whole number")
    .min(min, `is at least ${min}`)
    .max(max, `is at most ${max}`);

const url = z.string().refine(isHttpUrl, "is an address such as http://127.0.0.1:8088");

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

const jsonObject = z.string().transform((text, context): Record<string, unknown> => {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    context.addIssue("is a JSON object, such as '{\"seed\":1}'");
    return z.NEVER;
  }
});

const pid = integer(1, 2 ** 31 - 1);

export const BenchOptions = z
  .strictObject({
    url,
    api: z.enum(apis, `is one of ${apis.join(", ")}`),
    model: z.string().optional(),
    apiKey: z.string().optional(),
    apiKeyFile: z.string().min(1, "is a file name").optional(),
    body: jsonObject.optional(),
    streams: integer(1, 100_000),
    sockets: integer(1, 10_000),
    requests: integer(1, 100_000_000).optional(),
    duration: duration.optional(),
    warmup: integer(0, 100_000).optional(),
    prompt: z.string().min(1, "is not empty").optional(),
    promptTokens: integer(1, 1_000_000).optional(),
    maxTokens: integer(1, 1_000_000),
    timeout: duration,
    pid: pid.optional(),
    json: z.string().min(1, "is a file name, or - for the standard output").optional(),
    vs: url.optional(),
    vsApi: z.enum(apis, `is one of ${apis.join(", ")}`).optional(),
    vsModel: z.string().optional(),
    vsApiKey: z.string().optional(),
    vsApiKeyFile: z.string().min(1, "is a file name").optional(),
    vsBody: jsonObject.optional(),
    vsPid: pid.optional(),
    rounds: integer(1, 1000).optional(),
    idleSockets: integer(1, 1_000_000).optional(),
    addedLatency: z.coerce.number("is a number").positive("is more than 0").optional(),
  })
  .superRefine((options, context) => {
    const refuse = (path: string, message: string) =>
      context.addIssue({ code: "custom", path: [path], message });
    if (options.requests !== undefined && options.duration !== undefined) {
      refuse("duration", "and --requests exclude each other");
    }
    if (options.prompt !== undefined && options.promptTokens !== undefined) {
      refuse("promptTokens", "and --prompt exclude each other");
    }
    if (options.idleSockets !== undefined && options.pid === undefined) {
      refuse("idleSockets", "needs --pid: the process whose memory is read");
    }
    if (options.idleSockets !== undefined && options.vs !== undefined) {
      refuse("idleSockets", "and --vs exclude each other");
    }
    if (options.sockets > options.streams) {
      refuse("sockets", "is at most the number of streams");
    }
  });
export type BenchOptions = z.infer<typeof BenchOptions>;

/** `maxTokens` → `--max-tokens`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The options, or which flag is wrong and why, without a full stop. */
export function parseOptions(flags: unknown): BenchOptions | string {
  const result = BenchOptions.safeParse(flags);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const name = issue.path[0];
  return typeof name === "string" ? `${flagOf(name)} ${issue.message}` : issue.message;
}
