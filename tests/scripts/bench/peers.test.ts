import { describe, expect, it } from "vitest";
import { parseOptions } from "../../../scripts/bench/options.mjs";
import { peersOf } from "../../../scripts/bench/peers/index.mjs";
import { contextArgs } from "../../../scripts/bench/peers/llama-server.mjs";
import { installedPeers } from "../../../scripts/bench/peers/on-macs.mjs";
import { startProcess } from "../../../scripts/bench/peers/process.mjs";
import { scenarios } from "../../../scripts/bench/scenarios/index.mjs";

const signal = new AbortController().signal;
const needs = { rows: 2, rowTokens: 100 };

describe("the command line", () => {
  it("is everything by default", () => {
    expect(parseOptions([])).toMatchObject({
      ...{ scenarios, chosen: undefined, given: [], variants: [], size: "full", alone: false },
      ...{ rounds: undefined, timeoutMs: 600_000 },
    });
  });

  it("takes lists, pairs and counts", () => {
    const args = ["--scenarios", "agents,streams", "--peers", "none", "--rounds", "7", "--quick"];
    const pairs = ["--peer", "a=http://x/v1", "--variant", "off=--native off"];
    const options = parseOptions([...args, ...pairs]);
    expect(options.scenarios.map(({ id }) => id)).toEqual(["streams", "agents"]);
    expect(options).toMatchObject({
      ...{ chosen: [], rounds: 7, size: "quick" },
      given: [{ name: "a", url: "http://x/v1" }],
      variants: [{ name: "off", flags: ["--native", "off"] }],
    });
  });

  it.each([
    [["--scenarios", "nothing"], "--scenarios: there is no nothing."],
    [["--rounds", "0"], "--rounds must be a whole number above 0."],
    [["--peer", "http"], "--peer must be name=value, not “http”."],
    [["--peer", "a=b"], "--peer a must have an http address."],
  ])("refuses %s", (args, message) => expect(() => parseOptions(args)).toThrow(message));
});

describe("the peers", () => {
  const all = { modelFolder: "/model", given: [], variants: [] };

  it("are ours first, then those that are asked for", () => {
    const given = [{ name: "a", url: "http://127.0.0.1:1" }];
    const variants = [{ name: "off", flags: ["--native", "off"] }];
    const peers = peersOf({ ...all, chosen: ["mlx-lm"], given, variants });
    expect(peers.map(({ id }) => id)).toEqual(["ours", "off", "mlx-lm", "a"]);
  });

  it("are known", () => {
    expect(() => peersOf({ ...all, chosen: ["nobody"] })).toThrow("There is no peer nobody");
  });

  it("of Macs are there where their program is", async () => {
    const installed = new Set(["rapid-mlx", "lms"]);
    const find = (name: string) => (installed.has(name) ? `/bin/${name}` : undefined);
    const peers = installedPeers("/model", find);
    expect(peers.map(({ id }) => id)).toEqual(["rapid-mlx", "lm-studio"]);
    expect(peers[0]!.command).toBe("rapid-mlx serve FOLDER --port PORT");
  });

  it("say why they are not there", async () => {
    const [, other] = peersOf({
      ...{ ...all, chosen: [] },
      given: [{ name: "a", url: "http://127.0.0.1:1/v1" }],
    });
    await expect(other!.start({ needs, signal })).rejects.toMatchObject({
      ...{ name: "Unavailable", message: "nothing answers at http://127.0.0.1:1/v1/models" },
    });
    const [, llama] = peersOf({ ...all, model: "other-model", chosen: ["llama-server"] });
    await expect(llama!.start({ needs, signal })).rejects.toThrow("--gguf");
  });
});

describe("llama-server's context", () => {
  it("is split over its slots", () => {
    expect(contextArgs({ rows: 8, rowTokens: 1_000 })).toEqual([
      ...["--parallel", "8", "--ctx-size", "8192", "--no-kv-unified"],
    ]);
  });

  it("is shared where rows differ much", () => {
    expect(contextArgs({ rows: 16, rowTokens: 7_700, totalTokens: 10_000 })).toEqual([
      ...["--parallel", "16", "--ctx-size", "10240", "--kv-unified"],
    ]);
  });
});

describe("a program", () => {
  const start = (script: string, more: object = {}) =>
    startProcess({
      ...{ command: process.execPath, health: "/health", signal },
      args: (port: number) => ["-e", script, String(port)],
      ...more,
    });

  it("is waited for until it answers 200, and ends with all that it started", async () => {
    const script = `
      let asked = 0;
      require("node:http").createServer((_, answer) => {
        answer.writeHead(asked++ < 2 ? 503 : 200).end();
      }).listen(Number(process.argv[1]), "127.0.0.1");`;
    const server = await start(script);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    await server.stop();
    expect(() => process.kill(server.pid!, 0)).toThrow("ESRCH");
  });

  it("that ends before is told with its last line", async () => {
    await expect(start('console.error("first\\nno such model"); process.exit(3)')).rejects.toThrow(
      "it ended before it was ready: exit code 3 (no such model)",
    );
  });

  it("that isn't there is told", async () => {
    await expect(start("", { command: "/nowhere/server" })).rejects.toThrow("ENOENT");
  });

  it("that never answers is ended", async () => {
    await expect(start("setInterval(() => {}, 1000)", { readyMs: 300 })).rejects.toThrow(
      "it was not ready after 0.3 s",
    );
  });

  it("gets no variables that slow it down", async () => {
    process.env.OPENBLAS_CORETYPE = "Haswell";
    try {
      const script = "console.error(String(process.env.OPENBLAS_CORETYPE)); process.exit(1)";
      await expect(start(script)).rejects.toThrow("exit code 1 (undefined)");
    } finally {
      delete process.env.OPENBLAS_CORETYPE;
    }
  });
});
