/** The real sockets, time and chance. The only file of the client that knows them. */
import { headersSupported, openSocket } from "#websocket";
import type { ClientPorts } from "./ports.js";

const uint32Values = 2 ** 32;

export const platformPorts: ClientPorts = {
  openSocket,
  headersSupported,
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  random: () => crypto.getRandomValues(new Uint32Array(1))[0]! / uint32Values,
};
