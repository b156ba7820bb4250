/**
 * Responses over HTTP without a library: what breaks is resumed by hand, by id and number. Some are left
 * by their reader and looked for later, some are read slowly.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { bodyOf, pathOf } from "../texts.mjs";
import { Broken, eventsOf, refusalOf, send, textOf } from "./http.mjs";
import { flawOf, isTerminal, judgeResponse } from "./judge.mjs";

const retryMs = 150;
/** Who was refused doesn't ask again at once. */
const pauseAfterRefusalMs = 300;
const patienceMs = 120_000;
const traits = { plain: 55, slow: 15, leave: 15, whole: 15 };

/** @param {import("../world.mjs").World} world */
export async function runEventStreams(world) {
  const chance = world.chance.fork();
  while (!world.stopping) {
    const trait = chance.weighted(traits);
    const store = trait === "leave" || chance.in(0.6);
    const plan = {
      ...{ trait, store, task: chance.pick(world.tasks), since: performance.now() },
      key: trait === "leave" || chance.in(0.7) ? `soak-${chance.next()}` : undefined,
      leaveAfterMs: chance.between(50, 500),
      pauseMs: trait === "slow" ? chance.between(50, 400) : 0,
      kind: store ? "http responses, stored" : "http responses, unstored",
    };
    await new Journey(world, plan).run();
  }
}

/** The server forgot it, or will never say. */
class Lost extends Error {}

/** One response, over as many connections as it takes. */
class Journey {
  events = [];
  id;

  constructor(world, plan) {
    this.world = world;
    this.plan = plan;
  }

  get #about() {
    const { id, plan, events } = this;
    const { since, trait, task, key } = plan;
    const context = {
      id,
      trait,
      task: task.index,
      events: events.length,
      hasKey: key !== undefined,
    };
    return { since, context };
  }

  async run() {
    const { ledger } = this.world;
    const { kind, store } = this.plan;
    try {
      await this.#toItsEnd();
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      const { message, cause } = error;
      if (this.id === undefined) this.world.brokenOff(kind, message, cause, this.#about);
      else if (store) ledger.breach(kind, message, this.#about);
      else ledger.excusable(kind, message, { excuse: "server", ...this.#about });
    }
  }

  async #toItsEnd() {
    const untilMs = performance.now() + patienceMs;
    while (performance.now() < untilMs) {
      try {
        if (await this.#connect()) return;
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        if (this.id === undefined && this.plan.key === undefined)
          throw new Lost("broken before it was accepted", { cause: error });
      }
      await sleep(retryMs);
    }
    this.world.ledger.breach(this.plan.kind, `not ended after ${patienceMs} ms`, this.#about);
  }

  /** True when nothing is left to do. */
  async #connect() {
    const answer = this.id === undefined ? await this.#ask() : await this.#resume();
    if (answer.statusCode !== 200) return this.#refused(answer);
    if (this.plan.trait === "whole") return this.#whole(await textOf(answer));
    if (this.plan.trait === "leave") this.#leave(answer);
    for await (const data of eventsOf(answer, this.plan.pauseMs)) this.#take(JSON.parse(data));
    const last = this.events.at(-1);
    if (!isTerminal(last)) return false;
    this.#judge(last.response);
    return true;
  }

  #ask() {
    const { task, store, key, trait } = this.plan;
    const body = { ...bodyOf("responses", task), store, stream: trait !== "whole" };
    const headers = key === undefined ? {} : { "idempotency-key": key };
    return send(this.world.url + pathOf("responses"), { method: "POST", headers, body });
  }

  #resume() {
    const after = this.events.length - 1;
    return send(`${this.world.url}/v1/responses/${this.id}?stream=true&starting_after=${after}`);
  }

  async #refused(answer) {
    const { ledger } = this.world;
    const { text, isFair } = await refusalOf(answer);
    if (this.id !== undefined && answer.statusCode === 404) throw new Lost("lost with the server");
    if (this.id !== undefined && isFair) return false;
    if (isFair) ledger.outcome(this.plan.kind, `refused: ${text}`);
    else ledger.breach(this.plan.kind, `refused: ${text}`, this.#about);
    await sleep(pauseAfterRefusalMs);
    return true;
  }

  #take(event) {
    // A server that drains says so, and is asked again.
    if (event.type === "error") return;
    this.id ??= event.response?.id;
    this.events.push(event);
  }

  #whole(text) {
    const response = JSON.parse(text);
    this.id = response.id;
    this.#check(response);
    return true;
  }

  /** Goes without a word; the response has to end all the same, and is looked for. */
  #leave(answer) {
    this.plan.trait = "plain";
    sleep(this.plan.leaveAfterMs).then(() => answer.destroy());
  }

  #judge(response) {
    const flaw = flawOf(this.events);
    if (flaw === undefined) this.#check(response);
    else this.world.ledger.breach(this.plan.kind, flaw, this.#about);
  }

  #check(response) {
    const { kind, task, store, since, trait } = this.plan;
    const expected = this.world.answers[task.index].responses;
    const about = { kind, task, store, since, expected, context: () => ({ trait }) };
    judgeResponse(this.world.ledger, about, response);
    if (store) this.world.keep(response);
  }
}

const lookMs = 200;
/** What ended longer ago may be forgotten by now. */
const keptMs = 15_000;

/** Looks at stored responses that have ended: they stay what they were. */
export async function runReader(world) {
  const chance = world.chance.fork();
  const kind = "http get";
  while (!world.stopping) {
    await sleep(lookMs);
    const since = performance.now();
    const known = world.kept.filter(({ at }) => since - at < keptMs);
    if (known.length === 0) continue;
    const { id, text } = chance.pick(known);
    try {
      const answer = await send(`${world.url}/v1/responses/${id}`);
      const body = await textOf(answer);
      if (answer.statusCode === 200 && body === text) world.ledger.outcome(kind, "the same");
      else if (answer.statusCode === 503) world.ledger.outcome(kind, "refused");
      else
        world.ledger.breach(kind, `${answer.statusCode}`, { since, context: { id, body, text } });
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      world.brokenOff(kind, "broken", error, { since, context: { id } });
    }
  }
}
