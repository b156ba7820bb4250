/** The server that a command talks to when none is named: the one on the usual port, or one in this process. */
import { errColors } from "../colors.js";
import { resolveConfig } from "../config.js";
import type { ServeConfig } from "../options.js";
import { interruptible } from "./interrupt.js";

export interface FoundServer {
  url: string;
  /** It was started here, and asks for no key. */
  isOwn: boolean;
  /** Ends it if it was started here. */
  close(): Promise<void>;
}

export interface Wanted {
  url?: string | undefined;
  /** Of a server that is started. */
  model?: string | undefined;
}

export interface Ways {
  /** Whether the server at this address is one to use. Throws where it is in the way. */
  isThere(url: string): Promise<boolean>;
  /** Log lines of a server that has been started. Default: stderr. */
  print?: (text: string) => void;
  /** Which model a server gets that is started, where none is wanted; undefined: the configuration's. */
  modelOf?: (config: ServeConfig) => Promise<string | undefined>;
}

const withoutKeys = { apiKey: undefined, apiKeyFile: undefined };
const leaveIt = async () => {};

export async function findServer({ url, model }: Wanted, ways: Ways): Promise<FoundServer> {
  if (url !== undefined) return { url, isOwn: false, close: leaveIt };
  const config = resolveConfig({ environment: process.env });
  const usual = `http://127.0.0.1:${config.port}`;
  if (await ways.isThere(usual)) return { url: usual, isOwn: false, close: leaveIt };
  // For who looks at it; in a pipe there is the answer alone.
  if (process.stderr.isTTY)
    process.stderr.write(errColors.dim(`No server at ${usual}; starting one.\n`));
  const chosen = model ?? (await ways.modelOf?.(config));
  return startServer(chosen === undefined ? config : { ...config, model: [chosen] }, ways.print);
}

/** A server of this process, with the options of the environment and the file, on a free port. */
async function startServer(config: ServeConfig, printLater: Ways["print"]): Promise<FoundServer> {
  const [{ serveConfig }, { createLogger }, { createStartupDisplay }] = await Promise.all([
    import("../serve.js"),
    import("./logger.js"),
    import("./startup.js"),
  ]);
  const display = createStartupDisplay();
  let print = (text: string) => display.print(text);
  const logger = createLogger({ level: "warn", print: (text) => print(text) });
  const parts = { ...config, host: "127.0.0.1", port: 0, ...withoutKeys };
  try {
    const server = await interruptible((signal) =>
      serveConfig(parts, {
        logger,
        signal,
        onProgress: (text) => display.progress(text, logger),
        onEngine: (engine) => display.follow(engine, logger),
      }),
    );
    return { url: server.url, isOwn: true, close: () => server.close() };
  } finally {
    display.end();
    print = printLater ?? print;
  }
}
