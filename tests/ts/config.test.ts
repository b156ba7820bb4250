import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigError, resolveConfig, unknownVariables } from "../../src-ts/config.js";
import { flagOf, optionNames, placeholderOf, variableOf } from "../../src-ts/options.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function writeConfig(content: unknown, name = "mlx-serving.config.json"): void {
  writeFileSync(
    join(folder, name),
    typeof content === "string" ? content : JSON.stringify(content),
  );
}

/** The sentence of the ConfigError that `sources` cause. */
function problem(sources: Parameters<typeof resolveConfig>[0]): string {
  try {
    resolveConfig({ folder, ...sources });
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("expected a ConfigError");
}

describe("hosts and origins", () => {
  it("are names, or a star for all of them; a pattern is refused", () => {
    const flags = {
      allowedHosts: ["*"],
      allowedOrigins: ["https://a.example,*", "app://x", "null"],
    };
    expect(resolveConfig({ folder, flags })).toMatchObject({
      allowedHosts: ["*"],
      allowedOrigins: ["https://a.example", "*", "app://x", "null"],
    });
    for (const wrong of [
      { allowedHosts: ["*.example"] },
      { allowedOrigins: ["https://*.example"] },
      { allowedOrigins: ["a.example"] },
      { allowedOrigins: ["https://a.example/page"] },
    ])
      expect(problem({ flags: wrong })).toMatch(
        /^--allowed-(hosts|origins) must be .* or \* for all/,
      );
  });
});

describe("defaults", () => {
  it("are those of the README", () => {
    expect(resolveConfig({ folder })).toMatchObject({
      host: "127.0.0.1",
      port: 8088,
      model: ["smollm2-135m-instruct"],
      workers: 1,
      engine: "mlx",
      maxBatch: 16,
      maxQueue: 256,
      maxContext: undefined,
      memoryBudget: undefined,
      prefixCache: { bytes: Number.MAX_SAFE_INTEGER, share: 0.5 },
      prefixCacheDir: undefined,
      prefixCacheDisk: 10 * 2 ** 30,
      prefixSharing: "own",
      kvBits: 0,
      native: "auto",
      device: "auto",
      controlTokens: "text",
      apiKeyFile: undefined,
      dataDir: undefined,
      resumeGrace: 30_000,
      drainTimeout: 30_000,
      logLevel: "info",
    });
  });

  it("are values for every option, described for the help text", () => {
    for (const name of optionNames) {
      expect(resolveConfig({ folder })).toHaveProperty(name);
      expect(placeholderOf(name)).toMatch(/^(<.+>|\[.+\])$/);
    }
  });
});

describe("precedence", () => {
  it("is flag, environment, file, default", () => {
    writeConfig({ port: 1, maxBatch: 2, workers: 3 });
    const environment = { MLX_SERVING_PORT: "4", MLX_SERVING_MAX_BATCH: "5" };
    const config = resolveConfig({ folder, environment, flags: { port: "6" } });
    expect(config).toMatchObject({ port: 6, maxBatch: 5, workers: 3, maxQueue: 256 });
  });

  it("lets absent flags and empty variables through", () => {
    const config = resolveConfig({
      folder,
      flags: { port: undefined },
      environment: { MLX_SERVING_PORT: "" },
    });
    expect(config.port).toBe(8088);
  });

  it("reads the file that --config names instead", () => {
    writeConfig({ port: 1 });
    writeConfig({ port: 2 }, "other.json");
    expect(resolveConfig({ folder, file: "other.json" }).port).toBe(2);
  });
});

describe("values", () => {
  it("take units", () => {
    const flags = { drainTimeout: "500ms", resumeGrace: "2m", memoryBudget: "8GiB" };
    expect(resolveConfig({ folder, flags })).toMatchObject({
      drainTimeout: 500,
      resumeGrace: 120_000,
      memoryBudget: 8 * 2 ** 30,
    });
    expect(resolveConfig({ folder, flags: { drainTimeout: "0" } }).drainTimeout).toBe(0);
    expect(resolveConfig({ folder, flags: { memoryBudget: "1.5kB" } }).memoryBudget).toBe(1500);
    expect(resolveConfig({ folder, flags: { memoryBudget: "1000" } }).memoryBudget).toBe(1000);
  });

  it("take bytes or a share of the prefix cache", () => {
    const given = (prefixCache: string) => resolveConfig({ folder, flags: { prefixCache } });
    const all = Number.MAX_SAFE_INTEGER;
    expect(given("2GiB").prefixCache).toEqual({ bytes: 2 * 2 ** 30, share: 0.9 });
    expect(given("0").prefixCache).toEqual({ bytes: 0, share: 0.9 });
    expect(given("25%").prefixCache).toEqual({ bytes: all, share: 0.25 });
    expect(given("12.5 %").prefixCache).toEqual({ bytes: all, share: 0.125 });
    const variable = { MLX_SERVING_PREFIX_CACHE: "30%" };
    expect(resolveConfig({ folder, environment: variable }).prefixCache.share).toBe(0.3);
    for (const wrong of ["91%", "-1%", "half", "%", "1e3", "50 percent"])
      expect(() => given(wrong)).toThrow(/--prefix-cache must be a number of bytes .* at most 90%/);
  });

  it("take the bits of the KV cache", () => {
    const given = (kvBits: unknown) => resolveConfig({ folder, flags: { kvBits } }).kvBits;
    expect([given("8"), given("4"), given("0"), given(8)]).toEqual([8, 4, 0, 8]);
    expect(resolveConfig({ folder, environment: { MLX_SERVING_KV_BITS: "4" } }).kvBits).toBe(4);
    for (const wrong of ["3", "16", "-8", "8.5", "q8_0", true])
      expect(() => given(wrong)).toThrow(/--kv-bits must be one of 0, 4, 8, not /);
  });

  it("may be lists: repeated flags, commas in variables, arrays or text in the file", () => {
    expect(resolveConfig({ folder, flags: { model: ["a,b", "c"] } }).model).toEqual([
      "a",
      "b",
      "c",
    ]);
    const environment = { MLX_SERVING_MODEL: "a, b" };
    expect(resolveConfig({ folder, environment }).model).toEqual(["a", "b"]);
    writeConfig({ model: ["x", "y"], allowedHosts: "h" });
    expect(resolveConfig({ folder })).toMatchObject({ model: ["x", "y"], allowedHosts: ["h"] });
  });

  it("of native may be 0 and 1", () => {
    expect(resolveConfig({ folder, flags: { native: "0" } }).native).toBe("off");
    expect(resolveConfig({ folder, flags: { native: "1" } }).native).toBe("on");
    const environment = { MLX_SERVING_NATIVE: "0" };
    expect(resolveConfig({ folder, environment }).native).toBe("off");
    writeConfig({ native: 1 });
    expect(resolveConfig({ folder }).native).toBe("on");
  });

  it("of no-build are those of a flag", () => {
    expect(resolveConfig({ folder }).noBuild).toBe(false);
    expect(resolveConfig({ folder, flags: { noBuild: true } }).noBuild).toBe(true);
    const environment = { MLX_SERVING_NO_BUILD: "1" };
    expect(resolveConfig({ folder, environment }).noBuild).toBe(true);
    writeConfig({ "no-build": "on" });
    expect(resolveConfig({ folder }).noBuild).toBe(true);
    expect(resolveConfig({ folder, environment: { MLX_SERVING_NO_BUILD: "off" } }).noBuild).toBe(
      false,
    );
    expect(() => resolveConfig({ folder, flags: { noBuild: "later" } })).toThrow(
      "--no-build must be on or off",
    );
  });

  it("of native parts are known names, or all", () => {
    const partsOf = (nativeParts: unknown) =>
      resolveConfig({ folder, flags: { nativeParts } }).nativeParts;
    expect(partsOf("blas, pool,blas")).toEqual(["blas", "pool"]);
    expect(partsOf(["kernels"])).toEqual(["kernels"]);
    expect(partsOf("all")).toEqual(["all"]);
    expect(partsOf("pool,all")).toEqual(["all"]);
    expect(partsOf(undefined)).toBeUndefined();
    const environment = { MLX_SERVING_NATIVE_PARTS: "sampling,metrics" };
    expect(resolveConfig({ folder, environment }).nativeParts).toEqual(["sampling", "metrics"]);
    writeConfig({ nativeParts: ["blocks", "products"] });
    expect(resolveConfig({ folder }).nativeParts).toEqual(["blocks", "products"]);
  });

  it("in the file may be written in kebab case", () => {
    writeConfig({ "max-batch": 3 });
    expect(resolveConfig({ folder }).maxBatch).toBe(3);
  });
});

describe("errors", () => {
  it.each([
    [{ port: "70000" }, '--port must be an integer from 0 to 65,535, not "70000".'],
    [{ port: "abc" }, '--port must be an integer from 0 to 65,535, not "abc".'],
    [{ port: "1.5" }, '--port must be an integer from 0 to 65,535, not "1.5".'],
    [{ port: "" }, '--port must be an integer from 0 to 65,535, not "".'],
    [{ maxBatch: "0" }, '--max-batch must be an integer from 1 to 256, not "0".'],
    [{ engine: "cuda" }, '--engine must be one of mlx, fake, not "cuda".'],
    [{ native: "2" }, '--native must be one of auto, on, off (or 1, 0), not "2".'],
    [
      { nativeParts: "blas,magic" },
      '--native-parts must be some of pool, metrics, blas, products, blocks, attention, sampling, kernels, separated by commas, or all, not "blas,magic".',
    ],
    [
      { nativeParts: [] },
      "--native-parts must be some of pool, metrics, blas, products, blocks, attention, sampling, kernels, separated by commas, or all, not [].",
    ],
    [
      { drainTimeout: "30" },
      '--drain-timeout must be a duration with its unit, such as 30s or 500ms, at most 24h, not "30".',
    ],
    [
      { memoryBudget: "8G" },
      '--memory-budget must be a number of bytes such as 8GiB or 500MB, not "8G".',
    ],
    [
      { model: ["a", " "] },
      '--model must be model ids or folders, separated by commas, at most 256, not ["a"," "].',
    ],
  ])("of flags name the flag and the bound: %j", (flags, message) => {
    expect(problem({ flags })).toBe(message);
  });

  it("of variables name the variable", () => {
    expect(problem({ environment: { MLX_SERVING_NATIVE_PARTS: "Pool" } })).toMatch(
      /^MLX_SERVING_NATIVE_PARTS must be some of pool, .*, not "Pool"\.$/,
    );
    expect(problem({ environment: { MLX_SERVING_MAX_QUEUE: "-1" } })).toBe(
      'MLX_SERVING_MAX_QUEUE must be an integer from 0 to 100,000, not "-1".',
    );
  });

  it("of the file name the key and the file", () => {
    writeConfig({ workers: true });
    expect(problem({})).toBe(
      '"workers" in mlx-serving.config.json must be an integer from 1 to 64, not true.',
    );
  });

  it("name unknown keys, with the likely one", () => {
    writeConfig({ maxbatch: 3 });
    expect(problem({})).toBe(
      'Unknown key "maxbatch" in mlx-serving.config.json. Did you mean maxBatch?',
    );
    writeConfig({ colour: "red" });
    expect(problem({})).toBe('Unknown key "colour" in mlx-serving.config.json.');
    expect(problem({ flags: { colour: "red" } })).toContain("colour");
  });

  it("name keys that stand twice", () => {
    writeConfig({ maxBatch: 3, "max-batch": 4 });
    expect(problem({})).toContain('"max-batch" stands twice');
  });

  it("name files that are missing or no JSON object", () => {
    expect(problem({ file: "none.json" })).toBe("The configuration file none.json does not exist.");
    writeConfig("{");
    expect(problem({})).toMatch(/^mlx-serving\.config\.json is not valid JSON: line 1, column 2: /);
    writeConfig("[]");
    expect(problem({})).toContain("must hold one JSON object");
  });

  it("strictness comes from a flag, a variable or the file", () => {
    const strictOf = (sources: object) => resolveConfig({ folder, ...sources }).strict;
    expect(strictOf({})).toBe(false);
    expect(strictOf({ flags: { strict: true } })).toBe(true);
    expect(strictOf({ environment: { MLX_SERVING_STRICT: "1" } })).toBe(true);
    expect(strictOf({ flags: { strict: false }, environment: { MLX_SERVING_STRICT: "1" } })).toBe(
      false,
    );
    writeFileSync(join(folder, "mlx-serving.config.json"), '{"strict": true}');
    expect(strictOf({})).toBe(true);
  });

  it("refuse syncing a folder that isn't there", () => {
    expect(problem({ environment: { MLX_SERVING_FSYNC: "on" } })).toContain(
      "MLX_SERVING_FSYNC is about stored responses: give --data-dir too",
    );
    expect(resolveConfig({ folder, flags: { fsync: true, dataDir: "d" } }).fsync).toBe(true);
    expect(resolveConfig({ folder, flags: { fsync: "off" } }).fsync).toBe(false);
  });

  it("refuse to quantize a KV cache that isn't there", () => {
    expect(problem({ flags: { kvBits: "8", engine: "fake" } })).toBe(
      "--kv-bits 8 needs --engine mlx: the fake engine keeps no keys and values.",
    );
    expect(
      problem({ environment: { MLX_SERVING_KV_BITS: "4" }, flags: { engine: "fake" } }),
    ).toMatch(/^MLX_SERVING_KV_BITS 4 needs --engine mlx/);
    const config = resolveConfig({ folder, flags: { kvBits: "0", engine: "fake" } });
    expect(config.kvBits).toBe(0);
  });

  it("refuse an open address without a key", () => {
    const message = problem({ flags: { host: "0.0.0.0" } });
    expect(message).toContain("--host 0.0.0.0 is reachable from other machines");
    expect(message).toContain("--api-key-file");
    for (const flags of [{ apiKeyFile: "keys" }, { apiKey: "key" }]) {
      const config = resolveConfig({ folder, flags: { host: "0.0.0.0", ...flags } });
      expect(config.host).toBe("0.0.0.0");
    }
  });

  it("repeats no key, not even a wrong one", () => {
    const wrong = () => resolveConfig({ folder, flags: { apiKey: "top secret" } });
    expect(wrong).toThrow("--api-key must be a key of at most 1,024 printable");
    expect(wrong).not.toThrow("secret");
  });
});

it("names flags and variables after the option", () => {
  expect(flagOf("apiKeyFile")).toBe("--api-key-file");
  expect(variableOf("apiKeyFile")).toBe("MLX_SERVING_API_KEY_FILE");
});

it("finds variables that mean nothing", () => {
  const environment = {
    MLX_SERVING_PROT: "1",
    MLX_SERVING_PORT: "1",
    MLX_SERVING_CACHE: "c",
    MLX_SERVING_NATIVE: "0",
    MLX_SERVING_NATIVE_PARTS: "all",
    HOME: "h",
  };
  expect(unknownVariables(environment)).toEqual(["MLX_SERVING_PROT"]);
});

describe("aliases", () => {
  it.each([
    [
      { alias: "a=b, c=org/d=e" },
      [
        ["a", "b"],
        ["c", "org/d=e"],
      ],
    ],
    [
      { alias: ["a=b", "*=c"] },
      [
        ["a", "b"],
        ["*", "c"],
      ],
    ],
    [{}, []],
  ])("%j are names with ids", (flags, alias) => {
    expect(resolveConfig({ folder, flags }).alias).toEqual(alias);
  });

  it.each(["a", "a=", "=b", "a=b,a=c"])("%s are none", (alias) => {
    expect(problem({ flags: { alias } })).toContain("--alias must be names with the ids of models");
  });
});
