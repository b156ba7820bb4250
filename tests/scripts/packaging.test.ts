/** Files for supervisors, containers and a public host name only what there is, and give the server its time to drain. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { packageRoot as root } from "../../setup/paths.mjs";
import { environmentFolder, interpreterOf } from "../../setup/python.mjs";
import { serveCommand } from "../../src-ts/cli/serve.js";
import { resolveConfig, unknownVariables } from "../../src-ts/config.js";

const read = (path: string) => readFileSync(join(root, path), "utf8");
const packed = (name: string) => read(`docs/packaging/${name}`);
const files = readdirSync(join(root, "docs/packaging"));
const manifest = JSON.parse(read("package.json")) as {
  version: string;
  license: string;
  scripts: Record<string, string>;
};
const folder = mkdtempSync(join(tmpdir(), "mlx-serving-packaging-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The options that a command line of `mlx-serving serve` comes to; throws for what isn't one. */
function optionsOf(words: readonly string[]) {
  const at = words.indexOf("serve");
  expect(words[at - 1]).toMatch(/(^|\/)mlx-serving$/);
  const command = serveCommand()
    .exitOverride()
    .configureOutput({ writeErr() {} });
  const { operands, unknown } = command.parseOptions([...words.slice(at + 1)]);
  expect([...operands, ...unknown]).toEqual([]);
  const { build, ...flags } = command.opts();
  if (build === false) flags.noBuild = true;
  return resolveConfig({ flags, file: null });
}

it("finds a flag that there isn't", () => {
  expect(() => optionsOf(["mlx-serving", "serve", "--drain-time", "1s"])).toThrow();
  expect(() => optionsOf(["mlx-serving", "serve", "--drain-timeout", "soon"])).toThrow(
    "drain-timeout",
  );
});

