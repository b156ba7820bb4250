/** What browsers get: the client without `ws` and without anything of Node. */
import { fileURLToPath } from "node:url";
import { build, type Platform } from "esbuild";
import { afterEach, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { openSocket } from "../../../src-ts/client/websocket-browser.js";
import { startFakeServer } from "./support/fake-server.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));

async function bundledFiles(platform: Platform): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: ["src-ts/client/index.ts"],
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    platform,
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  return Object.values(metafile.inputs).flatMap(({ imports }) => imports.map(({ path }) => path));
}

describe("bundle", () => {
  it("for browsers has files of the client alone", async () => {
    const files = await bundledFiles("browser");
    expect(files).toContainEqual(expect.stringMatching(/client\/websocket-browser\.js$/));
    expect(files.filter((path) => !/src-ts\/client\//.test(path))).toEqual([]);
    expect(files).not.toContainEqual(expect.stringMatching(/websocket-node/));
  });

  it("for Node has ws", async () => {
    const files = await bundledFiles("node");
    expect(files).toContainEqual(expect.stringMatching(/client\/websocket-node\.js$/));
    expect(files).toContainEqual(expect.stringMatching(/node_modules\/ws\//));
  });
});

describe("openSocket", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("works on the platform's WebSocket", async () => {
    vi.stubGlobal("WebSocket", WebSocket);
    const server = await startFakeServer();
    const calls: unknown[][] = [];
    const closed = new Promise<void>((resolve) => {
      const socket = openSocket(
        server.url,
        { headers: {}, frameBytesMax: 1 },
        {
          onOpen: () => socket.send('{"type":"x"}'),
          onText: (text) => calls.push(["text", text]),
          onBinary: () => {
            calls.push(["binary"]);
            socket.close(1012, "not allowed in browsers");
          },
          onPing: () => calls.push(["ping"]),
          onRefused: () => calls.push(["refused"]),
          onError: () => calls.push(["error"]),
          onClose: (closeCode) => {
            calls.push(["close", closeCode]);
            resolve();
          },
        },
      );
    });
    const opened = await server.socket();
    await opened.message("x");
    opened.send({ a: 1 });
    opened.raw.send(Buffer.from([1]));
    await closed;
    expect(calls).toEqual([["text", '{"a":1}'], ["binary"], ["close", 1000]]);
    await server.close();
  });
});
