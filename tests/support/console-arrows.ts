/** What the folders of the console import: its part of the table in tests/ts/architecture.test.ts. */

export interface Arrows {
  values?: string[];
  /** Imported for its types alone. */
  types?: string[];
}

export const consoleArrows: Readonly<Record<string, Arrows>> = {
  // The page: what it shows is made of `server`'s signals; its words and parts know nothing of it.
  "src-ts/console/styles.d.ts": {},
  "src-ts/console/theme.ts": {},
  "src-ts/console/strings.ts": {},
  "src-ts/console/ui": { values: ["src-ts/console/strings.ts"] },
  "src-ts/console/markdown": { values: ["src-ts/console/strings.ts", "src-ts/console/ui"] },
  "src-ts/console/server": { values: ["src-ts/client"], types: ["src-ts/protocol"] },
  "src-ts/console/chat": {
    values: [
      "src-ts/client",
      "src-ts/console/server",
      "src-ts/console/strings.ts",
      "src-ts/console/ui",
    ],
  },
  "src-ts/console/chat/views": {
    values: [
      "src-ts/console/chat",
      "src-ts/console/markdown",
      "src-ts/console/server",
      "src-ts/console/strings.ts",
      "src-ts/console/ui",
    ],
  },
  "src-ts/console/live": {
    values: ["src-ts/console/server", "src-ts/console/strings.ts", "src-ts/console/ui"],
    types: ["src-ts/protocol"],
  },
  "src-ts/console/start": {
    values: [
      "src-ts/console/chat",
      "src-ts/console/chat/views",
      "src-ts/console/markdown",
      "src-ts/console/server",
      "src-ts/console/strings.ts",
      "src-ts/console/ui",
    ],
  },
  "src-ts/console/app": {
    values: [
      "src-ts/console/chat",
      "src-ts/console/chat/views",
      "src-ts/console/live",
      "src-ts/console/server",
      "src-ts/console/start",
      "src-ts/console/strings.ts",
      "src-ts/console/ui",
    ],
  },
  "src-ts/console/main.tsx": {
    values: [
      "src-ts/console/app",
      "src-ts/console/server",
      "src-ts/console/style",
      "src-ts/console/ui",
    ],
  },
};
