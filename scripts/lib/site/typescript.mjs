/** The reference of the TypeScript library: TypeDoc over what the package exports. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join, posix } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";
import { run } from "../../../setup/process.mjs";
import { targetOf, withLinks } from "./links.mjs";
import { slugOf } from "./slugs.mjs";

const site = join(packageRoot, "site");
const output = join(site, "build", "typedoc");

/** TypeDoc names modules by their files, a program by the package's exports. */
const exported = {
  index: "mlx-serving",
  "create-engine": "mlx-serving/engine",
  client: "mlx-serving/client",
  "client/limits": "mlx-serving/client: limits",
};
const words = `What TypeScript programs import, generated from the sources. \`mlx-serving/machines/schemas\` has Zod schemas of what the machines take and give; what the schemas of \`mlx-serving/client\` describe is in [bodies of HTTP](http-schemas.md) and [of the socket](socket-schemas.md).`;

/**
 * @param {ReadonlySet<string>} schemas Names of components in the reference of HTTP.
 * @returns {Promise<Record<string, string>>} Markdown by page.
 */
export async function typescriptReference(schemas) {
  rmSync(output, { recursive: true, force: true });
  const typedoc = join(site, "node_modules", "typedoc", "bin", "typedoc");
  await run(process.execPath, [typedoc], { cwd: site });
  const modules = readdirSync(output, { recursive: true })
    .filter((file) => file.endsWith(".md") && file !== "README.md")
    .map((file) => ({ file, name: moduleOf(file) }))
    .sort((a, b) => order(a.name) - order(b.name) || a.name.localeCompare(b.name));
  const pages = modules.map(({ file, name }) => {
    const text = readFileSync(join(output, file), "utf8");
    return [pageOfModule(name), modulePage(text, file, schemas)];
  });
  const list = modules.map(({ name }) => `- [\`${titleOf(name)}\`](${pageOfModule(name)}.md)`);
  return {
    typescript: ["# TypeScript", words, list.join("\n")].join("\n\n"),
    ...Object.fromEntries(pages),
  };
}

const order = (name) => (name in exported ? Object.keys(exported).indexOf(name) : 99);
const titleOf = (name) => exported[name] ?? `mlx-serving/${name}`;

/** The module of a file of TypeDoc's: `client/namespaces/limits.md` is `client/limits`. */
export const moduleOf = (file) =>
  file.replace(/\/README\.md$|\.md$/, "").replace("/namespaces/", "/");

const pageOfModule = (name) => `typescript-${name.replaceAll("/", "-").toLowerCase()}`;

/** Its title, its links, and types that a schema describes, as this site has them. Pure. */
export function modulePage(text, file, schemas) {
  const named = text.replace(/^# .*$/m, `# ${titleOf(moduleOf(file))}`);
  // Links to the page itself lack its name.
  const linked = withLinks(named, (href) => {
    const target = targetOf(file, href);
    if (target.path === undefined || target.path === file) return href;
    const anchor = target.anchor === undefined ? "" : `#${target.anchor}`;
    return `${pageOfModule(moduleOf(posix.normalize(target.path)))}.md${anchor}`;
  });
  return linked.replace(
    /`z\.infer`\\<\*typeof\* (?:\[`(\w+)`\]\([^)]*\)|`(\w+)`)\\>/g,
    (_, a, b) => {
      const name = a ?? b;
      return schemas.has(name)
        ? `[${name}](http-schemas.md#${slugOf(name)})`
        : `the type of \`${name}\``;
    },
  );
}
