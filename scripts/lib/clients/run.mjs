/** One run of one client: a server with its script, the client's program in folders of its own, and what came of it. */
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { commandLine } from "../../../setup/paths.mjs";
import { environmentFolder } from "../../../setup/python.mjs";
import { startServer } from "../gate/server.mjs";
import { agentTasks } from "./agents.mjs";
import { Disturber } from "./disturber.mjs";
import { libraryScript, task, taskScript } from "./script.mjs";
import { clientTests, examplesFolder } from "./table.mjs";

const runTimeoutMs = 180_000;
const versionTimeoutMs = 30_000;
const outputCharsMax = 200_000;
const problemCharsMax = 300;
/** A call takes long enough that a worker can be killed in it. */
const fakeTokensPerSecond = 500;
const model = "smollm2-135m-instruct";

/**
 * @typedef {{ node: string, modules?: string, python?: string }} Places `node`: the folder with `node`;
 *   `modules`: the client's `node_modules`.
 * @typedef {{ passed: boolean, problem?: string, did: string[], seen: string }} Seen `seen`: what must be the same
 *   whether or not a worker was killed.
 */

/**
 * @param {{ client: import("./table.mjs").Client, places: Places, isDisturbed: boolean, signal: AbortSignal }} options
 * @returns {Promise<Seen>}
 */
