import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { prefixFolder } from "../../../src-ts/environment/prefix-folder.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const ask = (named: string | undefined) => prefixFolder({ MLX_SERVING_PREFIX_CACHE_DIR: named });

describe("the folder of computed prompts", () => {
  it("is none where none is named", () => {
    expect(ask(undefined)).toBeNull();
    expect(ask("")).toBeNull();
  });

  it("may be made yet", () => {
    const path = join(folder, "a", "b");
    expect(ask(path)).toEqual({ path, blocks: 0, bytes: 0, reason: null });
  });

  it("counts its blocks, and nothing else in it", () => {
    const own = join(folder, "kv-blocks");
    mkdirSync(own);
    writeFileSync(join(own, `${"0a".repeat(16)}.safetensors`), "12345");
    writeFileSync(join(own, `${"0b".repeat(16)}.safetensors`), "123");
    writeFileSync(join(own, ".host.1.2.draft"), "1");
    writeFileSync(join(own, "notes.safetensors"), "1");
    expect(ask(folder)).toEqual({ path: folder, blocks: 2, bytes: 8, reason: null });
  });

  it("says why it can't be used", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    for (const path of [file, join(file, "below")])
      expect(ask(path)).toMatchObject({ path, blocks: 0, reason: expect.stringMatching(/file/) });
  });
});
