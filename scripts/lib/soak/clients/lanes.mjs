/**
 * Our WebSocket client: many lanes on one connection that reconnects by itself. Checks the order in a
 * lane, cancels, sets deadlines, reads slowly, asks twice under one key.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { bodyOf } from "../texts.mjs";
import { flawOf, isTerminal, judgeResponse } from "./judge.mjs";
import { Recorder } from "./recorder.mjs";

const perLaneMax = 3;
const neverMs = 150_000;
/** Who was refused doesn't ask again at once. */
const pauseAfterErrorMs = 200;

/**
 * @param {import("../world.mjs").World} world
 * @param {{ lanes: number, plain?: boolean, stored?: number, perLane?: number }} options `plain`: no
 * cancels, no deadlines. `stored`: share of the stored ones. Resolves once all have ended.
 */
export async function runLanes(
  world,
  { lanes, plain = false, stored = 0.7, perLane = perLaneMax },
) {
  const connection = await Connection.open(world);
  const run = async (lane) => {
    const chance = world.chance.fork();
    while (!world.stopping) {
      const count = plain ? 1 : chance.integer(1, perLane);
      const order = new LaneOrder(count);
      const plans = Array.from({ length: count }, (_, i) =>
        planOf(world, chance, { lane, stored, plain, order, place: i }),
      );
      const since = performance.now();
      await Promise.all(plans.map((plan) => connection.follow(plan)));
      const overlap = order.overlap();
      if (overlap === undefined) continue;
      world.ledger.breach("lane", "two at the same time", { since, context: { lane, overlap } });
    }
  };
  const names = Array.from({ length: lanes }, (_, i) => `lane_${i}`);
  await Promise.all(names.map(run));
  await connection.close();
}

/** Of what was asked for in one lane together: when each spoke first, and when it was over. */
class LaneOrder {
  #ticks = 0;
  #first = new Map();
  #last = new Map();

  event(place, isLast) {
    this.#ticks += 1;
    if (!this.#first.has(place)) this.#first.set(place, this.#ticks);
    if (isLast) this.#last.set(place, this.#ticks);
  }

  /** The places of two that spoke at the same time; undefined: none. */
  overlap() {
    for (const [place, endedAt] of this.#last)
      for (const [other, beganAt] of this.#first)
        if (other > place && beganAt < endedAt) return [place, other];
    return undefined;
  }
}

function planOf(world, chance, { lane, stored, plain, order, place }) {
  const task = chance.pick(world.tasks);
  const trait = plain ? "plain" : chance.weighted(traits);
  const plan = {
    task,
    lane,
    order,
    place,
    trait,
    store: chance.in(stored),
    options: {},
    pauseMs: 0,
  };
  if (trait === "cancel") plan.cancelAfterMs = chance.between(0, 1_000);
  if (trait === "deadline") plan.options.deadlineMs = chance.integer(20, 1_000);
  if (trait === "slow") plan.pauseMs = chance.between(5, 50);
  if (trait === "twice") plan.options.idempotencyKey = `soak-${chance.next()}`;
  return plan;
}

const traits = { plain: 60, cancel: 15, deadline: 8, slow: 8, twice: 9 };

const workerFaults = ["workerKill", "workerStop"];
const connectionFaults = ["cut", "reset", "serverKill", "serverStop", "serverDeath"];

class Connection {
  #client;
  #running = new Set();

  static async open(world) {
    const connection = new Connection();
    connection.world = world;
    await connection.#open();
    return connection;
  }

  async #open() {
    const { url, library, ledger } = this.world;
    const since = performance.now();
    this.recorder = new Recorder();
    this.#client = await library.connectWith(this.recorder.ports(library.platformPorts), url);
    this.#client.on("reconnected", () => ledger.outcome("connection", "reconnected"));
    this.#client.on("migrated", ({ response_id }) => this.#stands(response_id, workerFaults));
    this.#client.on("reconnecting", ({ attempt }) => {
      if (attempt > 1) return;
      for (const { responseId } of this.#running) this.#stands(responseId, connectionFaults);
    });
    this.#client.on("error", ({ code, message }) =>
      ledger.breach("connection", `an error of no stream: ${code}: ${message}`, {
        since,
        context: {},
      }),
    );
  }

  async close() {
    await this.#client.close();
  }

