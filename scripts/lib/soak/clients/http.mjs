/** Requests over HTTP on connections of their own, read as they come. */
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** An answer that stopped coming, as one whose connection has broken. */
const silenceMsMax = 60_000;

/** The connection broke before the answer was whole. */
export class Broken extends Error {
  name = "Broken";

  /** @param {number | undefined} port Ours, of the connection. */
  constructor(message, port) {
    super(message);
    this.port = port;
  }
}

/**
 * @param {string} url
 * @param {{ method?: string, headers?: Record<string, string>, body?: object | Buffer }} options
 * @returns {Promise<import("node:http").IncomingMessage>} Rejects with Broken.
 */
export function send(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const type = body === undefined ? {} : { "content-type": "application/json" };
    let port;
    const sent = request(url, { agent: false, method, headers: { ...type, ...headers } });
    sent.on("socket", (socket) => {
      socket.on("connect", () => {
        port = socket.localPort;
      });
    });
    sent.on("response", (answer) => {
      answer.port = port;
      resolve(answer);
    });
    sent.setTimeout(silenceMsMax, () => sent.destroy(new Error("silent")));
    sent.on("error", ({ message }) => reject(new Broken(message, port)));
    sent.end(Buffer.isBuffer(body) ? body : body && JSON.stringify(body));
  });
}

/** The whole body. Rejects with Broken if it is not whole. */
export async function textOf(answer) {
  let text = "";
  answer.setEncoding("utf8");
  try {
    for await (const chunk of answer) text += chunk;
  } catch ({ message }) {
    throw new Broken(message, answer.port);
  }
  return text;
}

/** Data of server-sent events as they come; `pauseMs` of a slow reader between reads. Rejects with Broken. */
export async function* eventsOf(answer, pauseMs = 0) {
  let rest = "";
  answer.setEncoding("utf8");
  try {
    for await (const chunk of answer) {
      const texts = (rest + chunk).split("\n\n");
      rest = texts.pop();
      for (const text of texts) {
        const at = text.startsWith("data: ") ? 0 : text.indexOf("\ndata: ") + 1;
        if (text.startsWith("data: ", at)) yield text.slice(at + "data: ".length);
      }
      if (pauseMs > 0) await sleep(pauseMs);
    }
  } catch ({ message }) {
    throw new Broken(message, answer.port);
  }
}

/** What a refusal says, as one word; undefined if it is none that a full or ending server may give. */
export async function refusalOf(answer) {
  const { error } = JSON.parse(await textOf(answer));
  const mayRefuse = answer.statusCode === 503 || answer.statusCode === 429;
  const code = error?.code ?? "no code";
  const hasRetry = answer.headers["retry-after"] !== undefined;
  return { text: `${answer.statusCode} ${code}`, isFair: mayRefuse && hasRetry };
}
