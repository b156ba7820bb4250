/** How long each stream stood still after a fault: from the fault to its next text. */

export class Pauses {
  /** @type {Map<string, number[]>} Milliseconds, by kind of fault. */
  byKind = new Map();
  /** @type {Map<string, { kind: string, at: number }>} By id of the response: those that stand still. */
  #standing = new Map();

  /** This stream stands still since then; a second fault makes one pause longer. */
  begin(id, { kind, at }) {
    if (!this.#standing.has(id)) this.#standing.set(id, { kind, at });
  }

  /** Text has come. */
  beat(id) {
    const pause = this.#standing.get(id);
    if (pause === undefined) return;
    this.#standing.delete(id);
    const all = this.byKind.get(pause.kind) ?? [];
    all.push(performance.now() - pause.at);
    this.byKind.set(pause.kind, all);
  }

  /** No more text will come. */
  end(id) {
    this.#standing.delete(id);
  }
}
