/**
 * Which Host and Origin a request may carry: the control against DNS rebinding and against web pages
 * of others that call a server on the user's machine. Lists are exact, but for a star alone, which is all. Pages that
 * come from this machine itself may use a server that only this machine can reach.
 */
import type { IncomingMessage } from "node:http";
import { isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { failure } from "../../failures.js";
import { isLoopback } from "../../loopback.js";

const loopbackNames = ["localhost", "127.0.0.1", "[::1]"];
const loopbackOrigin = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?$/;

const all = "*";

export class HostPolicy {
  private hosts: ReadonlySet<string> = new Set();
  private readonly origins: ReadonlySet<string>;

  constructor(
    private readonly boundHost: string,
    private readonly allowedHosts: readonly string[],
    allowedOrigins: readonly string[],
  ) {
    this.origins = new Set(allowedOrigins.map((origin) => origin.toLowerCase().replace(/\/$/, "")));
  }

  /** The port is known only once the server listens. */
  bound(port: number): void {
    const names = [...loopbackNames, ...addressesOf(this.boundHost)];
    this.hosts = new Set([
      ...names.flatMap((name) => withPort(name, port)),
      ...this.allowedHosts.flatMap((host) =>
        hasPort(host) ? [host.toLowerCase()] : [host.toLowerCase(), ...withPort(host, port)],
      ),
    ]);
  }

  /**
   * Throws 403 for a Host or an Origin that is on no list, 400 for several Hosts: the next program on the
   * way may believe another one. A client without Origin is no browser.
   */
  check({ headers, headersDistinct }: Pick<IncomingMessage, "headers" | "headersDistinct">): void {
    const { host, origin } = headers;
    if ((headersDistinct.host?.length ?? 0) > 1)
      throw failure("invalid_header", { message: "A request has one Host header.", param: "host" });
    if (host === undefined || !this.allowsHost(host.toLowerCase()))
      throw failure("host_not_allowed");
    if (origin !== undefined && !this.allowsOrigin(origin, host))
      throw failure("origin_not_allowed");
  }

  private allowsHost(host: string): boolean {
    return this.hosts.has(all) || this.hosts.has(host);
  }

  private allowsOrigin(origin: string, host: string): boolean {
    if (this.origins.has(all)) return true;
    const lower = origin.toLowerCase();
    const own = host.toLowerCase();
    if (this.origins.has(lower) || lower === `http://${own}` || lower === `https://${own}`)
      return true;
    return loopbackOrigin.test(lower) && this.isOfThisMachine(own);
  }

  /** By both names: one that a proxy has brought here came from a page of somebody else's machine. */
  private isOfThisMachine(host: string): boolean {
    return isLoopback(this.boundHost) && isLoopback(host.replace(/:\d+$/, ""));
  }
}

/** The default port may be left out of a Host header. */
function withPort(name: string, port: number): string[] {
  const lower = name.toLowerCase();
  return port === 80 || port === 443 ? [lower, `${lower}:${port}`] : [`${lower}:${port}`];
}

function hasPort(host: string): boolean {
  return /:\d+$/.test(host) && !isIPv6(host);
}

/** A wildcard address is reached under every address that this machine has. */
function addressesOf(host: string): string[] {
  if (host !== "0.0.0.0" && host !== "::") return [bracketed(host)];
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.map(({ address }) => bracketed(address));
}

function bracketed(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}
