/** A load that makes every figure move that a fake engine, or the embedded model, has: answers, calls, refusals, resumes, deaths. */

import { once } from "node:events";
import { createServer } from "node:http";

const tool = { type: "function", name: "look", parameters: { type: "object", properties: {} } };

/** Another one each time: one that is known is not compiled. */
function formatOf(number) {
  const name = `field_${number}`;
  const properties = { [name]: { type: "integer" } };
  const schema = { type: "object", properties, required: [name], additionalProperties: false };
  return { type: "json_schema", name: "answer", schema };
}

/** What the fake engine plays for the request that offers the tool. */
export const fakeScript = [
  {
    when: "call the tool",
    say: '<tool_call>{"name": "look", "arguments": {}}</tool_call>',
    tools: true,
    repeat: true,
  },
];

export class Load {
  #stopped = false;
  answers = 0;

  constructor(url, { admin, user, limited }) {
    this.url = url;
    this.admin = admin;
    this.user = user;
    this.limited = limited;
  }

  /** Until `stop`; resolves when the last answer is there. */
  async run(streams) {
    const one = async (index) => {
      for (let round = 0; !this.#stopped; round++) await this.#ask(index, round);
    };
    await Promise.all(Array.from({ length: streams }, (_, index) => one(index)));
  }

  stop() {
    this.#stopped = true;
  }

  /** One that has answers under way dies as by a signal of the system's: nothing is lost. */
  async killWorker() {
    for (;;) {
      const workers = await (await this.#fetch("GET", "/admin/workers", this.admin)).json();
      const busy = workers.find(({ state, decoding }) => state === "ready" && decoding > 0);
      if (busy !== undefined) {
        await this.#fetch("POST", `/admin/workers/${busy.id}/kill`, this.admin, {});
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #ask(index, round) {
    const input = `Tell me of ${index} and ${round % 7}, once more and slowly.`;
    const bodies = [
      { input, max_output_tokens: 40, stream: true },
      { input, max_output_tokens: 30, store: true },
      {
        input: `Please call the tool. ${round}`,
        max_output_tokens: 60,
        tools: [tool],
        tool_choice: "required",
      },
      { input, max_output_tokens: 30, text: { format: formatOf(round * 100 + index) } },
    ];
    const body = bodies[round % bodies.length];
    const answer = await this.#fetch("POST", "/v1/responses", this.user, body);
    const text = await answer.text();
    if (answer.ok) this.answers++;
    if (round % 5 === 1) await this.#resume(/"id":"(resp_\w+)"/.exec(text)?.[1]);
    if (round % 6 === 2) await this.#fetch("POST", "/v1/responses", this.limited, body);
    if (round % 9 === 3)
      await this.#fetch("POST", "/v1/responses", this.user, { input, model: "none" });
  }

  async #resume(id) {
    if (id !== undefined)
      await this.#fetch("GET", `/v1/responses/${id}?stream=true&starting_after=1`, this.user);
  }

  async #fetch(method, path, key, body) {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (answer.status >= 500) throw new Error(`${path} answered ${answer.status}`);
    return answer;
  }
}

/** Takes whatever is sent to it, as a collector of OpenTelemetry does. */
export async function startCollector() {
  const server = createServer((request, reply) => {
    request.resume().on("end", () => reply.writeHead(200).end());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
