/** The files of the documentation: found by the paths of their pages, in the form that a client takes. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, it } from "vitest";
import { DocsSite } from "../../../../src-ts/server/docs/site.js";
import { writeSite } from "./small-site.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-docs-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("is missed until it is built, and found then", async () => {
  const site = new DocsSite(folder);
  expect(site.isBuilt).toBe(false);
  expect(site.find("")).toBeUndefined();
  writeSite(folder);
  expect(site.isBuilt).toBe(true);
  expect(site.find("")).toBe("index.html");
  expect(site.find("client")).toBe("client.html");
  expect(site.find("examples")).toBe("examples/index.html");
  expect(site.find("assets/app.1.js")).toBe("assets/app.1.js");
  for (const path of ["none", "manifest.json", "../docs/client", "toString", "examples/none"])
    expect(site.find(path), path).toBeUndefined();
  const zipped = await site.read("client.html", "gzip, br");
  expect(zipped).toEqual({
    type: "text/html",
    etag: '"client.html"',
    bodies: { gzip: gzipSync("client.html") },
  });
  expect((await site.read("client.html", undefined)).bodies).toEqual({
    identity: Buffer.from("client.html"),
  });
});

it("says what is wrong in what it finds", () => {
  const broken = join(folder, "broken");
  mkdirSync(broken);
  writeFileSync(join(broken, "manifest.json"), "{}");
  expect(() => new DocsSite(broken).isBuilt).toThrow("files");
});
