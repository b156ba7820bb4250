/**
 * Runs the blocks of one page in their order, as a reader would in a terminal: in an empty folder beside a clone
 * (`mlx-serving`), with a server that the page starts itself, or that is started for it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { transform } from "esbuild";
import { setupFolder } from "../../../setup/clone/node.mjs";
import { cacheFolder, commandLine, packageRoot, pythonProject } from "../../../setup/paths.mjs";
import { environmentFolder, interpreterOf } from "../../../setup/python.mjs";
import { freePort, signalGroup } from "../processes.mjs";
import { blocksOf, isTypeScript, programOf, serverFlags } from "./blocks.mjs";
import { missingLine } from "./output.mjs";

const blockTimeoutMs = 600_000;
const startTimeoutMs = 300_000;
const outputTimeoutMs = 30_000;
const usualPort = /(?<=(?:127\.0\.0\.1|localhost):)8088/g;

export class BlockFailed extends Error {
  name = "BlockFailed";
}

/**
 * @param {string} path Of the page, in the repository.
 * @param {{ wants?: (block: import("./blocks.mjs").Block) => boolean, python?: string, onBlock?: (block, what: string) => void }} options
 *   `wants`: the blocks to run, of those that can be; `python`: the folder of its programs.
 * @returns {Promise<{ ran: number, skipped: number }>} Rejects with BlockFailed at the first block that fails.
 */
export async function runPage(path, options = {}) {
  const markdown = readFileSync(join(packageRoot, path), "utf8");
  const blocks = blocksOf(path, markdown);
  const page = new Page(path, blocks, serverFlags(markdown), options);
  try {
    return await page.run();
  } finally {
    await page.end();
  }
}

class Page {
  constructor(path, blocks, flags, { wants = () => true, python, onBlock = () => {} }) {
    Object.assign(this, { path, blocks, flags, wants, onBlock });
    this.folder = mkdtempSync(join(tmpdir(), "mlx-serving-page-"));
    this.cwd = join(this.folder, "work");
    this.state = join(this.folder, "state.sh");
    const programs = join(this.folder, "bin");
    for (const one of [this.cwd, programs, join(this.folder, "home")]) mkdirSync(one);
    symlinkSync(packageRoot, join(this.cwd, "mlx-serving"));
    const program = `#!/bin/sh\nexec "${process.execPath}" "${commandLine}" "$@"\n`;
    writeFileSync(join(programs, "mlx-serving"), program, { mode: 0o755 });
    const own = Object.entries(process.env).filter(
      ([name]) => !/^(npm_|MLX_SERVING_|VITEST|NODE_ENV)/.test(name),
    );
    this.env = {
      ...Object.fromEntries(own),
      HOME: join(this.folder, "home"),
      // What was fetched before is not fetched again.
      MLX_SERVING_CACHE: cacheFolder(),
      npm_config_cache: join(homedir(), ".npm"),
      npm_config_userconfig: join(homedir(), ".npmrc"),
      PIP_DISABLE_PIP_VERSION_CHECK: "1",
      NO_COLOR: "1",
      PATH: [programs, ...(python === undefined ? [] : [python]), process.env.PATH].join(":"),
    };
    this.printed = "";
    this.started = undefined;
    this.startsItself = blocks.some(
      ({ notes }) => notes.starts !== undefined && notes.skip === undefined,
    );
  }

  async run() {
    const count = { ran: 0, skipped: 0 };
    this.port = await freePort();
    for (const block of this.blocks) {
      const act =
        block.notes.skip === undefined && this.wants(block) ? this.actionFor(block) : undefined;
      if (act === undefined) {
        count.skipped += 1;
        continue;
      }
      this.onBlock(block, act.name);
      await act.call(this, block);
      count.ran += 1;
    }
    return count;
  }

  /** Undefined: nothing is done for it. */
  actionFor(block) {
    const { notes, language } = block;
    if (notes.file !== undefined) return this.writeFile;
    if (notes.output !== undefined) return this.checkOutput;
    if (notes.starts !== undefined) return this.start;
    if (language === "sh") return this.runShell;
    if (isTypeScript(block)) return this.runProgram;
    return language === "python" ? this.runPython : undefined;
  }

