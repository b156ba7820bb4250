/** What the package says of itself: one version, no link that leads nowhere, no dependency that Node 20 refuses. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { openApiDocument } from "../../src-ts/protocol/openapi.js";
import { version } from "../../src-ts/protocol/version.js";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const manifest = JSON.parse(read("package.json")) as Record<string, unknown>;
const lock = JSON.parse(read("package-lock.json")) as {
  version: string;
  packages: Record<string, { version?: string; dev?: boolean; engines?: { node?: string } }>;
};

it("has one version number", () => {
  const inToml = (path: string, name: string) =>
    new RegExp(`^name = "${name}"\\nversion = "([^"]+)"$`, "m").exec(read(path))?.[1];
  expect({
    manifest: manifest.version,
    lock: [lock.version, lock.packages[""]!.version],
    worker: inToml("python/pyproject.toml", "mlx-serving-worker"),
    workersLock: inToml("python/uv.lock", "mlx-serving-worker"),
    documents: openApiDocument().info.version,
  }).toEqual({
    manifest: version,
    lock: [version, version],
    worker: version,
    workersLock: version,
    documents: version,
  });
});

it("names no host that there isn't", () => {
  for (const field of ["repository", "homepage", "bugs"]) expect(manifest[field]).toBeUndefined();
});

/** Whether a range of npm's takes this version of Node; of those that packages write there. */
function takes(range: string, [major, minor]: readonly [number, number]): boolean {
  return range.split("||").some((part) =>
    part
      .trim()
      .split(/(?<=\d\S*)\s+(?=[<>^~=\d])/)
      .every((bound) => {
        const [, sign = "", a = "0", b = "0"] =
          /^([<>=^~]*)\s*v?(\d+)(?:\.(\d+))?/.exec(bound) ?? [];
        const order = major - Number(a) || minor - Number(b);
        if (sign === "<") return order < 0;
        if (sign === "^" || sign === "") return major === Number(a) && order >= 0;
        if (sign === ">=") return order >= 0;
        throw new Error(`a range of another kind: ${bound}`);
      }),
  );
}

describe("dependencies", () => {
  const oldest = [20, 11] as const;

  it("run on the oldest Node that the package does", () => {
    expect(manifest.engines).toEqual({ node: `>=${oldest.join(".")}` });
    const asked = Object.entries(lock.packages).filter(
      ([path, { dev, engines }]) => path !== "" && !dev && engines?.node !== undefined,
    );
    expect(asked.length).toBeGreaterThan(10);
    const refused = asked.filter(([, { engines }]) => !takes(engines!.node!, oldest));
    expect(refused.map(([path, { engines }]) => `${path} ${engines!.node}`)).toEqual([]);
  });

  it("are all that the compiled machines import", () => {
    const folder = join(root, "src-res");
    const modules = readdirSync(folder).filter((name) => name.endsWith(".res.mjs"));
    expect(modules.length).toBeGreaterThan(5);
    const imported = modules.flatMap((name) =>
      [...read(`src-res/${name}`).matchAll(/ from "((?:@[^/"]+\/)?[^./"][^/"]*)/g)].map(
        ([, dependency]) => dependency!,
      ),
    );
    expect(imported).toContain("@rescript/runtime");
    const known = Object.keys(manifest.dependencies as Record<string, string>);
    expect([...new Set(imported)].filter((name) => !known.includes(name))).toEqual([]);
  });

  it("that would not are found", () => {
    for (const range of [">=22", "^22.0.0 || >=24", ">=20.12", ">=18 <20"])
      expect(takes(range, oldest), range).toBe(false);
    for (const range of [">=18", "^18.0.0 || ^20.9.0 || >=22", "20 || >=22", ">= 10", ">=14.0.0"])
      expect(takes(range, oldest), range).toBe(true);
  });
});

describe("the packed files", () => {
  const options = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const [{ files }] = JSON.parse(
    execFileSync("npm", options, {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }),
  ) as [{ files: { path: string }[] }];
  const packed = new Set(files.map(({ path }) => path));
  for (const path of [...packed])
    for (let at = dirname(path); at !== "."; at = dirname(at)) packed.add(at);
  const pages = [...packed].filter((path) => path.endsWith(".md"));

  it("have no link to what isn't packed", () => {
    expect(pages.length).toBeGreaterThan(20);
    const dead = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)]
        .map(([, link]) => link!)
        .filter((link) => !/^[a-z]+:/.test(link))
        .map((link) => normalize(join(dirname(page), link)).replace(/\/$/, ""))
        .filter((target) => !packed.has(target))
        .map((target) => `${page}: ${target}`),
    );
    expect(dead).toEqual([]);
  });

  it("link to headings that there are", () => {
    const headings = (page: string) =>
      [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
        text!
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, "")
          .replaceAll(" ", "-"),
      );
    const dead = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\(([^)#\s]*)#([^)\s]+)\)/g)]
        .filter(([, link]) => !/^[a-z]+:/.test(link!))
        .map(([, link, anchor]) => [link ? normalize(join(dirname(page), link)) : page, anchor!])
        .filter(
          ([target, anchor]) => target!.endsWith(".md") && !headings(target!).includes(anchor!),
        )
        .map(([target, anchor]) => `${page}: ${target}#${anchor}`),
    );
    expect(dead).toEqual([]);
  });
});
