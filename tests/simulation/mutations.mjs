// Promises broken on purpose, one at a time: each must be caught by the simulator. `find` stands exactly
// once in its file; where it doesn't any more the run fails, so that the list can't rot.

/** @typedef {{ name: string, file: string, find: string, replace: string }} Mutation */

/** @type {Mutation[]} */
export const mutations = [
  // Fencing.
  {
    name: "frames of another epoch are taken",
    file: "src-ts/worker/link.ts",
    find: "if (data.readUInt32LE(4) !== this.epoch) this.stale++;\n    else this.receive(",
    replace: "this.receive(",
  },
  {
    name: "a checksum is not looked at",
    file: "src-ts/worker/link.ts",
    find: 'throw new LinkViolation("wrong checksum");',
    replace: "void 0;",
  },
  {
    name: "a worker's token is taken whatever its index",
    file: "src-ts/engine/inbound.ts",
    find: "slot.workerId !== worker.id || (index !== expected && !isEnding(slot.request.state))",
    replace: "false",
  },
  {
    name: "a broken link is not told",
    file: "src-ts/engine/supervisor.ts",
    find: "if (epoch === this.epoch) this.condemn(reason);",
    replace: "void reason;",
  },
  // Prompts alone.
  {
    name: "a prompt alone is answered",
    file: "src-ts/server/openai/responses.ts",
    find: "body.generate === false ? 0 : tokenLimitOf(body)",
    replace: "tokenLimitOf(body)",
  },
  {
    name: "a prompt alone gets an item",
    file: "src-ts/engine/log.ts",
    find: "return this.maxTokens > 0 && kind",
    replace: "return kind",
  },
  // Recovery.
  {
    name: "a restart carries no tokens to the worker",
    file: "src-ts/engine/request.ts",
    find: "emitted: packTokens(request.log?.emitted ?? []),",
    replace: "emitted: packTokens([]),",
  },
  {
    name: "a lost lease is not told to its request",
    file: "src-ts/engine/loop.ts",
    find: 'this.post(request, { kind: "lost", lease, loss, preparing });',
    replace: "void [request, lease, preparing];",
  },
  {
    name: "tokens out are forgotten when a worker is lost",
    file: "src-res/Request.res.mjs",
    find: "emitted: tally$1.emitted,",
    replace: "emitted: 0,",
  },
  {
    name: "strikes are not counted",
    file: "src-res/Request.res.mjs",
    find: "strikes: tally.strikes + 1 | 0,",
    replace: "strikes: tally.strikes,",
  },
  {
    name: "the worker's last strike comes one late",
    file: "src-res/Request.res.mjs",
    find: "if (strikes >= 3) {",
    replace: "if (strikes >= 300) {",
  },
  {
    name: "a prompt whose preparing worker died is not prepared again",
    file: "src-ts/engine/preparer.ts",
    find: "this.host.preparerLost(request, loss);",
    replace: "void loss;",
  },
  {
    name: "a prompt may kill whoever prepares it for ever",
    file: "src-res/Request.res.mjs",
    find: "let deaths$1 = deaths + 1 | 0;",
    replace: "let deaths$1 = 1;",
  },
  {
    name: "who may have killed a worker is prepared beside others",
    file: "src-ts/engine/preparer.ts",
    find: "if (alone) {\n      this.suspects.add(request);",
    replace: "if (request.id === \"\") {\n      this.suspects.add(request);",
  },
  {
    name: "others are sent to the worker that tries a suspect",
    file: "src-ts/engine/supervisor.ts",
    find: "return this.inService && !this.trying;",
    replace: "return this.inService;",
  },
  {
    name: "who ends while it is prepared is forgotten",
    file: "src-ts/engine/preparer.ts",
    find: "if (preparation !== undefined) preparation.request = undefined;",
    replace: "if (preparation !== undefined) this.take(request.preparing.slotId, preparation);",
  },
  {
    name: "a worker pays for what it prepared",
    file: "src-res/Supervision.res.mjs",
    find: "if (death.excused) {",
    replace: "if (death.at < 0) {",
  },
  {
    name: "who runs beside a prompt that kills is struck for it",
    file: "src-ts/engine/loop.ts",
    find: "const preparing = this.preparer.held(worker.id) > 0;",
    replace: "const preparing = false;",
  },
  {
    name: "the watchdog sleeps",
    file: "src-ts/engine/supervisor.ts",
    find: 'this.post({ kind: "timer", timer, at: this.ports.clock.now() });',
    replace: 'if (timer !== "watchdog") this.post({ kind: "timer", timer, at: this.ports.clock.now() });',
  },
  {
    name: "a spare worker never takes over",
    file: "src-ts/engine/roster.ts",
    find: "for (const worker of all) if (!worker.available) worker.onDuty = false;",
    replace: "void 0;",
  },
  {
    name: "steps are not acknowledged",
    file: "src-ts/engine/inbound.ts",
    find: 'for (const [worker, step] of this.acks) worker.send({ type: "ack", step });',
    replace: "void 0;",
  },
  // Slots.
  {
    name: "an abort is not sent",
    file: "src-ts/engine/loop.ts",
    find: 'this.workerOf(slot.workerId)?.send({ type: "abort", ids: [slot.id] });',
    replace: "void 0;",
  },
  {
    name: "a slot is not released",
    file: "src-ts/engine/loop.ts",
    find: "this.placement.leave(request, slot.workerId);",
    replace: "void 0;",
  },
  {
    name: "a slot is kept on the books",
    file: "src-ts/engine/slots.ts",
    find: "this.byId.delete(slot.id);",
    replace: "void 0;",
  },
  {
    name: "a slot's budget is released twice",
    file: "src-res/Batch.res.mjs",
    find: "members: budget.members - members.length | 0,",
    replace: "members: budget.members + 2 - members.length | 0,",
  },
  {
    name: "who must be alone is not",
    file: "src-res/Request.res.mjs",
    find: "let alone = tally$1.alone || (strikes + tally$1.doubts | 0) >= 2;",
    replace: "let alone = false;",
  },
  {
    name: "who waits is not taken off the queue when it is cancelled",
    file: "src-ts/engine/loop.ts",
    find: "this.live.delete(request.id);\n    this.queue.delete(request);",
    replace: "this.live.delete(request.id);",
  },
  {
    name: "who goes away is not cancelled",
    file: "src-ts/engine/registry.ts",
    find: 'if (abandonment.kind === "cancel") {\n      this.options.cancel(log.id);\n      return;\n    }',
    replace: 'if (abandonment.kind === "cancel") return;',
  },
  {
    name: "a deadline is not kept",
    file: "src-ts/engine/loop.ts",
    find: 'const expire = (): void => this.post(request, { kind: "deadline" });',
    replace: "const expire = (): void => {};",
  },
  // Numbers.
  {
    name: "an event is renumbered",
    file: "src-ts/server/writer.ts",
    find: "const number = cursor.position;",
    replace: "const number = cursor.position + (cursor.position > 4 ? 1 : 0);",
  },
  {
    name: "an entry is skipped on a resume",
    file: "src-ts/engine/log.ts",
    find: "const cursor = new LogCursor(this, after + 1);",
    replace: "const cursor = new LogCursor(this, after < 0 ? 0 : after + 2);",
  },
  {
    name: "tokens are coalesced after they are numbered",
    file: "src-ts/engine/log.ts",
    find: 'const delta = { kind: "delta", index, part, text, tokens: tokens.length } as const;',
    replace:
      'const before = this.allEntries.at(-1);\n    if (before?.kind === "delta" && this.allEntries.length % 4 === 0) {\n      before.text += text;\n      this.shownOutput.items.at(-1).parts.at(-1).text += text;\n      return this.grown();\n    }\n    const delta = { kind: "delta", index, part, text, tokens: tokens.length } as const;',
  },
  {
    name: "text that was held back is lost at the end",
    file: "src-ts/engine/loop.ts",
    find: 'log.end(ending, whole ? request.tail : "", wall);',
    replace: 'log.end(ending, "", wall);',
  },
  {
    name: "usage counts a replayed token twice",
    file: "src-ts/engine/log.ts",
    find: "for (const token of tokens) this.allTokens.push(token);\n    for (const entry of entries) this.take(entry);",
    replace:
      "for (const token of [...tokens, ...tokens.slice(0, 1)]) this.allTokens.push(token);\n    for (const entry of entries) this.take(entry);",
  },
  {
    name: "what waits behind an interrupted response runs",
    file: "src-ts/server/session.ts",
    find: "this.lanes?.abandon(correlation.stream_id, this.draining ? undefined : reason);",
    replace: "void 0;",
  },
  {
    name: "a slow reader is told it has everything",
    file: "src-ts/server/writer.ts",
    find: "else if (slot.reading.cursor.lag > 0) {",
    replace: "else if (slot.reading.cursor.lag > 100) {",
  },
  // What is on disk.
  {
    name: "something is shown before it is written",
    file: "src-ts/journal/journal.ts",
    find: "if (batch.logs.size + batch.foreign.size + batch.forgotten.length === 0) return true;",
    replace:
      "if (batch.logs.size + batch.foreign.size + batch.forgotten.length === 0) return true;\n    for (const log of batch.logs.keys()) log.written();",
  },
  {
    name: "what could not be written is shown",
    file: "src-ts/journal/journal.ts",
    find: "this.noteFailure(error as NodeJS.ErrnoException);\n      return false;",
    replace: "this.noteFailure(error as NodeJS.ErrnoException);\n      return true;",
  },
  {
    name: "what was turned away stays on disk",
    file: "src-ts/journal/journal.ts",
    find: "batch.forgotten.push(id);\n    log.unwritable();",
    replace: "log.unwritable();",
  },
  {
    name: "what is deleted comes back",
    file: "src-ts/journal/journal.ts",
    find: "this.forgotten.push(id);\n    this.wantWrite();",
    replace: "void 0;",
  },
  {
    name: "a segment is removed while it counts",
    file: "src-ts/journal/segments.ts",
    find: "if (this.all[0].ids.size > 0) return;",
    replace: "void 0;",
  },
  {
    name: "a part is taken though one before it is missing",
    file: "src-ts/journal/recovery.ts",
    find: "entries.push(...part.entries.slice(entries.length - part.entriesFrom));",
    replace: "entries.push(...part.entries);",
  },
  {
    name: "a restored request begins anew",
    file: "src-ts/engine/loop.ts",
    find: 'this.post(request, { kind: "restored", promptTokens, emitted: tokens.length });',
    replace: 'this.post(request, { kind: "restored", promptTokens, emitted: 0 });',
  },
  {
    name: "what is found on disk is not taken up",
    file: "src-ts/engine/engine.ts",
    find: "for (const stored of this.ports.journal?.takeRestored() ?? []) this.restore(stored);",
    replace: "this.ports.journal?.takeRestored();",
  },
  {
    name: "a key is forgotten over a restart",
    file: "src-ts/engine/registry.ts",
    find: "this.attached.set(id, { fingerprint, response: Promise.resolve(log) });",
    replace: "void fingerprint;",
  },
  {
    name: "a drain ends what the next process should go on with",
    file: "src-ts/engine/engine.ts",
    find: "if (request.log?.survives) request.log.interrupt(isDraining());\n      else this.loop.post",
    replace: "this.loop.post",
  },
  {
    name: "who reads a deleted response waits for ever",
    file: "src-ts/engine/durable.ts",
    find: "if (this.forgotten) return this.log.show();",
    replace: "if (this.forgotten) return;",
  },
  {
    name: "a worker can be restarted while the server stops",
    file: "src-ts/engine/engine.ts",
    find: "if (this.closing) return true;",
    replace: "void this.closing;",
  },
  // The client.
  {
    name: "the client resumes one event late",
    file: "src-ts/client/exchange.ts",
    find: "starting_after: this.channel.received,",
    replace: "starting_after: this.channel.received + 1,",
  },
  {
    name: "the client asks for another response after a cut",
    file: "src-ts/client/exchange.ts",
    find: "this.#options.send(responseId === undefined ? this.#create() : this.#resume(responseId));",
    replace: "this.#options.send(this.#create());",
  },
  {
    name: "the client's key is new each time",
    file: "src-ts/client/exchange.ts",
    find: '      ...order.body,\n',
    replace: '      ...order.body,\n      ["mlx_serving:idempotency_key"]: `k${this.#options.ports.random()}`,\n',
  },
  {
    name: "a cancellation before the answer is not sent",
    file: "src-ts/client/channel.ts",
    find: "if (this.#cancelWanted) this.#orderCancel(this.responseId);",
    replace: "void 0;",
  },
  {
    name: "the client does not come back",
    file: "src-ts/client/link.ts",
    find: "timer: this.#ports.after(delayMs, () => this.#redial(cause)),",
    replace: "timer: this.#ports.after(delayMs, () => {}),",
  },
  {
    name: "a lane's next response does not start",
    file: "src-ts/server/lanes.ts",
    find: "if (job !== undefined) {\n      this.run(key, job);",
    replace: "if (job !== undefined) {",
  },
];
