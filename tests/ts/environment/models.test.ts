import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigError } from "../../../src-ts/config.js";
import { listModels } from "../../../src-ts/environment/doctor.js";
import {
  isHubId,
  registeredModels,
  registerModel,
  resolveModels,
  unregisterModel,
} from "../../../src-ts/environment/models.js";
import { ggufFile } from "../support/gguf-file.js";

let folder: string;
let env: NodeJS.ProcessEnv;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-models-"));
  env = { MLX_SERVING_CACHE: join(folder, "cache") };
});
afterEach(() => rmSync(folder, { recursive: true }));

const complete = ["config.json", "model-00001-of-2.safetensors", "tokenizer.json"];

function makeModel(name: string, files: readonly string[] = complete): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const file of files) writeFileSync(join(path, file), "{}");
  return path;
}

describe("what --model names", () => {
  it("is the embedded model, in the cache", () => {
    expect(resolveModels(["smollm2-135m-instruct"], "mlx", env)).toEqual([
      {
        id: "smollm2-135m-instruct",
        kind: "embedded",
        path: join(folder, "cache", "models", "smollm2-135m-instruct"),
      },
    ]);
  });

  it("is a folder, served under its name", () => {
    const path = makeModel("mine");
    expect(resolveModels([path], "mlx", env)).toEqual([{ id: "mine", kind: "folder", path }]);
  });

  it("is a GGUF file, also one that was registered or is alone in its folder", () => {
    const path = join(makeModel("quantized", ["README.md"]), "mine-Q4_0.gguf");
    writeFileSync(path, ggufFile({ "general.architecture": "llama" }));
    const source = { kind: "gguf", path };
    expect(resolveModels([path], "mlx", env)).toEqual([{ id: "mine-Q4_0", ...source }]);
    expect(resolveModels([dirname(path)], "mlx", env)).toEqual([{ id: "quantized", ...source }]);
    registerModel({ id: "kept", kind: "gguf", path }, env);
    expect(resolveModels(["kept"], "mlx", env)).toEqual([{ id: "kept", ...source }]);
    expect(resolveModels([path], "fake", env)).toMatchObject([{ id: "mine-Q4_0", kind: "fake" }]);
    expect(() => resolveModels(["owner/absent.gguf"], "mlx", env)).toThrow("There is no file");
  });

  it("has the same id with either engine", () => {
    const path = makeModel("mine");
    registerModel({ id: "kept", kind: "folder", path }, env);
    for (const name of [path, "kept", "owner/name", "smollm2-135m-instruct"]) {
      const [fake] = resolveModels([name], "fake", env);
      expect(fake).toMatchObject({ kind: "fake", id: resolveModels([name], "mlx", env)[0]!.id });
    }
    expect(resolveModels(["anything"], "fake", env)[0]!.id).toBe("anything");
  });

  it("is a registered model, also one that looks like a hub id", () => {
    const path = makeModel("mine");
    registerModel({ id: "owner/name", kind: "folder", path }, env);
    expect(resolveModels(["owner/name"], "mlx", env)).toEqual([
      { id: "owner/name", kind: "folder", path },
    ]);
  });

  it("is a hub id", () => {
    expect(resolveModels(["owner/name"], "mlx", env)).toEqual([
      { id: "owner/name", kind: "hub", path: "owner/name" },
    ]);
  });

  it("is any id for the fake engine", () => {
    expect(resolveModels(["any thing"], "fake", env)).toEqual([
      { id: "any thing", kind: "fake", path: "" },
    ]);
  });

  it("is refused when it is none of these, twice the same, or gone", () => {
    expect(() => resolveModels(["nothing"], "mlx", env)).toThrow(ConfigError);
    expect(() => resolveModels(["a", "a"], "fake", env)).toThrow("Two models are called a");
    registerModel({ id: "gone", kind: "folder", path: join(folder, "gone") }, env);
    expect(() => resolveModels(["gone"], "mlx", env)).toThrow("does not exist");
  });
});

it("tells hub ids from paths", () => {
  for (const id of ["owner/name", "a/b-c_d.e", "0/1"]) expect(isHubId(id)).toBe(true);
  for (const id of ["name", "./name", "../name", "a/b/c", "a/", "/a", "a/..", ".a/b"])
    expect(isHubId(id)).toBe(false);
});

describe("the list of models", () => {
  it("keeps one model an id, in order, and forgets", () => {
    const [a, b] = [makeModel("a"), makeModel("b")];
    registerModel({ id: "one", kind: "folder", path: a }, env);
    registerModel({ id: "two", kind: "folder", path: b }, env);
    registerModel({ id: "one", kind: "hub", path: b }, env);
    expect(registeredModels(env).map(({ id, kind }) => [id, kind])).toEqual([
      ["two", "folder"],
      ["one", "hub"],
    ]);
    expect(unregisterModel("two", env)).toBe(true);
    expect(unregisterModel("two", env)).toBe(false);
    expect(listModels(env)).toEqual([
      expect.objectContaining({ id: "smollm2-135m-instruct", ready: false, bytes: 0 }),
      { id: "one", kind: "hub", path: b, family: null, ready: true, bytes: 2 * complete.length },
    ]);
  });
});
