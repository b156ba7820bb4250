/** A key file under a running server: what changes, and what a mistake leaves as it was. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { ConfigError } from "../../../src-ts/config.js";
import { KeyFile, readKeyLines, secretIn } from "../../../src-ts/keys/file.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-keys-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "keys");
beforeEach(() => writeFileSync(path, "a name=alice\nb name=bob\n"));

function watched() {
  const logged: [string, Record<string, unknown>][] = [];
  const file = new KeyFile(path, {
    keys: ["extra", "a"],
    log: (level, _message, fields) => logged.push([level, fields]),
  });
  onTestFinished(() => file.close());
  let changes = 0;
  file.onChange(() => changes++);
  const names = () => file.entries.map(({ name }) => name);
  const look = () => {
    file.look();
    file.look();
  };
  return { file, logged, names, look, changes: () => changes };
}

describe("a key file", () => {
  it("is read at the start, and keys beside it come last, each once", () => {
    const { file, names } = watched();
    expect(names()).toEqual(["alice", "bob", expect.stringMatching(/^key-/)]);
    expect(file.mistake).toBeUndefined();
    expect(file.readAt).toBeGreaterThan(0);
  });

  it("is read again when it has changed, in place or by another file", () => {
    const { names, look, changes } = watched();
    look();
    expect(changes()).toBe(0);
    writeFileSync(path, "b name=bob\nc name=carol\n");
    look();
    expect(names().slice(0, 2)).toEqual(["bob", "carol"]);
    writeFileSync(`${path}.new`, "d name=dave\n");
    renameSync(`${path}.new`, path);
    look();
    expect(names()[0]).toBe("dave");
    expect(changes()).toBe(2);
  });

  it("is not read while somebody writes it", () => {
    const { file, names } = watched();
    writeFileSync(path, "b name=bo");
    file.look();
    writeFileSync(path, "b name=bob concurrency=2\n");
    file.look();
    expect(names()).toContain("alice");
    file.look();
    expect(names().slice(0, 1)).toEqual(["bob"]);
  });

  it("keeps the keys of before where it has a mistake, and says where", () => {
    const { file, names, look, logged, changes } = watched();
    const before = names();
    writeFileSync(path, "a name=alice\nb name=bob concurrency=many\n");
    look();
    expect(names()).toEqual(before);
    expect(file.mistake).toMatchObject({ line: 2, field: "concurrency" });
    expect(logged).toEqual([
      ["error", expect.objectContaining({ file: path, line: 2, field: "concurrency" })],
    ]);
    look();
    expect(logged).toHaveLength(1);
    for (const gone of ["", "# none\n"]) {
      writeFileSync(path, gone);
      look();
      expect(file.mistake).toMatchObject({ line: 0 });
    }
    rmSync(path);
    look();
    expect(file.mistake?.what).toContain("can't be read");
    expect([names(), changes()]).toEqual([before, 0]);
    writeFileSync(path, "a name=alice\nb name=bob\n");
    look();
    expect(file.mistake).toBeUndefined();
  });

  it("that has a mistake starts no server", () => {
    writeFileSync(path, "a\nb nme=bob\n");
    const start = () => new KeyFile(path);
    expect(start).toThrow(ConfigError);
    expect(start).toThrow(`The API key file ${path} line 2, nme: there is no such field`);
    expect(() => new KeyFile(join(folder, "absent"))).toThrow("can't be read; check its name");
    expect(() => readKeyLines(folder)).toThrow("can't be read");
    writeFileSync(path, "#".repeat(5 * 2 ** 20));
    expect(start).toThrow("4 MiB");
  });
});

it("the first key in clear is a client's", () => {
  const hash = `sha256:${"0".repeat(64)}`;
  writeFileSync(path, `${hash} name=x\nmine name=y\nother\n`);
  expect(secretIn(path)).toBe("mine");
  writeFileSync(path, `${hash} name=x\n`);
  expect(() => secretIn(path)).toThrow("holds hashes alone: give the key itself with --api-key");
});
