/** `mlx-serving keys`, as the compiled program and as its parts. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { keysCommand } from "../../../src-ts/cli/keys.js";
import { hashOf } from "../../../src-ts/keys/entry.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-keys-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());
const path = join(folder, "keys.txt");

/** What it prints. */
async function keys(...args: string[]): Promise<{ out: string; err: string }> {
  let [out, err] = ["", ""];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    err += text;
    return true;
  });
  const command = keysCommand().exitOverride();
  await command.parseAsync([...args, "--api-key-file", path], { from: "user" });
  vi.restoreAllMocks();
  return { out, err };
}

describe("keys", () => {
  it("are added with their limits and printed once, listed and revoked", async () => {
    const { out, err } = await keys(
      "add",
      "alice",
      "--requests-per-minute",
      "60",
      "--models",
      "a,b",
    );
    const secret = out.trim();
    expect(secret).toMatch(/^sk-mlx-[\w-]{43}$/);
    expect(err).toContain(`Added alice to ${path}`);
    expect(err).not.toContain(secret);
    expect(readFileSync(path, "utf8")).toBe(
      `sha256:${hashOf(secret).toString("hex")} name=alice requests-per-minute=60 models=a,b\n`,
    );
    const admin = await keys("add", "root", "--admin", "yes", "--expires", "2199-01-31");
    expect(admin.err).toContain("From now on only keys with admin=yes");
    const later = readFileSync(path, "utf8").replace("2199", "2020");
    writeFileSync(path, `${later}in-clear\n`);
    const listed = (await keys("list")).out;
    expect(listed).toMatch(/^alice +hash +requests-per-minute=60 +any +a,b +never +–$/m);
    expect(listed).toMatch(/^root +hash +none +any +all +2020-01-31T00:00Z \(over\) +yes$/m);
    expect(listed).toMatch(/^key-[0-9a-f]{8} +in clear +none/m);
    expect(listed).not.toContain("in-clear");
    const json = (await keys("list", "--json")).out;
    expect(JSON.parse(json)[0]).toEqual({
      ...{ line: 1, name: "alice", limits: { requestsPerMinute: 60 }, models: ["a", "b"] },
      ...{ expiresAt: null, stored: "hash" },
    });
    expect((await keys("revoke", "alice")).err).toContain("Revoked alice");
    expect((await keys("list")).out).not.toContain("alice");
  });

  it.each([
    [["add", "a b"], "The name must be 1 to 64 letters, digits and . _ @ -"],
    [["add", "root"], "stays as it is: line 3, name: line 1 has this name already."],
    [["add", "x", "--concurrency", "many"], "--concurrency must be a number from 1 to 100,000"],
    [["add", "x", "--models", "a b"], "--models must be"],
    [["add", "x", "--expires", "2020-01-31"], "--expires must be a time to come"],
    [["revoke", "nobody"], "has no key nobody; see mlx-serving keys list."],
  ])("%s says what is wrong", async (args, words) => {
    const before = readFileSync(path, "utf8");
    await expect(keys(...args)).rejects.toThrow(words);
    expect(readFileSync(path, "utf8")).toBe(before);
  });

  it("the last one stays, and a file that isn't there is named", async () => {
    writeFileSync(path, "only name=only\n");
    await expect(keys("revoke", "only")).rejects.toThrow("holds no key");
    rmSync(path);
    for (const args of [["list"], ["revoke", "only"]])
      await expect(keys(...args)).rejects.toThrow("does not exist; mlx-serving keys add makes one");
  });
});