  writeFile({ notes, code }) {
    const path = join(this.cwd, notes.file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${this.ported(code)}\n`);
  }

  async runShell(block) {
    await this.ready(block);
    const script = [
      "set -eo pipefail",
      `[ ! -f "${this.state}" ] || . "${this.state}"`,
      this.ported(block.code),
      `export -p > "${this.state}"; pwd > "${this.state}.cwd"`,
    ].join("\n");
    await this.finish(block, "bash", ["-c", script]);
    this.cwd = readFileSync(`${this.state}.cwd`, "utf8").trim();
  }

  async runProgram(block) {
    await this.ready(block);
    const source = this.ported(programOf(this.blocks, block));
    const { code } = await transform(source, { loader: "ts", format: "esm", target: "node20.11" });
    // Below the package, so that it finds it by its name.
    const folder = join(setupFolder, "pages");
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${this.path.replaceAll("/", "-")}-${block.line}-${process.pid}.mjs`);
    writeFileSync(file, code);
    try {
      await this.finish(block, process.execPath, [file]);
    } finally {
      rmSync(file);
    }
  }

  async runPython(block) {
    await this.ready(block);
    const python = block.notes.worker === undefined ? "python" : interpreterOf(environmentFolder());
    const code = this.ported(programOf(this.blocks, block));
    await this.finish(block, python, ["-c", code], { PYTHONPATH: pythonProject });
  }

  /** The page's own server goes on while the rest is done. */
  async start(block) {
    await this.before(block);
    this.launch(
      "bash",
      [
        "-c",
        `cd "${this.cwd}"; ${existsSync(this.state) ? `. "${this.state}";` : ""} ${this.ported(block.code)}`,
      ],
      block,
    );
    await this.waitFor(
      block,
      (printed) => printed.includes(" ready on "),
      startTimeoutMs,
      "is not ready",
    );
  }

  async checkOutput(block) {
    const expected = this.ported(block.code);
    const current = () => (this.lastStarted ? this.started.printed : this.printed);
    if (this.lastStarted && missingLine(current(), expected) !== undefined)
      await this.waitFor(
        block,
        (printed) => missingLine(printed, expected) === undefined,
        outputTimeoutMs,
        "does not say so",
      ).catch(() => {});
    const missing = missingLine(current(), expected);
    if (missing !== undefined) throw failed(block, `nothing says "${missing}"`, current());
  }

  /** A server, if the block speaks to one and the page starts none. */
  async ready(block) {
    await this.before(block);
    usualPort.lastIndex = 0;
    if (this.started !== undefined || this.startsItself || !usualPort.test(block.code)) return;
    this.launch(process.execPath, [commandLine, "serve", ...this.flags], block, packageRoot);
    await this.waitFor(
      block,
      (printed) => printed.includes(" ready on "),
      startTimeoutMs,
      "is not ready",
    );
  }

  async before({ notes }) {
    if (notes.interrupt === undefined || this.started === undefined) return;
    await stop(this.started, "SIGINT");
    this.started = undefined;
  }

  launch(command, args, block, cwd = this.cwd) {
    // What a model would say matters on no page; a flag of the page's own wins over this.
    const env = { ...this.env, MLX_SERVING_PORT: String(this.port), MLX_SERVING_ENGINE: "fake" };
    this.started = launch(command, args, { cwd, env });
    this.lastStarted = block.notes.starts !== undefined;
  }

  async waitFor(block, holds, timeoutMs, words) {
    const begin = performance.now();
    while (!holds(this.started.printed)) {
      if (this.started.child.exitCode !== null || performance.now() - begin > timeoutMs)
        throw failed(block, `what it starts ${words}`, this.started.printed);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async finish(block, command, args, env = {}) {
    const run = launch(command, args, { cwd: this.cwd, env: { ...this.env, ...env } });
    const timer = setTimeout(() => signalGroup(run.child.pid, "SIGKILL"), blockTimeoutMs);
    const [code, signal] = await run.ended;
    clearTimeout(timer);
    this.printed = run.printed;
    this.lastStarted = false;
    if (code !== 0) throw failed(block, `it ended with ${signal ?? code}`, run.printed);
  }

  ported(text) {
    return text.replace(usualPort, String(this.port));
  }

  async end() {
    if (this.started !== undefined) await stop(this.started, "SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function launch(command, args, { cwd, env }) {
  const child = spawn(command, args, {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const run = { child, printed: "", ended: once(child, "close") };
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      run.printed += text;
    });
  return run;
}

async function stop({ child, ended }, signal) {
  if (child.exitCode === null) signalGroup(child.pid, signal);
  await ended;
}

const tailChars = 4000;

function failed({ page, line }, words, printed) {
  return new BlockFailed(`${page}:${line}: ${words}\n${printed.slice(-tailChars)}`);
}
