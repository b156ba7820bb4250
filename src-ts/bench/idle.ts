/** What idle sockets cost a server: opens many, and reads its memory before and after. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, connect } from "../client/index.js";
import { treeMemory } from "./memory.js";
import { v1Url } from "./target.js";

export interface IdleOptions {
  url: string;
  apiKey: string | undefined;
  model: string | undefined;
  sockets: number;
  /** The server's process. */
  pid: number;
  /** How long the memory may settle before it is read. */
  settleMs: number;
}

export interface IdleResult {
  sockets: number;
  /** Resident memory of the server's process itself, without its workers. */
  beforeBytes: number;
  afterBytes: number;
  bytesPerSocket: number;
  /** What opening all of them took. */
  openMs: number;
  /** A request on one of them while all are open: until its first text, and whole. */
  requestFirstTextMs: number | undefined;
  requestMs: number;
}

const opensAtOnceMax = 64;

async function ownBytes(pid: number): Promise<number> {
  const memory = await treeMemory(pid);
  if (memory === undefined) throw new Error(`There is no process ${pid} on this machine.`);
  return memory.ownBytes;
}

async function openAll(
  options: IdleOptions,
  clients: Client[],
  onOpen: (count: number) => void,
): Promise<void> {
  const { url, apiKey, sockets } = options;
  let started = 0;
  const openSome = async () => {
    while (started < sockets) {
      started += 1;
      clients.push(
        await connect(v1Url(url), { apiKey, connectTimeoutMs: 30_000, reconnect: false }),
      );
      onOpen(clients.length);
    }
  };
  await Promise.all(Array.from({ length: opensAtOnceMax }, openSome));
}

async function timeRequest(client: Client, model: string | undefined) {
  const startedAt = performance.now();
  const body = { input: "Hello", max_output_tokens: 4, store: false };
  const stream = client.respond(model === undefined ? body : { ...body, model });
  let firstTextAt: number | undefined;
  stream.listen(({ type }) => {
    if (type === "response.output_text.delta") firstTextAt ??= performance.now();
  });
  await stream.final();
  return {
    requestFirstTextMs: firstTextAt === undefined ? undefined : firstTextAt - startedAt,
    requestMs: performance.now() - startedAt,
  };
}

/** Rejects if a socket can't be opened or the request fails. */
export async function measureIdleSockets(
  options: IdleOptions,
  onOpen: (count: number) => void,
): Promise<IdleResult> {
  const { sockets, pid, settleMs } = options;
  const clients: Client[] = [];
  try {
    // The first socket and request pay for what is made once: they are no part of the cost of others.
    const first = await connect(v1Url(options.url), { apiKey: options.apiKey, reconnect: false });
    clients.push(first);
    await timeRequest(first, options.model);
    await sleep(settleMs);
    const beforeBytes = await ownBytes(pid);
    const startedAt = performance.now();
    await openAll(options, clients, onOpen);
    const openMs = performance.now() - startedAt;
    await sleep(settleMs);
    const afterBytes = await ownBytes(pid);
    const bytesPerSocket = (afterBytes - beforeBytes) / sockets;
    const times = await timeRequest(first, options.model);
    return { sockets, beforeBytes, afterBytes, bytesPerSocket, openMs, ...times };
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}
