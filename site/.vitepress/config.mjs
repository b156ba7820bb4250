/** The documentation site: VitePress over the pages that `scripts/lib/site` has put into `site/build/pages`. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitepress";
import { slugOf } from "../../scripts/lib/site/slugs.mjs";
import { colours, coloursSheet } from "./colours.mjs";

const build = fileURLToPath(new URL("../build/", import.meta.url));
const { sidebar, version } = JSON.parse(readFileSync(`${build}contents.json`, "utf8"));

export default defineConfig({
  title: "mlx-serving",
  description: "An inference server for language models on Apple's MLX",
  lang: "en",
  base: "/docs/",
  head: [["link", { rel: "icon", type: "image/svg+xml", href: "/docs/icon.svg" }]],
  srcDir: "build/pages",
  outDir: "build/html",
  cacheDir: "build/cache",
  cleanUrls: true,
  // One script for all pages, and not a copy of it in each.
  metaChunk: true,
  // The index of the search is one file, loaded when somebody searches.
  vite: { build: { chunkSizeWarningLimit: 4000 } },
  markdown: {
    // What looks like markup in a page is text.
    html: false,
    // Nor are braces at a line's end.
    attrs: { disable: true },
    anchor: { slugify: slugOf },
    // None of the highlighter's; ReScript reads like OCaml to it.
    languages: ["ocaml"],
    languageAlias: { rescript: "ocaml" },
    codeTransformers: [colours],
  },
  themeConfig: {
    logo: { src: "/icon.svg", alt: "" },
    sidebar,
    nav: [
      { text: "Tutorials", link: "/tutorials/socket-client", activeMatch: "^/tutorials/" },
      { text: "Reference", link: "/protocol", activeMatch: "^/(protocol|reference)" },
      { text: "Console", link: "/../", target: "_self", noIcon: true },
    ],
    outline: [2, 3],
    search: { provider: "local" },
    docFooter: { prev: "Before", next: "Next" },
    footer: { message: `mlx-serving ${version} · Apache-2.0` },
    externalLinkIcon: true,
  },
  buildEnd() {
    writeFileSync(`${build}colours.css`, coloursSheet());
  },
});
