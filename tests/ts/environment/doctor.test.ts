import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { environmentFolder } from "../../../setup/python.mjs";
import { render } from "../../../src-ts/cli/doctor.js";
import {
  type DoctorReport,
  examine,
  listModels,
  missingPython,
} from "../../../src-ts/environment/doctor.js";
import { registerModel } from "../../../src-ts/environment/models.js";
import { ggufFile } from "../support/gguf-file.js";

let folder: string;
let env: NodeJS.ProcessEnv;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-doctor-"));
  env = {
    PATH: process.env.PATH,
    MLX_SERVING_CACHE: join(folder, "cache"),
    MLX_SERVING_PYTHON_ENV: folder,
  };
});
afterEach(() => rmSync(folder, { recursive: true }));

const answer = {
  python: "3.12.1",
  versions: { mlx: "1.2.3" },
  backend: "cpu",
  device: "a processor",
  blas: { on: true, name: "OpenBLAS (libx.so)", reason: null },
  native: { on: false, version: null, reason: "krserve_native is not built" },
  mlx_ops: { on: true, version: "1.0.0", isa: "avx2", threads: 4, reason: null },
  parts: {
    blas: { on: true, reason: null, applicable: true, missing: false },
    pool: { on: false, reason: "off by default", applicable: true, missing: false },
  },
  problem: null,
} as const;

