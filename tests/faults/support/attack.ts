/** What an attacker needs, and what its victim is watched with. Everything goes to loopback. */
import { execFileSync } from "node:child_process";
import { connect, type Socket } from "node:net";
import WebSocket from "ws";

export interface Raw {
  socket: Socket;
  /** Everything received, once the other side has closed or reset. */
  ended: Promise<string>;
}

const keptCharsMax = 100_000;

/** A connection that speaks what the test writes. */
export async function rawTo(url: string): Promise<Raw> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let received = "";
  socket.on("data", (chunk) => {
    if (received.length < keptCharsMax) received += chunk.toString("latin1");
  });
  const ended = new Promise<string>((resolve) => {
    socket.on("error", () => resolve(received));
    socket.on("close", () => resolve(received));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return { socket, ended };
}

export function rawTimes(url: string, count: number): Promise<Raw[]> {
  return Promise.all(Array.from({ length: count }, () => rawTo(url)));
}

/** The answer to one raw request. */
export async function ask(url: string, text: string | Buffer): Promise<string> {
  const { socket, ended } = await rawTo(url);
  socket.write(text);
  return ended;
}

export const statusIn = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);

export interface Opened {
  ws: WebSocket;
  /** Close code, and what came before it. */
  closed: Promise<number>;
  texts: string[];
}

export async function openTo(url: string, key: string, query = ""): Promise<Opened> {
  const target = `${url.replace("http", "ws")}/v1/responses${query}`;
  const ws = new WebSocket(target, { headers: { authorization: `Bearer ${key}` } });
  const texts: string[] = [];
  ws.on("message", (data) => texts.push(String(data)));
  const closed = new Promise<number>((resolve) => ws.on("close", (code) => resolve(code)));
  await new Promise<void>((resolve, reject) => {
    ws.once("open", resolve);
    ws.once("error", reject);
  });
  // A server that closes while we still send resets the connection.
  ws.on("error", () => {});
  return { ws, closed, texts };
}

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)])) * 1024;
}

const sampleMs = 250;

/** The most that `pid` held while `work` ran. */
export async function peakDuring(pid: number, work: () => Promise<void>): Promise<number> {
  let peak = residentBytes(pid);
  const timer = setInterval(() => {
    peak = Math.max(peak, residentBytes(pid));
  }, sampleMs);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.max(peak, residentBytes(pid));
}

/** Until it holds; a test that never sees it times out. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}

export const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
