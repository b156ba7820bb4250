import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { keyOf, keyOptions, keyRefused } from "../../../src-ts/cli/client-key.js";
import { flagOf, variableOf } from "../../../src-ts/options.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-client-key-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

it("takes a flag before a variable, and a key before a file", () => {
  const [one, two] = [file("one", "one\nmore\n"), file("two", "two\n")];
  const env = { MLX_SERVING_API_KEY: "env", MLX_SERVING_API_KEY_FILE: two };
  expect(keyOf({ apiKey: "flag", apiKeyFile: one }, env)).toBe("flag");
  expect(keyOf({ apiKeyFile: one }, env)).toBe("one");
  expect(keyOf({}, env)).toBe("env");
  expect(keyOf({}, { MLX_SERVING_API_KEY_FILE: two, MLX_SERVING_API_KEY: "" })).toBe("two");
  expect(keyOf({}, {})).toBeUndefined();
  const hashes = file("hashes", `sha256:${"0".repeat(64)}\n`);
  expect(() => keyOf({ apiKeyFile: hashes }, {})).toThrow("give the key itself with --api-key");
});

it("has the names of serve, and says them where a server refuses", () => {
  const flags = keyOptions().map(({ long }) => long);
  expect(flags).toEqual([flagOf("apiKey"), flagOf("apiKeyFile")]);
  const names = [...flags, variableOf("apiKey"), variableOf("apiKeyFile")];
  for (const { message } of [keyRefused(undefined), keyRefused("key", "It has expired.")])
    for (const name of names) expect(message).toContain(name!);
  expect(keyRefused("secret", "It has expired.").message).toMatch(/: It has expired\.$/);
  expect(keyRefused("secret").message).not.toContain("secret");
});