describe.each(["mlx-serving.service", "mlx-serving.user.service"])("%s", (name) => {
  const lines = packed(name)
    .split("\n")
    .filter((line) => /^\w+=/.test(line));
  const valuesOf = (key: string) =>
    lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
  const [start] = valuesOf("ExecStart");

  it("starts with options that there are, and waits for the drain", () => {
    const { drainTimeout } = optionsOf(start!.split(" "));
    const [, seconds] = /^(\d+)s$/.exec(valuesOf("TimeoutStopSec")[0]!)!;
    expect(Number(seconds) * 1000).toBeGreaterThan(drainTimeout);
    expect(valuesOf("KillMode")).toEqual(["mixed"]);
  });

  it("sets variables that there are", () => {
    const pairs = valuesOf("Environment").flatMap((value) => value.split(" "));
    const names = Object.fromEntries(pairs.map((pair) => pair.split("=")));
    expect(unknownVariables(names)).toEqual([]);
  });

  it("is good for systemd, where there is one", () => {
    // It looks for the program too.
    const text = packed(name).replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`);
    const path = join(folder, name.replace(".user.", "-user."));
    writeFileSync(path, text);
    const runtime = join(folder, "runtime");
    mkdirSync(runtime, { recursive: true, mode: 0o700 });
    const whose = name.includes(".user.") ? ["--user"] : [];
    const { error, status, stderr } = spawnSync("systemd-analyze", [...whose, "verify", path], {
      encoding: "utf8",
      env: { ...process.env, XDG_RUNTIME_DIR: runtime },
    });
    if (error === undefined) expect([status, stderr]).toEqual([0, ""]);
    else expect(error).toMatchObject({ code: "ENOENT" });
  });
});

it("mlx-serving.env has options that there are, with values that may be", () => {
  const pairs = [...packed("mlx-serving.env").matchAll(/^#?([A-Z_]+)=(.*)$/gm)].map(
    ([, name, value]) => [name!, value!] as const,
  );
  const environment = Object.fromEntries(pairs);
  expect(pairs.length).toBeGreaterThan(5);
  expect(unknownVariables(environment)).toEqual([]);
  // `fsync` is about a folder that the unit names.
  resolveConfig({ environment: { ...environment, MLX_SERVING_DATA_DIR: "x" }, file: null });
});

describe.each(["mlx-serving.agent.plist", "mlx-serving.daemon.plist"])("%s", (name) => {
  const script =
    "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
  const job = JSON.parse(
    execFileSync(
      interpreterOf(environmentFolder()),
      ["-c", script, join(root, "docs/packaging", name)],
      { encoding: "utf8" },
    ),
  ) as {
    ProgramArguments: string[];
    ExitTimeOut: number;
    EnvironmentVariables: Record<string, string>;
  };

  it("starts with options that there are, and waits for the drain", () => {
    expect(job.ExitTimeOut * 1000).toBeGreaterThan(optionsOf(job.ProgramArguments).drainTimeout);
    expect(unknownVariables(job.EnvironmentVariables)).toEqual([]);
  });
});

it("the formula has the package's version and license, and starts with options that there are", () => {
  const formula = packed("mlx-serving.rb");
  const [, version, license] = /^ {2}version "(.*)"$[\s\S]*^ {2}license "(.*)"$/m.exec(formula)!;
  expect([version, license]).toEqual([manifest.version, manifest.license]);
  const [, run] = /^ {4}run \[(.*)\]$/m.exec(formula)!;
  const words = run!.split(", ").map((word) => word.replace(/^\w+\//, "").replaceAll('"', ""));
  // launchd's own limit, which the formula can't change.
  expect(optionsOf(words).drainTimeout).toBeLessThan(20_000);
});

it("the container starts with options that there are, and copies from stages that there are", () => {
  const text = packed("Containerfile").replaceAll("\\\n", " ");
  optionsOf(JSON.parse(/^CMD (.*)$/m.exec(text)![1]!));
  const stages = [...text.matchAll(/^FROM \S+ AS (\w+)$/gm)].map(([, stage]) => stage);
  const copied = [...text.matchAll(/--from=(\w+)/g)].map(([, stage]) => stage);
  expect([...new Set(copied)]).toEqual(stages);
  const pairs = [...text.matchAll(/(MLX_SERVING_\w+)=(\S+)/g)].map(([, key, value]) => [
    key,
    value,
  ]);
  expect(unknownVariables(Object.fromEntries(pairs))).toEqual([]);
});

describe("the page", () => {
  const page = read("docs/PACKAGING.md");

  it("has every file and every placeholder, and where it is", () => {
    expect(files.filter((name) => !page.includes(`(packaging/${name})`))).toEqual([]);
    const stands = new Set(files.flatMap((name) => packed(name).match(/__[A-Z0-9]+__/g) ?? []));
    const named = [...page.matchAll(/^\| `(__[A-Z0-9]+__)` \|/gm)].map(([, name]) => name!);
    expect([...stands].sort()).toEqual(named.sort());
  });

  it("installs this version", () => {
    const versions = [...page.matchAll(/mlx-serving-([\d.]+)\.tgz/g)].map(([, version]) => version);
    expect(new Set(versions)).toEqual(new Set([manifest.version]));
  });
});

interface Workflow {
  jobs: Record<string, { steps: { run?: string; uses?: string }[] }>;
}

describe.each(readdirSync(join(root, ".github/workflows")))("workflow %s", (name) => {
  const workflow = parse(read(`.github/workflows/${name}`)) as Workflow;
  const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);
  const commands = steps.flatMap(({ run }) => (run === undefined ? [] : [run])).join("\n");

  it("runs scripts and files that there are", () => {
    const scripts = [...commands.matchAll(/npm (?:run ([\w:-]+)|(start|test))\b/g)];
    expect(scripts.length).toBeGreaterThan(0);
    const names = scripts.map(([, named, own]) => named ?? own!);
    expect(names.filter((script) => !Object.hasOwn(manifest.scripts, script))).toEqual([]);
    const paths = [
      ...commands.matchAll(/(?<=^|[\s"/])(?:\.github|docs|tests|python|dist)\/[\w./-]+/gm),
    ];
    const absent = paths.map(([path]) => path).filter((path) => !existsSync(join(root, path)));
    expect(absent).toEqual([]);
  });

  it("starts servers with options that there are", () => {
    const starts = commands.matchAll(
      /(?:npm start --|mlx-serving serve) ((?:--?[\w-]+|[\w,.:]+| )+)$/gm,
    );
    for (const [, flags] of starts) optionsOf(["mlx-serving", "serve", ...flags!.split(" ")]);
  });

  it("takes actions by their commits", () => {
    const used = steps.flatMap(({ uses }) => uses ?? []);
    expect(used.filter((action) => !/^[\w.-]+\/[\w.-]+@[0-9a-f]{40}$/.test(action))).toEqual([]);
  });
});

it("what is signed is found when it has changed", () => {
  const release = join(folder, "release");
  mkdirSync(release);
  writeFileSync(join(release, "a.tgz"), "as it was");
  const key = join(folder, "key");
  const { error } = spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  // Not on every machine.
  if (error !== undefined) return expect(error).toMatchObject({ code: "ENOENT" });
  execFileSync(join(root, ".github/sign.sh"), [release, key]);
  const signers = join(folder, "signers");
  writeFileSync(signers, `mlx-serving ${readFileSync(`${key}.pub`, "utf8")}`);
  const check = () => {
    const verify = ["-Y", "verify", "-f", signers, "-I", "mlx-serving", "-n", "file"];
    const signature = ["-s", join(release, "SHA256SUMS.sig")];
    const input = readFileSync(join(release, "SHA256SUMS"));
    const signed = spawnSync("ssh-keygen", [...verify, ...signature], { input });
    const sums = spawnSync("shasum", ["-a", "256", "--check", "SHA256SUMS"], { cwd: release });
    return [signed.status === 0, sums.status === 0];
  };
  expect(check()).toEqual([true, true]);
  writeFileSync(join(release, "a.tgz"), "as it wasn't");
  expect(check()).toEqual([true, false]);
  const sums = join(release, "SHA256SUMS");
  writeFileSync(sums, readFileSync(sums, "utf8").replace("a.tgz", "b.tgz"));
  expect(check()[0]).toBe(false);
});
