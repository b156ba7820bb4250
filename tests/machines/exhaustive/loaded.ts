/** The search with the orchestrator that it searches, as `npm run search` has them. */
import { rmSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { bundleSearch } from "../../../scripts/lib/search/bundle.mjs";
import { quick } from "./configuration.js";
import { lineOf } from "./report.js";
import type * as Bundle from "./search.js";

/** Of a machine that is busy with other things too. */
export const searchMsMax = 300_000;

export async function load(
  name: string,
  mutation?: Parameters<typeof bundleSearch>[2],
): Promise<typeof Bundle> {
  const path = await bundleSearch(name, "search.ts", mutation);
  try {
    return await import(pathToFileURL(path).href);
  } finally {
    rmSync(path);
  }
}

const shares = 2;

/** Searches every second of the quick configurations: two files share them, so that two cores do. */
export function searchShare(share: 0 | 1): void {
  let bundle: typeof Bundle;
  beforeAll(async () => {
    bundle = await load(`shipped-${share}`);
  });

  describe("every state keeps every law, and leads to the end", () => {
    it.each(quick.filter((_, index) => index % shares === share))(
      "$name",
      (configuration) => {
        const found = bundle.search(configuration);
        process.stdout.write(`${lineOf(found)}\n`);
        // A search that stops early says so by throwing; one that never began would not.
        expect(found.states).toBeGreaterThan(1_000);
      },
      searchMsMax,
    );
  });
}
