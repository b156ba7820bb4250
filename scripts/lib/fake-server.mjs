/** The built server with the fake engine, as a process of its own, for scripts that look at its console. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { commandLine, packageRoot } from "../../setup/paths.mjs";

const script = join(packageRoot, "tests", "fixtures", "console-script.json");

export async function startFakeServer({ flags }) {
  const args = ["serve", "--port", "0", "--engine", "fake", "--fake-script", script, ...flags];
  const child = spawn(process.execPath, [commandLine, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  const url = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    child.stdout.setEncoding("utf8").on("data", (text) => {
      said += text;
      const found = /ready on (\S+)\n/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return {
    url,
    async stop() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
