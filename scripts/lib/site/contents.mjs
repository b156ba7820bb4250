/** What the documentation site has, in its order: pages by their path in the repository, which is their one source. */

/** @typedef {{ title: string, pages: readonly string[], collapsed?: boolean }} Section */

/** @type {readonly Section[]} */
export const sections = [
  { title: "Start", pages: ["docs/README.md", "README.md", "examples/README.md"] },
  {
    title: "Tutorials",
    pages: [
      "socket-client",
      "typescript-library",
      "rescript-machines",
      "agent-user",
      "operator",
    ].map((name) => `docs/tutorials/${name}.md`),
  },
  {
    title: "Coming from",
    pages: ["ollama", "mlx-lm-server", "lm-studio", "llama-cpp"].map(
      (name) => `docs/migration/${name}.md`,
    ),
  },
  {
    title: "Using it",
    pages: [
      "docs/CLIENT.md",
      "docs/BROWSER.md",
      "docs/AGENTS.md",
      "docs/STRUCTURED-OUTPUT.md",
      "docs/CONSOLE.md",
      "docs/MODELS.md",
      "docs/TOOL-FORMATS.md",
      "docs/CLIENTS.md",
      "docs/EMBEDDINGS.md",
      "docs/LM-EVAL.md",
    ],
  },
  {
    title: "Running it",
    pages: [
      "docs/OPERATIONS.md",
      "docs/OBSERVABILITY.md",
      "docs/KEYS.md",
      "docs/PACKAGING.md",
      "docs/NATIVE.md",
      "docs/PERFORMANCE.md",
      "docs/performance/README.md",
      "docs/performance/goals.md",
      "SECURITY.md",
    ],
  },
  {
    title: "How it works",
    collapsed: true,
    pages: [
      "docs/ARCHITECTURE.md",
      "docs/machines/Request.md",
      "docs/machines/Batch.md",
      "docs/machines/Worker.md",
      "docs/machines/Scheduler.md",
      "docs/machines/Types.md",
      "docs/machines/Search.md",
      "CONTRIBUTING.md",
      "CHANGELOG.md",
    ],
  },
];

/** Below "Reference", before what is generated from the code. */
export const protocolPage = "docs/PROTOCOL.md";
/** In the order of their numbers. */
export const decisionsFolder = "docs/decisions";

/** Those whose place in the site is not that of their file. */
const placed = {
  "README.md": "overview",
  "docs/README.md": "index",
  "docs/performance/README.md": "performance/measurements",
};

/**
 * Where a page of the repository stands in the site, without an ending.
 * @param {string} path Of the repository.
 */
export function pageOf(path) {
  const name = path.replace(/^docs\//, "").replace(/\.md$/, "");
  return placed[path] ?? name.toLowerCase().replace(/(^|\/)readme$/, "$1index");
}

/**
 * Where a file or a folder that a page names stands as a page of its own: what may be read needs no repository. The
 * generator takes the ending of a page of HTML for its own.
 */
export const sourcePageOf = (path) =>
  `source/${path
    .replace(/\/$|\.md$/, "")
    .replace(/\.html$/, "-html")
    .toLowerCase()}`;