/** An environment whose Python says this. */
function makePython(script: string): void {
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin", "python"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

const says = (text: unknown) => makePython(`cat <<'END'\n${JSON.stringify(text)}\nEND`);

/** Registers a folder with this as its `config.json`. */
function addModel(id: string, config: string | undefined): void {
  const path = join(folder, id);
  mkdirSync(path, { recursive: true });
  if (config !== undefined) writeFileSync(join(path, "config.json"), config);
  registerModel({ id, kind: "folder", path }, env);
}

describe("what is said of a model's family", () => {
  it("whether its KV cache can be quantized, where that was tried", () => {
    const kvBits = (type: string) => {
      addModel("mine", JSON.stringify({ model_type: type }));
      return listModels(env).find(({ id }) => id === "mine")?.family?.kv_bits;
    };
    expect([true, null]).toContain(kvBits("llama"));
    expect([false, null]).toContain(kvBits("mamba"));
    expect(kvBits("abacus")).toBeNull();
  });

  it.each([
    ['{"model_type": "gemma2"}', { type: "gemma2", decoding: "one_row_at_a_time" }],
    ['{"model_type": "gpt_bigcode"}', { type: "gpt_bigcode", decoding: "one_row_at_a_time" }],
    ['{"model_type": "llama4"}', { type: "llama4", decoding: "one_row_at_a_time" }],
    ['{"model_type": "llama"}', { type: "llama", decoding: "together" }],
    ['{"model_type": "mistral"}', { type: "mistral", decoding: "together" }],
    ['{"model_type": "abacus"}', { type: "abacus", decoding: null }],
    ['{"model_type": "toString"}', { type: "toString", decoding: null }],
    ['{"model_type": 3}', null],
    ["{", null],
    [undefined, null],
  ])("of %s", (config, family) => {
    addModel("mine", config);
    expect(listModels(env).find(({ id }) => id === "mine")).toMatchObject({
      family: family && expect.objectContaining(family),
    });
  });
});

it("names the family of a GGUF file", () => {
  const path = join(folder, "mine.gguf");
  writeFileSync(path, ggufFile({ "general.architecture": "qwen2" }));
  registerModel({ id: "mine", kind: "gguf", path }, env);
  expect(listModels(env).find(({ id }) => id === "mine")).toMatchObject({
    kind: "gguf",
    ready: true,
    family: { type: "qwen2", decoding: "together" },
  });
});

describe("the report", () => {
  it("has Python's answer about native parts", async () => {
    says(answer);
    const { blas, native, mlx_ops, parts, python } = await examine(env);
    expect({ blas, native, mlx_ops, parts }).toEqual({
      parts: answer.parts,
      blas: answer.blas,
      native: answer.native,
      mlx_ops: answer.mlx_ops,
    });
    expect(python).toMatchObject({
      version: "3.12.1",
      origin: "named",
      problem: null,
      usable: true,
    });
  });

  it("says whether a start will make the environment, or there is no Python to make it with", async () => {
    const { MLX_SERVING_PYTHON_ENV: _, ...own } = env;
    const poor = { ...own, PATH: folder, MLX_SERVING_CACHE: join(folder, "cache") };
    const none = await missingPython("cache", poor);
    expect(none).toBe(
      "Python 3.11 or newer was not found; install it, or name one in MLX_SERVING_PYTHON.",
    );
    const python = join(environmentFolder(), "bin", "python");
    expect(await missingPython("cache", { ...poor, MLX_SERVING_PYTHON: python })).toBeUndefined();
  });

  it("says that nothing is on where Python doesn't answer", async () => {
    const { python, backend, blas, native, mlx_ops } = await examine(env);
    expect(python).toMatchObject({ usable: false });
    expect(python.problem).toContain(
      "MLX_SERVING_PYTHON_ENV names a folder that has no bin/python",
    );
    expect(backend).toBeNull();
    const reason = "Python doesn't answer";
    expect(blas).toEqual({ on: false, name: null, reason });
    expect(native).toEqual({ on: false, version: null, reason });
    expect(mlx_ops).toEqual({ on: false, version: null, isa: null, threads: null, reason });
  });

  it.each([
    ["fails", "echo broken >&2; exit 1"],
    ["says something else", "echo '{}'"],
  ])("says so when Python %s", async (_how, script) => {
    makePython(script);
    const { python, native } = await examine(env);
    expect(python.problem).toMatch(/^it doesn't answer: /);
    expect(native.on).toBe(false);
  });

  it("is of the parts that the variables ask for", async () => {
    const off = { MLX_SERVING_PYTHON_ENV: environmentFolder(), MLX_SERVING_NATIVE: "0" };
    const { native, mlx_ops } = await examine({ ...env, ...off });
    expect(native.reason).toBe("turned off by --native or MLX_SERVING_NATIVE");
    expect(mlx_ops.reason).toBe("turned off by --native or MLX_SERVING_NATIVE");
  });
});

describe("the table", () => {
  const { python, problem, ...rest } = answer;
  const report: DoctorReport = {
    ...rest,
    backend: "cpu",
    python: { path: "/python", version: python, origin: "named", problem, usable: true },
    prefix_cache_dir: null,
    models: [],
  };
  const rowsOf = (changes: Partial<DoctorReport> = {}) =>
    render({ ...report, ...changes })
      .split("\n")
      .map((line) => line.split(/ {2,}/));

  it("says where computed prompts are kept, or why they can't be", () => {
    const at = { path: "/kept", blocks: 31, bytes: 3 * 2 ** 20, reason: null };
    expect(rowsOf({ prefix_cache_dir: at })).toContainEqual([
      ...["prefixes", "/kept", "31 blocks", "3.0 MiB"],
    ]);
    const reason = "EACCES: permission denied";
    expect(rowsOf({ prefix_cache_dir: { ...at, reason } })).toContainEqual([
      ...["prefixes", "/kept", "can't be used", reason],
    ]);
    expect(rowsOf().some(([name]) => name === "prefixes")).toBe(false);
  });

  it("says of a model's family what is worth a word", () => {
    addModel("slow", '{"model_type": "gemma2"}');
    addModel("new", '{"model_type": "abacus"}');
    addModel("usual", '{"model_type": "llama"}');
    const said = rowsOf({ models: listModels(env) }).map((row) => row.at(-1));
    expect(said).toContain(
      "gemma2: one request at a time in a step, no --kv-bits, see docs/MODELS.md",
    );
    expect(said).toContain("abacus: a family not compared, see docs/MODELS.md");
    expect(said.some((words) => words?.startsWith("llama:"))).toBe(false);
  });

  it("says what is on with its version, and why something is off", () => {
    const rows = rowsOf();
    expect(rows).toContainEqual(["BLAS", "OpenBLAS (libx.so)"]);
    expect(rows).toContainEqual(["native", "off", "krserve_native is not built"]);
    expect(rows).toContainEqual(["mlx_ops", "on", "1.0.0", "avx2", "4 threads"]);
    expect(rows).toContainEqual(["parts on", "blas"]);
  });

  it("names the BLAS that is in use in place of ours, and why", () => {
    const blas = { on: false, name: "reference BLAS (libblas.so)", reason: "it is not built" };
    const native = { on: true, version: "1.0.0", reason: null };
    const rows = rowsOf({ blas, native });
    expect(rows).toContainEqual(["BLAS", "reference BLAS (libblas.so)", "it is not built"]);
    expect(rows).toContainEqual(["native", "on", "1.0.0"]);
  });
});
