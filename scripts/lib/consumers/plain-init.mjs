/**
 * README's program in a project as `tsc --init` makes it, with the four lines that README gives: compiled by each
 * TypeScript that it names, and run.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";
import { startFakeServer } from "../fake-server.mjs";
import { succeed } from "./project.mjs";

/** The last of 5, whose `--init` other versions follow, and the one that the project is built with. */
const versions = ["5.9.3", "7.0.2"];
const nodeTypes = "@types/node@20.19.43";
const quiet = ["--no-audit", "--no-fund", "--prefer-offline"];

/** The first block of this language in README after these words. */
export function blockAfter(words, language) {
  const page = readFileSync(join(packageRoot, "README.md"), "utf8");
  const rest = page.slice(page.indexOf(words));
  const block = new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "s").exec(rest)?.[1];
  if (!page.includes(words) || block === undefined)
    throw new Error(`README has no ${language} after ${words}`);
  return block;
}

/** Each line in place of the one with its name, or at the top where there is none. */
export function withLines(tsconfig, lines) {
  return lines
    .trim()
    .split("\n")
    .reduce((text, line) => {
      const name = /^"(\w+)":/.exec(line)?.[1];
      const own = new RegExp(`^ *"${name}":.*$`, "m");
      if (own.test(text)) return text.replace(own, `    ${line}`);
      return text.replace(/"compilerOptions": \{/, (head) => `${head}\n    ${line}`);
    }, tsconfig);
}

/** One installation for all: each compiler has a name of its own in it, and a project in a folder. */
const alias = (version) => `typescript-${version}`;
const defaultUrl = "ws://127.0.0.1:8088";

/** Compiles it with each TypeScript; returns the folders of the projects. */
export function compileAfterInit(folder, tarball) {
  const program = blockAfter("**TypeScript**, over one WebSocket", "ts");
  const lines = blockAfter("as `tsc --init` makes it", "json");
  if (lines.trim().split("\n").length !== 4) throw new Error(`README gives other lines:\n${lines}`);
  mkdirSync(folder, { recursive: true });
  const manifest = '{"name": "plain", "private": true, "type": "module"}';
  writeFileSync(join(folder, "package.json"), manifest);
  const compilers = versions.map((version) => `${alias(version)}@npm:typescript@${version}`);
  succeed(folder, ["npm", "install", ...quiet, ...compilers, nodeTypes, tarball]);
  return versions.map((version) => {
    const own = join(folder, version);
    mkdirSync(own);
    writeFileSync(join(own, "package.json"), manifest);
    const tsc = ["node", join(folder, "node_modules", alias(version), "bin", "tsc")];
    succeed(own, [...tsc, "--init"]);
    const path = join(own, "tsconfig.json");
    writeFileSync(path, withLines(readFileSync(path, "utf8"), lines));
    writeFileSync(join(own, "program.ts"), program);
    succeed(own, tsc);
    return own;
  });
}

/** Runs what was compiled with each of these Nodes, on a server with the fake engine. */
export async function runCompiled(projects, nodes) {
  const server = await startFakeServer({ flags: ["--log-level", "error"] });
  try {
    for (const own of projects) {
      const compiled = readFileSync(join(own, "program.js"), "utf8");
      if (!compiled.includes(defaultUrl))
        throw new Error(`README's program names no ${defaultUrl}`);
      const path = join(own, "here.js");
      writeFileSync(path, compiled.replace(defaultUrl, server.url));
      for (const node of nodes) {
        const said = succeed(own, [node, path]);
        if (said.trim() === "") throw new Error(`${path} printed nothing, by ${node}`);
      }
    }
  } finally {
    await server.stop();
  }
}
