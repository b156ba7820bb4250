/** The client's outside as a test decides it: time that passes when told, chance, and sockets of memory. */
import { type Client, type ConnectOptions, connectWith } from "../../../../src-ts/client/client.js";
import type { ClientPorts } from "../../../../src-ts/client/ports.js";
import type { SocketHandlers, SocketOptions } from "../../../../src-ts/client/socket.js";
import type { Message } from "./fake-server.js";

export class VirtualTime {
  now = 0;
  #timers: { at: number; run(): void }[] = [];

  /** Timers that have neither run nor been cancelled. */
  get pending(): number {
    return this.#timers.length;
  }

  after(ms: number, run: () => void): { cancel(): void } {
    const timer = { at: this.now + ms, run };
    this.#timers.push(timer);
    return { cancel: () => this.#forget(timer) };
  }

  /** Runs what falls due, in order, letting promises settle in between. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    await turn();
    for (let due = this.#due(end); due !== undefined; due = this.#due(end)) {
      this.now = due.at;
      this.#forget(due);
      due.run();
      await turn();
    }
    this.now = end;
  }

  #due(end: number) {
    return this.#timers.toSorted((a, b) => a.at - b.at).find(({ at }) => at <= end);
  }

  #forget(timer: { at: number }): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }
}

/** Lets everything happen that waits for promises alone. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** One socket, seen from the server. */
export class VirtualSocket {
  readonly sent: Message[] = [];
  isTerminated = false;
  #isOver = false;

  constructor(
    readonly url: string,
    readonly options: SocketOptions,
    readonly handlers: SocketHandlers,
  ) {}

  open(): this {
    this.handlers.onOpen();
    return this;
  }

  /** A text frame from the server. */
  send(message: object): void {
    this.handlers.onText(JSON.stringify(message));
  }

  close(closeCode = 1006, reason = ""): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.handlers.onClose(closeCode, reason);
  }

  /** Answers the upgrade with an HTTP status. */
  refuse(status: number, retryAfterS?: number): void {
    const error = { message: "No", type: "t", param: null, code: `refused_${status}` };
    this.handlers.onRefused({ status, body: JSON.stringify({ error }), retryAfterS });
    this.close();
  }

  /** Refuses the message that `event_id` names. */
  error(message: Message, status: number, code: string): void {
    const error = { type: "t", code, message: `It is ${code}`, param: null };
    this.send({ type: "error", status, error, event_id: message.event_id });
  }

  /** What was sent so far, as far as a test wants to compare it. */
  types(): string[] {
    return this.sent.map(({ type }) => type);
  }
}

export class VirtualWorld {
  readonly time = new VirtualTime();
  readonly sockets: VirtualSocket[] = [];
  /** What `random` says. */
  chance = 0.5;
  /** What the client told, in order. */
  readonly told: { name: string; info: object }[] = [];
  readonly ports: ClientPorts = {
    headersSupported: true,
    now: () => this.time.now,
    after: (ms, run) => this.time.after(ms, run),
    random: () => this.chance,
    openSocket: (url, options, handlers) => {
      const socket = new VirtualSocket(url, options, handlers);
      this.sockets.push(socket);
      return {
        send: (text) => socket.sent.push(JSON.parse(text)),
        close: (closeCode, reason) => socket.close(closeCode, reason),
        terminate: () => {
          socket.isTerminated = true;
          socket.close();
        },
      };
    },
  };

  /** The socket that was opened last. */
  get socket(): VirtualSocket {
    return this.sockets.at(-1)!;
  }

  /** A client whose first socket is open. */
  async connect(options: ConnectOptions = {}): Promise<Client> {
    const connecting = connectWith(this.ports, "ws://server", options);
    await turn();
    this.socket.open();
    const client = await connecting;
    for (const name of ["reconnecting", "reconnected", "close", "error"] as const)
      client.on(name, (info: object) => this.told.push({ name, info }));
    return client;
  }

  /** Closes the socket, and opens the next one that the client asks for. */
  async reconnect(closeCode = 1006): Promise<VirtualSocket> {
    this.socket.close(closeCode);
    return this.reopen();
  }

  /** Lets the client's next attempt succeed. */
  async reopen(): Promise<VirtualSocket> {
    const before = this.sockets.length;
    while (this.sockets.length === before) await this.time.pass(50);
    return this.socket.open();
  }

  names(): string[] {
    return this.told.map(({ name }) => name);
  }
}
