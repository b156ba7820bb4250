/** What clients and faults of one run share: the server, the texts, the books. */

const keptMax = 500;

export class World {
  /** No client begins anything any more. */
  stopping = false;
  /** Stored responses that have ended, the youngest last, as `GET` has to show them. */
  kept = [];

  /**
   * @param {{
   *   url: string, program: import("./program.mjs").Program, relay: import("./relay.mjs").Relay,
   *   library: { connectWith: Function, platformPorts: object },
   *   tasks: import("./texts.mjs").Task[], answers: import("./texts.mjs").Answers[],
   *   chance: import("../chance.mjs").Chance, ledger: import("./ledger.mjs").Ledger,
   *   pauses: import("./pauses.mjs").Pauses,
   * }} parts `url`: of the relay, where clients call.
   */
  constructor(parts) {
    Object.assign(this, parts);
  }

  /**
   * A connection broke that nothing can mend: rightly if it was broken on purpose, or the server was.
   * @param {import("./clients/http.mjs").Broken} error
   */
  brokenOff(kind, what, error, { since, context }) {
    const { port, message } = error;
    if (this.relay.hasBroken(port)) this.ledger.outcome(kind, what);
    else {
      const about = { since, context: { ...context, port, message } };
      this.ledger.excusable(kind, what, { excuse: "server", ...about });
    }
  }

  keep(response) {
    this.kept.push({ id: response.id, text: JSON.stringify(response), at: performance.now() });
    if (this.kept.length > keptMax) this.kept.shift();
  }
}