  /** A stream waits for its next text, because of the last of these faults. */
  #stands(id, kinds) {
    const fault = this.world.ledger.lastFault(kinds);
    if (id !== undefined && fault !== undefined) this.world.pauses.begin(id, fault);
  }

  /** One plan, from its order to its end. */
  async follow(plan) {
    const { lane, options, trait } = plan;
    const since = performance.now();
    const stream = this.#respond(plan, { lane, ...options });
    const jobs = [this.#read(stream, plan, since)];
    if (trait === "twice") jobs.push(this.#ask(plan, since));
    const [first, second] = await Promise.all(jobs);
    if (trait === "twice") this.#compare(plan, since, first, second);
  }

  #respond({ task, store }, options) {
    return this.#client.respond({ ...bodyOf("responses", task), store }, options);
  }

  /** The second of two with one key, in a lane of its own. */
  #ask(plan, since) {
    const stream = this.#respond(plan, plan.options);
    return this.#read(stream, { ...plan, order: undefined }, since);
  }

  /** Two that were asked for with one key are one, unless a death of the server came between them. */
  #compare({ store }, since, first, second) {
    const { ledger } = this.world;
    if (first === undefined || second === undefined || first === second) return;
    const about = { since, context: { first, second, store } };
    if (store) ledger.breach("websocket", "one key made two responses", about);
    else ledger.excusable("websocket", "one key, two responses", { excuse: "server", ...about });
  }

  /** The id of a response that has ended as it should. */
  async #read(stream, plan, since) {
    const kind = plan.store ? "websocket, stored" : "websocket, unstored";
    const timer = this.#watch(stream, plan, kind, since);
    try {
      const events = await this.#events(stream, plan);
      this.#judge(kind, plan, { since, events, id: stream.responseId });
      return stream.responseId;
    } catch (error) {
      this.#judgeError(kind, plan, since, stream, error);
      await sleep(pauseAfterErrorMs);
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  #watch(stream, plan, kind, since) {
    if (plan.cancelAfterMs !== undefined) {
      plan.cancelled = false;
      sleep(plan.cancelAfterMs).then(() => {
        plan.cancelled = true;
        stream.cancel();
      });
    }
    return setTimeout(() => {
      const { responseId: id, cursor } = stream;
      const context = this.#context(plan, { id, cursor });
      this.world.ledger.breach(kind, `not ended after ${neverMs} ms`, { since, context });
    }, neverMs);
  }

  /** A slow reader's events are seen when it reads them, which tells nothing of their lane. */
  async #events(stream, { pauseMs, order, place }) {
    const events = [];
    if (pauseMs > 0) {
      for await (const event of stream) {
        events.push(event);
        await sleep(pauseMs);
      }
      return events;
    }
    this.#running.add(stream);
    stream.listen((event) => {
      events.push(event);
      order?.event(place, isTerminal(event));
      if (event.type === "response.output_text.delta") this.world.pauses.beat(stream.responseId);
    });
    try {
      await stream.final();
    } catch (error) {
      if (!isTerminal(events.at(-1))) throw error;
    } finally {
      this.#running.delete(stream);
      this.world.pauses.end(stream.responseId);
    }
    return events;
  }

  #judge(kind, plan, { since, events, id }) {
    const { ledger, answers } = this.world;
    const about = {
      ...{ kind, task: plan.task, store: plan.store, since },
      expected: answers[plan.task.index].responses,
      mayCancel: plan.cancelled === true,
      mayExpire: plan.options.deadlineMs !== undefined,
      context: () => this.#context(plan, { id }),
    };
    const flaw = flawOf(events);
    if (flaw !== undefined) return ledger.breach(kind, flaw, { since, context: about.context() });
    const { response } = events.at(-1);
    judgeResponse(ledger, about, response);
    if (plan.store) this.world.keep(response);
  }

  #context({ lane, trait }, more) {
    return { lane, trait, ...more, frames: this.recorder.of(lane) };
  }

  /** Streams end with an error when they were refused, cancelled before they were sent, or lost. */
  #judgeError(kind, plan, since, stream, error) {
    const { ledger } = this.world;
    const { code, status, message } = error;
    const id = stream.responseId;
    const about = () => ({ since, context: this.#context(plan, { id, code, status, message }) });
    if (code === "aborted" && plan.cancelled) return ledger.outcome(kind, "cancelled unsent");
    if (code === "cancelled" && plan.cancelled) return ledger.outcome(kind, "cancelled unaccepted");
    if (code === "deadline_exceeded" && plan.options.deadlineMs !== undefined)
      return ledger.outcome(kind, "deadline exceeded");
    if ((status === 503 || status === 429) && id === undefined)
      return ledger.outcome(kind, `refused: ${code}`);
    if (code === "response_lost" && !plan.store)
      return ledger.excusable(kind, "lost with the server", { excuse: "server", ...about() });
    ledger.breach(kind, `ended with ${code}`, about());
  }
}
