/** Where a store's connection comes from: a client that its page has, a function that gets one, or an address. */
import {
  AbortedError,
  type Address,
  type Client,
  type ConnectOptions,
  connect,
} from "../client/index.js";

/**
 * A client, or a function that gives one: they stay their owner's, and are never closed here. An address, in any form
 * that `connect` takes: a connection of its own, opened when it is needed.
 */
export type ResponseSource = Client | Address | (() => Client | Promise<Client>);

/** How an address is connected to; a signal is given with each request. */
export type SourceOptions = Omit<ConnectOptions, "signal">;

export interface Clients {
  /** The client that is there already. */
  readonly current: Client | undefined;
  /** Rejects as `connect` does, and when the signal is aborted first. */
  get(signal: AbortSignal): Promise<Client>;
  /** Closes what was opened here; another `get` opens it again. */
  release(): void;
}

export function clientsOf(source: ResponseSource, options: SourceOptions): Clients {
  if (typeof source === "function") return borrowed(undefined, source);
  if (isClient(source)) return borrowed(source, () => source);
  return new Own(source, options);
}

/** By what it does: two copies of this library may be loaded. */
const isClient = (source: Client | Address): source is Client =>
  typeof source === "object" && "respond" in source;

const borrowed = (current: Client | undefined, get: () => Client | Promise<Client>): Clients => ({
  current,
  get: async () => get(),
  release: () => {},
});

class Own implements Clients {
  current: Client | undefined;
  readonly #address: Address;
  readonly #options: SourceOptions;

  constructor(address: Address, options: SourceOptions) {
    this.#address = address;
    this.#options = options;
  }

  async get(signal: AbortSignal): Promise<Client> {
    if (this.current !== undefined) return this.current;
    const client = await connect(this.#address, { ...this.#options, signal });
    if (signal.aborted) {
      void client.close();
      throw new AbortedError(signal.reason);
    }
    client.on("close", () => {
      if (this.current === client) this.current = undefined;
    });
    this.current = client;
    return client;
  }

  release(): void {
    const client = this.current;
    this.current = undefined;
    void client?.close();
  }
}
