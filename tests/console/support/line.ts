/** A line to a server that can die without a word: what is connected then hears nothing more, and no end either. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Line extends AsyncDisposable {
  readonly url: string;
  /** Of all connections: the server has hung up, and their clients are not told. New ones are as good as ever. */
  die(): void;
}

export async function startLine(target: string): Promise<Line> {
  const { hostname, port } = new URL(target);
  const pairs = new Set<{ client: Socket; upstream: Socket }>();
  const all = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    const pair = { client, upstream };
    pairs.add(pair);
    all.add(client);
    for (const socket of [client, upstream])
      socket.on("error", () => {
        // One side's end is the other's, below.
      });
    client.on("close", () => {
      all.delete(client);
      pairs.delete(pair);
      upstream.destroy();
    });
    upstream.on("close", () => pairs.has(pair) && client.destroy());
    client.pipe(upstream, { end: true }).pipe(client, { end: true });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    die() {
      for (const pair of pairs) {
        const { client, upstream } = pair;
        pairs.delete(pair);
        client.unpipe();
        upstream.unpipe();
        upstream.destroy();
        client.resume();
      }
    },
    async [Symbol.asyncDispose]() {
      for (const client of all) client.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
