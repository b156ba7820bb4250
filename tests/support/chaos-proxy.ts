/**
 * A TCP proxy between a client and a server that fails as a test says: it delays, splits, stalls, ends
 * or resets a connection after a number of bytes. It knows bytes and no protocol. Loopback only.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

/** What happens to the bytes of one direction. Counts are of bytes that got through before. */
export interface Disturbance {
  /** Then both sides see the connection end (FIN). */
  cutAfterBytes?: number;
  /** Then both sides see it reset (RST). */
  resetAfterBytes?: number;
  /** Then nothing more gets through, and the connection stays open. */
  stallAfterBytes?: number;
  /** Every piece is so much later. */
  delayMs?: number;
  /** One byte in a write. */
  byteByByte?: boolean;
}

export interface ConnectionPlan {
  toClient?: Disturbance;
  toServer?: Disturbance;
}

/** One connection as it went. */
export interface ConnectionRecord {
  /** Bytes that got through. */
  toClient: number;
  toServer: number;
  /** It was ended as planned. */
  wasBroken: boolean;
}

export interface ChaosProxy extends AsyncDisposable {
  /** `http://` address of the proxy. */
  readonly url: string;
  /** Every connection, in the order in which they came. */
  readonly connections: readonly ConnectionRecord[];
}

type Direction = "toClient" | "toServer";

/** Where the plan ends a connection, and how. */
interface Break {
  afterBytes: number;
  apply: "cut" | "reset" | "stall";
}

/** A proxy to `target`, an `http://` address; `planOf` gets the number of a connection, from 0. */
export async function startChaosProxy(
  target: string,
  planOf: (connection: number) => ConnectionPlan,
): Promise<ChaosProxy> {
  const { hostname, port } = new URL(target);
  const connections: ConnectionRecord[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    const record = { toClient: 0, toServer: 0, wasBroken: false };
    const plan = planOf(connections.push(record) - 1);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    }
    new Connection(client, upstream, plan, record).start();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

class Connection {
  readonly #ends: Record<Direction, Socket>;
  readonly #plan: ConnectionPlan;
  readonly #record: ConnectionRecord;

  constructor(client: Socket, upstream: Socket, plan: ConnectionPlan, record: ConnectionRecord) {
    this.#ends = { toClient: client, toServer: upstream };
    this.#plan = plan;
    this.#record = record;
  }

  start(): void {
    for (const socket of Object.values(this.#ends)) {
      socket.setNoDelay(true);
      // A broken side breaks the other; that it broke is what the tests are about.
      socket.on("error", () => this.#destroy());
      socket.on("close", () => this.#end());
    }
    for (const direction of ["toClient", "toServer"] as const) {
      void this.#carry(direction).catch(() => this.#destroy());
    }
  }

  async #carry(direction: Direction): Promise<void> {
    const { toClient, toServer } = this.#ends;
    const [from, to] = direction === "toClient" ? [toServer, toClient] : [toClient, toServer];
    const plan = this.#plan[direction] ?? {};
    const end = breakOf(plan);
    if (end?.afterBytes === 0) return this.#break(end);
    for await (const chunk of from as AsyncIterable<Buffer>) {
      const left = (end?.afterBytes ?? Number.POSITIVE_INFINITY) - this.#record[direction];
      if (left <= 0) continue;
      if (plan.delayMs !== undefined) await sleep(plan.delayMs);
      await this.#write(to, chunk.subarray(0, left), direction, plan.byteByByte === true);
      if (end !== undefined && chunk.length >= left) this.#break(end);
    }
    to.end();
  }

  async #write(to: Socket, bytes: Buffer, direction: Direction, byteByByte: boolean) {
    const size = byteByByte ? 1 : bytes.length;
    for (let at = 0; at < bytes.length && to.writable; at += size) {
      const hasRoom = to.write(bytes.subarray(at, at + size));
      this.#record[direction] += size;
      if (byteByByte) await nextTurn();
      else if (!hasRoom) await Promise.race([once(to, "drain"), once(to, "close")]);
    }
  }

  #break({ apply }: Break): void {
    this.#record.wasBroken = true;
    if (apply === "cut") this.#end();
    else if (apply === "reset")
      for (const socket of Object.values(this.#ends)) socket.resetAndDestroy();
  }

  #end(): void {
    for (const socket of Object.values(this.#ends)) socket.end();
  }

  #destroy(): void {
    for (const socket of Object.values(this.#ends)) socket.destroy();
  }
}

function breakOf(plan: Disturbance): Break | undefined {
  const { cutAfterBytes, resetAfterBytes, stallAfterBytes } = plan;
  if (cutAfterBytes !== undefined) return { afterBytes: cutAfterBytes, apply: "cut" };
  if (resetAfterBytes !== undefined) return { afterBytes: resetAfterBytes, apply: "reset" };
  if (stallAfterBytes !== undefined) return { afterBytes: stallAfterBytes, apply: "stall" };
  return undefined;
}
