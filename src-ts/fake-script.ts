/**
 * The file of `--fake-script`: its schema, its limits, and the sentence about what is wrong in it. What is said to
 * whom, `engine/requests/fake-script.ts` decides.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { ConfigError } from "./config.js";
import type { FakeScriptEntry } from "./engine/api.js";
import { notJson } from "./json-fault.js";

const entriesMax = 10_000;
/** UTF-16 units. */
const textCharsMax = 1024 * 1024;

const text = z.string().max(textCharsMax);

const script = z
  .array(
    z.strictObject({
      when: text,
      say: text,
      tools: z.boolean().optional(),
      repeat: z.boolean().optional(),
    }),
  )
  .min(1)
  .max(entriesMax) satisfies z.ZodType<FakeScriptEntry[]>;

/** Throws ConfigError with the place of the mistake. */
export function readFakeScript(path: string): FakeScriptEntry[] {
  const parsed = script.safeParse(jsonOf(path));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue!.path.map((step) =>
    typeof step === "number" ? `[${step}]` : `.${String(step)}`,
  );
  throw new ConfigError(
    `--fake-script ${path}, ${place.join("") || "as a whole"}: ${issue!.message}.`,
  );
}

function jsonOf(path: string): unknown {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (cause) {
    const problem = `The script ${resolve(path)} can't be read; check its name and rights.`;
    throw new ConfigError(problem, { cause });
  }
  try {
    return JSON.parse(content);
  } catch (cause) {
    throw new ConfigError(notJson(`The script ${path}`, content, cause), { cause });
  }
}
