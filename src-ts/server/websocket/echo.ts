/** Tests only: this server's exact WebSocket options behind an echo, for conformance suites. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import type { ServerLimits } from "../options.js";
import { socketOptions } from "./sockets.js";

export class Echo {
  private readonly server: Server = createServer();
  private readonly wss: WebSocketServer;

  constructor(limits: ServerLimits) {
    this.wss = new WebSocketServer(socketOptions(limits));
    this.server.on("upgrade", (request, socket, head) => {
      this.wss.handleUpgrade(request, socket, head, (ws) => {
        ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
        ws.on("ping", (data) => ws.pong(data));
        // A frame that breaks the protocol has closed the socket already.
        ws.on("error", () => ws.terminate());
      });
    });
  }

  /** Resolves with the port. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, host, () => resolve((this.server.address() as AddressInfo).port));
    });
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}
