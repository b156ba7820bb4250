/** README's program in a project as `tsc --init` makes it, with the four lines that README gives: compiled by each TypeScript that it names. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";
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

/** Compiles it, and has Node read what was made of it. */
export function compileAfterInit(folder, tarball) {
  const program = blockAfter("**TypeScript**, over one WebSocket", "ts");
  const lines = blockAfter("as `tsc --init` makes it", "json");
  if (lines.trim().split("\n").length !== 4) throw new Error(`README gives other lines:\n${lines}`);
  for (const version of versions) {
    const own = join(folder, version);
    mkdirSync(own, { recursive: true });
    writeFileSync(
      join(own, "package.json"),
      '{"name": "plain", "private": true, "type": "module"}',
    );
    succeed(own, ["npm", "install", ...quiet, `typescript@${version}`, nodeTypes, tarball]);
    succeed(own, ["npx", "tsc", "--init"]);
    const path = join(own, "tsconfig.json");
    writeFileSync(path, withLines(readFileSync(path, "utf8"), lines));
    writeFileSync(join(own, "program.ts"), program);
    succeed(own, ["npx", "tsc"]);
    succeed(own, ["node", "--check", "program.js"]);
  }
}
