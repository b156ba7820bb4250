/** Stands between clients and the server, and breaks their connections when told to. Loopback only. */
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Relay {
  /** @type {Set<readonly import("node:net").Socket[]>} Client and server side of each connection. */
  #pairs = new Set();
  /** Client ports of the connections that were broken. */
  #broken = new Set();
  #server;
  #target;

  /** @param {number} target Port of the server. */
  constructor(target) {
    this.#target = target;
    this.#server = createServer((client) => this.#carry(client));
  }

  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.port = this.#server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** Ends (FIN) or resets (RST) each connection for which `chosen` says so; how many those were. */
  break(how, chosen) {
    const hit = [...this.#pairs].filter(chosen);
    for (const pair of hit) {
      this.#broken.add(pair[0].remotePort);
      for (const socket of pair) {
        if (how === "reset") socket.resetAndDestroy();
        else socket.destroy();
      }
    }
    return hit.length;
  }

  /** The last connection from this port was broken here. */
  hasBroken(port) {
    return this.#broken.has(port);
  }

  async close() {
    this.break("cut", () => true);
    this.#server.close();
    await once(this.#server, "close");
  }

  #carry(client) {
    const server = connect(this.#target, "127.0.0.1");
    const pair = [client, server];
    this.#broken.delete(client.remotePort);
    this.#pairs.add(pair);
    for (const [from, to] of [pair, pair.toReversed()]) {
      from.setNoDelay(true);
      // A side that breaks breaks the other one; whoever was served by it finds out by itself.
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