export async function runOnce({ client, places, isDisturbed, signal }) {
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-client-"));
  const work = join(folder, "work");
  const home = join(folder, "home");
  for (const one of [work, home]) mkdirSync(one);
  writeFileSync(join(work, "notes.txt"), task.before);
  try {
    const script = join(folder, "script.json");
    writeFileSync(script, JSON.stringify(scriptOf(client, work)));
    const server = await startServer({
      flags: serverFlags(script),
      env: {},
      signal,
      node: join(places.node, "node"),
    });
    const disturber = isDisturbed ? new Disturber(server.url) : undefined;
    try {
      const ended = await runProgram({ client, places, work, home, url: server.url, signal });
      await disturber?.stop();
      if (disturber?.killed === 0) return failed("no worker was killed", ended);
      return judge(client, ended, work);
    } finally {
      await disturber?.stop();
      await server.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function scriptOf({ kind, agent }, work) {
  if (kind === "agent") return taskScript(agentTasks[agent].calls(work));
  return kind === "example" ? exampleScript() : libraryScript();
}

const exampleScript = () => JSON.parse(readFileSync(join(examplesFolder, "script.json"), "utf8"));

const serverFlags = (script) => [
  ...["--engine", "fake", "--fake-script", script, "--log-level", "warn"],
  ...["--fake-tokens-per-second", String(fakeTokensPerSecond), "--drain-timeout", "500ms"],
];

/** Beside the client's packages: Node looks for them in the folders above a program. */
function programBeside({ kind, program }, { modules }, folder) {
  const programs = join(folder, "programs");
  cpSync(kind === "example" ? examplesFolder : clientTests, programs, { recursive: true });
  symlinkSync(modules, join(programs, "node_modules"));
  return join(programs, program);
}

function commandOf(client, places, { url, folder }) {
  const { kind, agent, variant, program } = client;
  const node = join(places.node, "node");
  if (kind === "agent") {
    const launch = [commandLine, "launch", "--url", url, agent, "--"];
    return [node, [...launch, ...agentTasks[agent].args(variant)]];
  }
  if (kind === "example") return [node, [programBeside(client, places, folder), url]];
  const own = variant === undefined ? [] : [variant];
  if (kind === "node") return [node, [programBeside(client, places, folder), ...own]];
  return [places.python, [join(clientTests, program), ...own]];
}

/** Nothing of the user's environment but what programs need to be found and to write. */
function environmentOf(places, home, url) {
  const folders = [places.node];
  if (places.modules !== undefined) folders.unshift(join(places.modules, ".bin"));
  return {
    PATH: [...folders, process.env.PATH].join(delimiter),
    HOME: home,
    TMPDIR: tmpdir(),
    LANG: "C.UTF-8",
    CLIENT_MODEL: model,
    CLIENT_URL: url,
    MLX_SERVING_PYTHON_ENV: environmentFolder(),
    PYTHONDONTWRITEBYTECODE: "1",
    ...quiet,
  };
}

/** Of programs that would ask other servers; there is none but ours here. */
const quiet = {
  OPENCODE_DISABLE_AUTOUPDATE: "1",
  OPENCODE_DISABLE_MODELS_FETCH: "1",
  PI_OFFLINE: "1",
  PI_TELEMETRY: "0",
  QWEN_CODE_SUPPRESS_YOLO_WARNING: "1",
  LITELLM_LOCAL_MODEL_COST_MAP: "True",
  OPENAI_AGENTS_DISABLE_TRACING: "1",
  LANGSMITH_TRACING: "false",
};

function runProgram({ client, places, work, home, url, signal }) {
  const [command, args] = commandOf(client, places, { url, folder: dirname(work) });
  const child = spawn(command, args, {
    cwd: work,
    env: environmentOf(places, home, url),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"])
    child[name].setEncoding("utf8").on("data", (text) => {
      output[name] = (output[name] + text).slice(-outputCharsMax);
    });
  return new Promise((resolve, reject) => {
    let isLate = false;
    const end = () => killGroup(child);
    const timer = setTimeout(() => {
      isLate = true;
      end();
    }, runTimeoutMs);
    signal.addEventListener("abort", end);
    child.once("error", reject);
    child.once("close", (code, how) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason);
      else resolve({ code: code ?? how, isLate, ...output });
    });
  });
}

function killGroup({ pid }) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

const failed = (problem, { stdout = "", stderr = "" }) => ({
  ...{ passed: false, problem: problem.slice(0, problemCharsMax), did: [], seen: "" },
  output: `${stdout}\n${stderr}`.trim(),
});

const howItEnded = ({ code, isLate }) =>
  isLate ? `did not end in ${runTimeoutMs / 1000} s` : `exit ${code}`;

function judge({ kind }, ended, work) {
  if (kind === "agent") return judgeAgent(ended, work);
  return kind === "example" ? judgeExample(ended) : judgeLibrary(ended);
}

/** What every agent of examples/ prints to a model that plays their script. */
const exampleSays = [
  "Let me look.",
  '[weather] {"city":"Oslo","sky":"grey"}',
  '[weather] {"city":"Rome","sky":"blue"}',
  "Oslo is grey, Rome is blue: pack an umbrella and sunglasses.",
];

function judgeExample(ended) {
  const seen = ended.stdout.split("\n").filter((line) => line !== "");
  if (ended.code !== 0) return failed(`${howItEnded(ended)}: ${lastLine(ended.stderr)}`, ended);
  if (JSON.stringify(seen) !== JSON.stringify(exampleSays))
    return failed(`it said: ${seen.join(" / ")}`, ended);
  return { passed: true, did: ["stream", "tools"], seen: JSON.stringify(seen) };
}

/** The task is done when the files say so, whatever the agent prints. */
function judgeAgent(ended, work) {
  const read = (name) =>
    existsSync(join(work, name)) ? readFileSync(join(work, name), "utf8") : "";
  const problems = [
    ...(ended.code === 0 ? [] : [howItEnded(ended)]),
    ...(read("ran.txt") === task.commandOutput ? [] : ["the command did not run"]),
    ...(read("notes.txt") === task.after ? [] : ["the file is unchanged"]),
    ...(ended.stdout.includes(task.answer) ? [] : ["the answer is missing"]),
  ];
  const last = lastLine(ended.stderr) || lastLine(ended.stdout);
  if (problems.length > 0) return failed(`${problems.join(", ")}; it said: ${last}`, ended);
  return { passed: true, did: ["read", "run", "edit", "answer"], seen: task.answer };
}

/** Programs of `tests/clients` print one line of JSON: `[{step, saw} | {step, problem}]`. */
function judgeLibrary(ended) {
  const line = ended.stdout.trim().split("\n").at(-1) ?? "";
  let steps;
  try {
    steps = JSON.parse(line);
  } catch {
    return failed(`${howItEnded(ended)}: ${lastLine(ended.stderr)}`, ended);
  }
  const did = steps.filter(({ problem }) => problem === undefined).map(({ step }) => step);
  const wrong = steps.filter(({ problem }) => problem !== undefined);
  const problem = wrong.map(({ step, problem: is }) => `${step} (${is})`).join("; ");
  const result = wrong.length > 0 ? failed(problem, ended) : { passed: true };
  return { ...result, did, seen: JSON.stringify(steps.map(({ step, saw }) => [step, saw])) };
}

const lastLine = (text) => text.trim().split("\n").at(-1) ?? "";

/** What the user has installed himself, as Claude Code. */
export function isOnPath(name) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.some((folder) => existsSync(join(folder, name)));
}

/** What it calls itself; undefined where it doesn't say. */
export function versionOnPath(name) {
  const { stdout } = spawnSync(name, ["--version"], {
    encoding: "utf8",
    timeout: versionTimeoutMs,
  });
  return stdout?.trim().split("\n")[0] || undefined;
}
