/** Prometheus itself: found on the path, or fetched from Debian's archive into the user's cache, once; run, asked. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { findOnPath } from "../../../setup/native/tools.mjs";
import { cacheFolder } from "../../../setup/paths.mjs";
import { run, SetupError } from "../../../setup/process.mjs";
import { freePort } from "../processes.mjs";

const missing =
  "There is no Prometheus: install it (apt-get install prometheus, brew install prometheus), or run this where apt-get is.";

/** @returns {Promise<{ prometheus: string, promtool: string }>} */
export async function findPrometheus(signal) {
  const onPath = { prometheus: findOnPath("prometheus"), promtool: findOnPath("promtool") };
  if (onPath.prometheus !== undefined && onPath.promtool !== undefined) return onPath;
  const folder = join(cacheFolder(), "prometheus");
  const bin = join(folder, "usr", "bin");
  const own = { prometheus: join(bin, "prometheus"), promtool: join(bin, "promtool") };
  if (existsSync(own.prometheus)) return own;
  if (findOnPath("apt-get") === undefined || findOnPath("dpkg-deb") === undefined)
    throw new SetupError(missing);
  mkdirSync(folder, { recursive: true });
  await run("apt-get", ["download", "prometheus"], { cwd: folder, signal, failure: missing });
  const archive = readdirSync(folder).find((name) => name.endsWith(".deb"));
  await run("dpkg-deb", ["-x", archive, "."], { cwd: folder, signal, failure: missing });
  return own;
}

export class Prometheus {
  constructor(child, url) {
    this.child = child;
    this.url = url;
    this.exited = once(child, "exit");
  }

  static async start(program, { config, data }) {
    const port = await freePort();
    const child = spawn(
      program,
      [
        ...[`--config.file=${config}`, `--storage.tsdb.path=${data}`],
        ...[`--web.listen-address=127.0.0.1:${port}`, "--log.level=error"],
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const one = new Prometheus(child, `http://127.0.0.1:${port}`);
    const dead = one.exited.then(([code]) => {
      throw new Error(`Prometheus ended with ${code}`);
    });
    await Promise.race([one.#untilReady(), dead]);
    dead.catch(() => {});
    return one;
  }

  async #untilReady() {
    for (;;) {
      const answer = await fetch(`${this.url}/-/ready`).catch(() => undefined);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Series with their values now. Throws Prometheus' own words for what is no query. */
  async query(expr) {
    const answer = await this.#ask("query", { query: expr });
    return answer.result;
  }

  async alerts() {
    const { groups } = await this.#ask("rules", { type: "alert" });
    return groups.flatMap(({ rules }) => rules);
  }

  async targets() {
    return (await this.#ask("targets", {})).activeTargets;
  }

  async #ask(what, parameters) {
    const answer = await fetch(`${this.url}/api/v1/${what}?${new URLSearchParams(parameters)}`);
    const { status, error, data } = await answer.json();
    if (status !== "success") throw new Error(error);
    return data;
  }

  async stop() {
    this.child.kill("SIGTERM");
    await this.exited;
  }
}
