/** What the command line does to a key file. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { editKeyFile, withKey, withoutKey } from "../../../src-ts/keys/edit.js";
import { hashOf } from "../../../src-ts/keys/entry.js";
import { parseKeys } from "../../../src-ts/keys/parse.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-keys-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = () => join(folder, `keys-${files++}`);

describe("a key more", () => {
  it("leaves all lines as they are, and its secret out", () => {
    const before = "# team\r\nold # first";
    const { text, secret } = withKey(before, { name: "alice", concurrency: "2" });
    expect(text.startsWith(`${before}\n`)).toBe(true);
    expect(text).not.toContain(secret);
    expect(secret).toMatch(/^sk-mlx-[\w-]{43}$/);
    expect(parseKeys(text)[1]!.entry).toEqual({
      name: "alice",
      hash: hashOf(secret),
      limits: { concurrency: 2 },
    });
    expect(withKey("", { name: "alice" }).secret).not.toBe(secret);
  });

  it("has a name of its own", () => {
    expect(() => withKey("a name=alice", { name: "alice" })).toThrow("line 2, name");
  });
});

it("a key less is a line less", () => {
  const text = "# team\na name=alice # hers\n\nb name=bob\n";
  expect(withoutKey(text, "alice")).toBe("# team\n\nb name=bob\n");
  expect(withoutKey(text, "carol")).toBeUndefined();
  expect(withoutKey("plain\nb name=bob", parseKeys("plain")[0]!.entry.name)).toBe("b name=bob");
  expect(() => withoutKey("b name=bob\n", "bob")).toThrow("no key");
});

describe("the file", () => {
  it("is its owner's alone, and appears as a whole", async () => {
    const path = newPath();
    await editKeyFile(path, () => ({ text: "a\n" }));
    expect(readFileSync(path, "utf8")).toBe("a\n");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    chmodSync(path, 0o664);
    await editKeyFile(path, (before) => ({ text: `${before}b\n` }));
    expect(readFileSync(path, "utf8")).toBe("a\nb\n");
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder).filter((name) => /draft|lock/.test(name))).toEqual([]);
  });

  it.skipIf(process.getuid?.() !== 0)(
    "stays with its owner and group, whoever changes it",
    async () => {
      const path = newPath();
      await editKeyFile(path, () => ({ text: "a\n" }));
      chownSync(path, 65_534, 65_533);
      await editKeyFile(path, (before) => ({ text: `${before}b\n` }));
      const { uid, gid } = statSync(path);
      expect({ uid, gid }).toEqual({ uid: 65_534, gid: 65_533 });
    },
  );

  it("takes changes one after another", async () => {
    const path = newPath();
    const add = (name: string) => editKeyFile(path, (before) => withKey(before, { name }));
    await Promise.all(["a", "b", "c"].map(add));
    const names = parseKeys(readFileSync(path, "utf8")).map(({ entry }) => entry.name);
    expect(names.sort()).toEqual(["a", "b", "c"]);
  });

  it("behind a link stays there", async () => {
    const [path, link] = [newPath(), newPath()];
    writeFileSync(path, "a\n");
    symlinkSync(path, link);
    await editKeyFile(link, (before) => ({ text: `${before}b\n` }));
    expect(readFileSync(path, "utf8")).toBe("a\nb\n");
  });

  it("stays as it is where the change fails, and the failure has its name", async () => {
    const path = newPath();
    writeFileSync(path, "a nme=x\n");
    const edit = editKeyFile(path, (before) => withKey(before, { name: "y" }));
    await expect(edit).rejects.toThrow(`${path} stays as it is: line 1, nme`);
    expect(readFileSync(path, "utf8")).toBe("a nme=x\n");
    const blocked = newPath();
    mkdirSync(blocked);
    await expect(editKeyFile(blocked, () => ({ text: "a\n" }))).rejects.toThrow("can't be written");
    expect(readdirSync(folder).filter((name) => /draft|lock/.test(name))).toEqual([]);
  });
});
