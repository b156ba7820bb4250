import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { modelForAgent } from "../../../src-ts/cli/agent-model.js";
import * as input from "../../../src-ts/cli/input.js";
import * as models from "../../../src-ts/cli/models.js";
import { resolveConfig } from "../../../src-ts/config.js";
import { registerModel } from "../../../src-ts/environment/models.js";

vi.mock("../../../src-ts/cli/input.js", () => ({ askLine: vi.fn() }));
vi.mock("../../../src-ts/cli/models.js", () => ({ addModel: vi.fn() }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-agent-model-"));
  vi.stubEnv("MLX_SERVING_CACHE", folder);
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  terminal(false);
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  vi.mocked(input.askLine).mockReset();
  vi.mocked(models.addModel).mockReset();
  rmSync(folder, { recursive: true });
});

function terminal(isTTY: boolean): void {
  for (const stream of [process.stdin, process.stdout])
    Object.defineProperty(stream, "isTTY", { value: isTTY, configurable: true });
}

const choose = (environment: Record<string, string> = {}) =>
  modelForAgent("Codex", resolveConfig({ environment, file: null }));

function add(id: string, config: object): void {
  const path = join(folder, id);
  mkdirSync(path);
  writeFileSync(join(path, "config.json"), JSON.stringify(config));
  registerModel({ id, kind: "folder", path });
}

describe("the model of a server that is started for an agent", () => {
  it("is the one that was added last and has room for it", async () => {
    add("old", { max_position_embeddings: 40_960 });
    add("new", { text_config: { max_position_embeddings: 131_072 } });
    add("small", { max_position_embeddings: 8_192 });
    expect(await choose()).toBe("new");
    rmSync(join(folder, "new"), { recursive: true });
    expect(await choose()).toBe("old");
  });

  it("may be one that doesn't say what fits into it", async () => {
    add("silent", {});
    expect(await choose()).toBe("silent");
    const path = join(folder, "one.gguf");
    writeFileSync(path, "GGUF");
    registerModel({ id: "one", kind: "gguf", path });
    expect(await choose()).toBe("one");
  });

  it("is the configured one, or the fake engine's, without a question", async () => {
    add("new", {});
    expect(await choose({ MLX_SERVING_MODEL: "mine" })).toBeUndefined();
    expect(await choose({ MLX_SERVING_ENGINE: "fake" })).toBeUndefined();
  });

  it("is none without a terminal, and how one gets one is said", async () => {
    await expect(choose()).rejects.toThrow(
      /^Codex needs a model .* 32,768 tokens or more; .* mlx-serving models add mlx-community\/\S+ \(2\.3 GB\), or name one with --model\.$/,
    );
  });

  it("is fetched at a terminal, if the user says so", async () => {
    terminal(true);
    vi.mocked(input.askLine).mockResolvedValueOnce("n").mockResolvedValueOnce(undefined);
    await expect(choose()).rejects.toThrow("Nothing was fetched");
    await expect(choose()).rejects.toThrow("Nothing was fetched");
    expect(models.addModel).not.toHaveBeenCalled();
    vi.mocked(input.askLine).mockResolvedValueOnce("");
    vi.mocked(models.addModel).mockResolvedValueOnce({ id: "fetched", kind: "hub", path: "" });
    expect(await choose()).toBe("fetched");
    expect(models.addModel).toHaveBeenCalledWith(expect.stringMatching(/^mlx-community\//));
  });
});
