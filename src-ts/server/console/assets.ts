/**
 * The files of the console as `npm run build` has left them in `dist/console`, with their compressed forms. Read once,
 * when somebody first asks; afterwards served from memory.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { packageRoot } from "../../../setup/paths.mjs";
import type { Asset } from "../files/sending.js";

/** What `scripts/build-console.mjs` writes. */
const Manifest = z.strictObject({
  page: z.string(),
  files: z.record(z.string(), z.strictObject({ type: z.string(), hash: z.string() })),
});

export class ConsoleAssets {
  private files: ReadonlyMap<string, Asset> | undefined;
  private pageName = "";

  constructor(private readonly folder: string = join(packageRoot, "dist", "console")) {}

  /** Undefined where the console was not built. */
  get page(): Asset | undefined {
    return this.load().get(this.pageName);
  }

  /** Its names hold their content's hash, so a name never means anything else. */
  file(name: string): Asset | undefined {
    const files = this.load();
    return name === this.pageName ? undefined : files.get(name);
  }

  private load(): ReadonlyMap<string, Asset> {
    if (this.files !== undefined) return this.files;
    const text = this.readManifest();
    // Not built yet: whoever builds it while this server runs finds it at the next request.
    if (text === undefined) return new Map();
    const { page, files } = Manifest.parse(JSON.parse(text));
    this.pageName = page;
    this.files = new Map(
      Object.entries(files).map(([name, { type, hash }]) => [name, this.read(name, type, hash)]),
    );
    return this.files;
  }

  private readManifest(): string | undefined {
    try {
      return readFileSync(join(this.folder, "manifest.json"), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  private read(name: string, type: string, hash: string): Asset {
    const at = (ending: string) => readFileSync(join(this.folder, `${name}${ending}`));
    const bodies = { br: at(".br"), gzip: at(".gz"), identity: at("") };
    return { type, etag: `"${hash}"`, bodies };
  }
}
