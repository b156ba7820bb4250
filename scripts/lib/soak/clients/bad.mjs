/** Clients that do it wrong: each gets its error, and whoever does it right is served on the same socket. */
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { bodyOf, outputOf } from "../texts.mjs";
import { Broken, send, textOf } from "./http.mjs";

const pauseMs = 500;
const answerMsMax = 60_000;
const oversizeBytes = 5 * 2 ** 20;
const depth = 200;

const badFrames = {
  "no JSON": "{",
  "an unknown type": '{"type":"response.destroy"}',
  "a wrong field": '{"type":"response.create","input":7}',
  "an unknown field": '{"type":"response.create","input":"x","colour":"red"}',
  "too deep": "[".repeat(depth) + "]".repeat(depth),
  "a binary frame": Buffer.from([1, 2, 3]),
};

/** @param {import("../world.mjs").World} world */
export async function runBadClient(world) {
  const chance = world.chance.fork();
  while (!world.stopping) {
    const since = performance.now();
    const attempt = chance.pick([badSocket, badBody, oversizeBody, wrongRoute]);
    try {
      await attempt(world, chance, since);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      world.brokenOff("bad input", "broken", error, { since, context: {} });
    }
    await sleep(pauseMs);
  }
}

async function badSocket(world, chance, since) {
  const ws = new WebSocket(`${world.url.replace("http", "ws")}/v1/responses`);
  try {
    await opened(ws);
    for (const what of Object.keys(badFrames).slice(0, chance.integer(1, 6)))
      await badFrame(world, ws, what, since);
    await goodFrame(world, ws, chance.pick(world.tasks), since);
  } finally {
    ws.terminate();
  }
}

async function badFrame({ ledger }, ws, what, since) {
  ws.send(badFrames[what]);
  const { type, status } = await message(ws);
  if (type === "error" && status === 400) ledger.outcome("bad input", `${what}: 400`);
  else ledger.breach("bad input", `${what}: ${type} ${status}`, { since, context: {} });
}

async function goodFrame({ ledger, answers }, ws, task, since) {
  ws.send(JSON.stringify({ type: "response.create", ...bodyOf("responses", task), store: false }));
  let event = await message(ws);
  while (!/completed|incomplete|failed|error/.test(event.type)) event = await message(ws);
  const { response, error } = event;
  const kind = "after bad input";
  const about = { since, context: { code: error?.code ?? response?.error?.code } };
  if (event.type === "error" || response.status === "failed")
    return ledger.excusable(kind, "refused or failed", { excuse: "drain", ...about });
  if (outputOf(response) === answers[task.index].responses.text) ledger.outcome(kind, "completed");
  else ledger.breach(kind, "another text", about);
}

async function badBody({ ledger, url }, chance, since) {
  const bodies = { "no JSON": "{", "no input": "{}", "a wrong number": '{"input":"x","top_p":7}' };
  const what = chance.pick(Object.keys(bodies));
  const body = Buffer.from(bodies[what]);
  await expectStatus(ledger, `body with ${what}`, since, [400], () =>
    send(`${url}/v1/responses`, { method: "POST", body }),
  );
}

/** Whoever goes on sending may find the connection closed before it has read why. */
async function oversizeBody({ ledger, url }, _chance, since) {
  const body = Buffer.alloc(oversizeBytes, " ");
  try {
    await expectStatus(ledger, "oversize body", since, [413], () =>
      send(`${url}/v1/responses`, { method: "POST", body }),
    );
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    ledger.outcome("bad input", "oversize body: connection closed");
  }
}

async function wrongRoute({ ledger, url }, _chance, since) {
  await expectStatus(ledger, "unknown route", since, [404], () => send(`${url}/v1/nothing`));
  await expectStatus(ledger, "unknown id", since, [404], () =>
    send(`${url}/v1/responses/resp_none`),
  );
}

async function expectStatus(ledger, what, since, statuses, ask) {
  const answer = await ask();
  await textOf(answer);
  const status = answer.statusCode;
  if (statuses.includes(status)) ledger.outcome("bad input", `${what}: ${status}`);
  else ledger.breach("bad input", `${what}: ${status}`, { since, context: {} });
}

/** Resolves when it is open or closed; what comes is kept until it is asked for. */
async function opened(ws) {
  ws.inbox = [];
  ws.on("message", (data) => {
    ws.inbox.push(JSON.parse(data.toString()));
    ws.emit("news");
  });
  // Always followed by its close.
  ws.on("error", () => {});
  ws.on("upgrade", ({ socket }) => {
    ws.port = socket.localPort;
  });
  for (const name of ["open", "close"]) ws.on(name, () => ws.emit("news"));
  await news(ws);
}

/** `events.once` would reject with an error that the close tells anyway. */
const news = (ws) => new Promise((resolve) => ws.once("news", resolve));

async function message(ws) {
  const untilMs = performance.now() + answerMsMax;
  while (ws.inbox.length === 0) {
    if (ws.readyState !== WebSocket.OPEN) throw new Broken("the socket closed", ws.port);
    if (performance.now() > untilMs) throw new Error("a bad client has got no answer");
    await Promise.race([news(ws), sleep(1_000)]);
  }
  return ws.inbox.shift();
}
