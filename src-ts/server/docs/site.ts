/**
 * The documentation as `npm run docs:site` has left it in `dist/docs`: which files there are is read once, their
 * content when somebody asks. On disk it is compressed, once: most who ask take it so.
 */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { z } from "zod";
import { packageRoot } from "../../../setup/paths.mjs";
import { type Asset, encodingFor } from "../files/sending.js";

/** What `scripts/lib/site/pack.mjs` writes. */
const Manifest = z.strictObject({
  files: z.record(z.string(), z.strictObject({ type: z.string(), hash: z.string() })),
});
type Files = z.infer<typeof Manifest>["files"];

export class DocsSite {
  private files: Files | undefined;

  constructor(private readonly folder: string = join(packageRoot, "dist", "docs")) {}

  get isBuilt(): boolean {
    return this.load() !== undefined;
  }

  /** The file's name for a path below /docs, whose pages have no ending; undefined: there is none. */
  find(path: string): string | undefined {
    const files = this.load() ?? {};
    const candidates = [path, `${path}.html`, `${path}/index.html`, "index.html"];
    const named = path === "" ? candidates.slice(3) : candidates.slice(0, 3);
    return named.find((name) => Object.hasOwn(files, name));
  }

  /** Of a name that `find` has given. */
  async read(name: string, acceptEncoding: string | undefined): Promise<Asset> {
    const { type, hash } = this.load()![name]!;
    const zipped = await readFile(join(this.folder, `${name}.gz`));
    const encoding = encodingFor(acceptEncoding, ["gzip"]);
    const body = encoding === "gzip" ? zipped : await promisify(gunzip)(zipped);
    return { type, etag: `"${hash}"`, bodies: { [encoding]: body } };
  }

  private load(): Files | undefined {
    if (this.files !== undefined) return this.files;
    let text: string;
    try {
      text = readFileSync(join(this.folder, "manifest.json"), "utf8");
    } catch (error) {
      // Not built yet: whoever builds it while this server runs finds it at the next request.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    this.files = Manifest.parse(JSON.parse(text)).files;
    return this.files;
  }
}
