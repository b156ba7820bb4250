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
    file: "src-res/FromWorkers.res.mjs",
    find: "slot.workerId !== worker.id || index !== expected && !isBeingEnded(t, slot)",
    replace: "false",
  },
  {
    name: "a broken link is not told",
    file: "src-ts/engine/workers/shell.ts",
    find: "this.host.post({ kind: \"violated\", workerId: this.id, epoch: from.epoch });",
    replace: "void from;",
  },
  // Prompts alone.
  {
    name: "a prompt alone is answered",
    file: "src-ts/server/submissions/responses.ts",
    find: "body.generate === false ? 0 : tokenLimitOf(body)",
    replace: "tokenLimitOf(body)",
  },
  {
    name: "a prompt alone gets an item",
    file: "src-ts/engine/responses/log.ts",
    find: "return this.maxTokens > 0 && kind",
    replace: "return kind",
  },
  // Prefix caches.
  {
    name: "a lost worker keeps its blocks",
    file: "src-res/Placement.res.mjs",
    find: "  worker.blocks.clear();",
    replace: "",
  },
  {
    name: "evicted blocks are counted on",
    file: "src-res/Placement.res.mjs",
    find: "  evicted.forEach(hash => {\n    worker.blocks.delete(hash);\n  });",
    replace: "",
  },
  {
    name: "a prompt is looked for without its salt",
    file: "src-ts/engine/requests/requests.ts",
    find: "      ...(spell && { spell }),\n      ...this.saltOf(request),\n",
    replace: "      ...(spell && { spell }),\n",
  },
  {
    name: "a prompt is kept without its salt",
    file: "src-ts/engine/requests/requests.ts",
    find: "return [{ ...admissionOf(request.identity, request.phase, slot), ...this.saltOf(request) }];",
    replace: "return [admissionOf(request.identity, request.phase, slot)];",
  },
  {
    name: "prefixes are shared though nobody said so",
    file: "src-ts/engine/engine.ts",
    find: 'sharesPrefixes: options.prefixSharing === "all",',
    replace: "sharesPrefixes: true,",
  },
  {
    name: "blocks are counted that a worker let go before it told",
    file: "src-res/Placement.res.mjs",
    find: "  kept.forEach(hash => {\n    worker.blocks.add(hash);\n  });",
    replace: "  evicted.concat(kept).forEach(hash => {\n    worker.blocks.add(hash);\n  });",
  },
  // Memory.
  {
    name: "what running requests take of memory is not counted",
    file: "src-res/Batch.res.mjs",
    find: "kvBytes: budget.kvBytes - members.reduce((sum, param) => sum + param.cost.kvBytes, 0),",
    replace: "kvBytes: budget.kvBytes,",
  },
  {
    name: "what needs more than a batch has takes none of it",
    file: "src-res/Preparation.res.mjs",
    find: "let taken = beside < limits.kvBudgetBytes ? beside : limits.kvBudgetBytes;",
    replace: "let taken = beside < limits.kvBudgetBytes ? beside : 0;",
  },
  {
    name: "who is pushed out is cancelled",
    file: "src-res/Request.res.mjs",
    find: 'cancel(lease$2, tally$3, highWaterAtStart$1, "preempted")',
    replace: 'cancel(lease$2, tally$3, highWaterAtStart$1, "cancelled")',
  },
  // Deletion.
  {
    name: "a deletion is answered before it is on disk",
    file: "src-ts/engine/engine.ts",
    find: "if (store) await this.ports.journal?.settled();",
    replace: "void store;",
  },
  // Recovery.
  {
    name: "a restart carries no tokens to the worker",
    file: "src-ts/engine/requests/content.ts",
    find: "emitted: packTokens(log.emitted),",
    replace: "emitted: packTokens([]),",
  },
  {
    name: "a lost lease is not told to its request",
    file: "src-res/WorkerSteps.res.mjs",
    find: "OrchestratorState$MlxServing.tellById(t, param.requestId, {\n    kind: \"lost\",",
    replace: "OrchestratorState$MlxServing.tellById(t, \"\", {\n    kind: \"lost\",",
  },
  {
    name: "tokens out are forgotten when a worker is lost",
    file: "src-res/Request.res.mjs",
    find: "emitted: tally$1.emitted,",
    replace: "emitted: 0,",
  },
  {
    name: "retries without progress are not counted",
    file: "src-res/Request.res.mjs",
    find: "retriesWithoutProgress: tally.retriesWithoutProgress + 1 | 0,",
    replace: "retriesWithoutProgress: tally.retriesWithoutProgress,",
  },
  {
    name: "the worker's last retry without progress comes one late",
    file: "src-res/Request.res.mjs",
    find: "if (retriesWithoutProgress >= 3) {",
    replace: "if (retriesWithoutProgress >= 300) {",
  },
  {
    name: "a prompt whose preparing worker died is not prepared again",
    file: "src-res/Preparation.res.mjs",
    find: "OrchestratorState$MlxServing.withRequest(t, requestId, request => {\n        request.phase = \"Waiting\";",
    replace: "OrchestratorState$MlxServing.withRequest(t, \"\", request => {\n        request.phase = \"Waiting\";",
  },
  {
    name: "a prompt may kill whoever prepares it for ever",
    file: "src-res/Request.res.mjs",
    find: "let deaths$1 = deaths + 1 | 0;",
    replace: "let deaths$1 = 1;",
  },
  {
    name: "who may have killed a worker is prepared beside others",
    file: "src-res/Preparation.res.mjs",
    find: "if (alone) {\n    t.suspects.add(id);",
    replace: "if (id === \"\") {\n    t.suspects.add(id);",
  },
  {
    name: "others are sent to the worker that tries a suspect",
    file: "src-res/OrchestratorState.res.mjs",
    find: "return !worker.trying;",
    replace: "return true;",
  },
  {
    name: "who ends while it is prepared is forgotten",
    file: "src-res/Preparation.res.mjs",
    find: "preparation.requestId = undefined;",
    replace: "forget(t, t.workers.get(preparation.workerId), preparation.id);",
  },
  {
    name: "a worker pays for what it prepared",
    file: "src-res/Supervision.res.mjs",
    find: "if (death.excused) {",
    replace: "if (death.at < 0) {",
  },
  {
    name: "who runs beside a prompt that kills is struck for it",
    file: "src-res/WorkerSteps.res.mjs",
    find: "let beside = worker.preparations.size > 0 || slots.length > 1;",
    replace: "let beside = slots.length > 1;",
  },
  {
    name: "the watchdog sleeps",
    file: "src-ts/engine/workers/shell.ts",
    find: "this.host.post({ kind: \"workerTimer\", workerId: this.id, timer });",
    replace: "if (timer !== \"watchdog\") this.host.post({ kind: \"workerTimer\", workerId: this.id, timer });",
  },
  {
    name: "a spare worker never takes over",
    file: "src-res/WorkerSteps.res.mjs",
    find: "worker.active = false;",
    replace: "void 0;",
  },
  {
    name: "steps are not acknowledged",
    file: "src-res/Orchestrator.res.mjs",
    find: "if (worker.unacknowledged > 0) {",
    replace: "if (worker.unacknowledged < 0) {",
  },
  // Slots.
  {
    name: "an abort is not sent",
    file: "src-ts/engine/execute.ts",
    find: "return shell(command.workerId).send({ type: \"abort\", ids: [command.slot] });",
    replace: "return undefined;",
  },
  {
    name: "a slot is not released",
    file: "src-res/RequestSteps.res.mjs",
    find: "kind: \"leave\",\n      requestId: request.identity.id",
    replace: "kind: \"leave\",\n      requestId: \"\"",
  },
  {
    name: "a slot is kept on the books",
    file: "src-res/RequestSteps.res.mjs",
    find: "worker.slots.delete(match.id);",
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
    find: "let alone = tally$1.alone || (retriesWithoutProgress + tally$1.doubts | 0) >= 2;",
    replace: "let alone = false;",
  },
  {
    name: "who waits is not taken off the queue when it is cancelled",
    file: "src-res/RequestSteps.res.mjs",
    find: "t.requests.delete(requestId);\n  t.queue.delete(requestId);",
    replace: "t.requests.delete(requestId);",
  },
  {
    name: "who goes away is not cancelled",
    file: "src-ts/engine/responses/registry.ts",
    find: 'if (abandonment.kind === "cancel") {\n      this.options.cancel(log.id);\n      return;\n    }',
    replace: 'if (abandonment.kind === "cancel") return;',
  },
  {
    name: "a deadline is not kept",
    file: "src-ts/engine/requests/requests.ts",
    find: "const passed = (): void => this.host.post({ kind: \"deadline\", requestId });",
    replace: "const passed = (): void => {};",
  },
  // Turns: reasoning, text, calls.
  {
    name: "a call that was broken off is complete",
    file: "src-ts/engine/responses/items.ts",
    find: "const incomplete = isCall(open.item) && !complete;",
    replace: "const incomplete = false;",
  },
  {
    name: "two calls are one",
    file: "src-ts/engine/responses/items.ts",
    find: 'return !("callId" in one) || !("callId" in other) || one.callId === other.callId;',
    replace: "return true;",
  },
  {
    name: "an item stays open when the next begins",
    file: "src-ts/engine/responses/items.ts",
    find: "return [...this.closing(), added, ...first];",
    replace: "return [added, ...first];",
  },
  {
    name: "all calls have one id",
    file: "src-ts/engine/responses/items.ts",
    find: "if (isCall(item)) this.calls++;",
    replace: "void 0;",
  },
  {
    name: "a call has an id of its moment",
    file: "src-ts/engine/responses/log.ts",
    find: "callId: `call_${own}_${this.openItem.calls}`",
    replace: "callId: `call_${own}_${this.allEntries.length}`",
  },
  {
    name: "the end of a call is not noted",
    file: "src-ts/engine/responses/log.ts",
    find: "if (item === undefined || !isCall(item)) return;",
    replace: "if (item !== undefined) return;",
  },
  {
    name: "what is open at the end stays open",
    file: "src-ts/engine/responses/log.ts",
    find: 'for (const entry of this.openItem.closing()) this.append(entry);\n    this.append({ kind: "ended"',
    replace: 'this.append({ kind: "ended"',
  },
  {
    name: "reasoning is forgotten over a restart",
    file: "src-ts/engine/responses/log.ts",
    find: "this.reasoningTokens = reasoningTokens;",
    replace: "void reasoningTokens;",
  },
  {
    name: "a restored log knows no open item",
    file: "src-ts/engine/responses/log.ts",
    find: "for (const entry of entries) this.take(entry);",
    replace: "for (const entry of entries) this.allEntries.push(entry);",
  },
  {
    name: "a piece of reasoning counts as a token",
    file: "src-ts/engine/responses/utterances.ts",
    find: 'if (pieces.some(([kind]) => kind === "reasoning")) arrived.reasoningTokens++;',
    replace: 'for (const [kind] of pieces) if (kind === "reasoning") arrived.reasoningTokens++;',
  },
  {
    name: "text goes to what was said of its kind before",
    file: "src-ts/engine/responses/utterances.ts",
    find: "const last = utterances.at(-1);\n  if (last?.kind === kind) return last;",
    replace:
      "const last = utterances.findLast((one) => one.kind === kind) as Text | undefined;\n  if (last !== undefined) return last;",
  },
  {
    name: "a broken-off call is shown as whole",
    file: "src-ts/engine/responses/output.ts",
    find: "this.items[entry.index]!.isIncomplete = entry.incomplete ?? false;",
    replace: "void 0;",
  },
  {
    name: "tools are not carried to the worker",
    file: "src-ts/engine/requests/content.ts",
    find: "...turn,",
    replace: "",
  },
  {
    name: "tools are forgotten on disk",
    file: "src-ts/journal/acceptances.ts",
    find: "const turned = Object.keys(turn).length > 0 && { turn };",
    replace: "const turned = turn === undefined && { turn };",
  },
  {
    name: "a broken-off call is whole on disk",
    file: "src-ts/journal/entries.ts",
    find: "return entry.incomplete ? { kind, incomplete: true } : { kind };",
    replace: "return { kind };",
  },
  {
    name: "an item's id says nothing of its place",
    file: "src-ts/server/render/output-items.ts",
    find: "return index === 0 ? `${prefix}_${own}` : `${prefix}_${own}_${index}`;",
    replace: "return `${prefix}_${own}_${response.output.length}`;",
  },
  {
    name: "a call that is being made is complete",
    file: "src-ts/server/render/response-events.ts",
    find: 'return { type: "response.function_call_arguments.done", ...place, name, arguments: text };',
    replace:
      'return { type: "response.function_call_arguments.done", ...place, name, arguments: text.trim() };',
  },
  // Numbers.
  {
    name: "an event is renumbered",
    file: "src-ts/server/streams/writer.ts",
    find: "const number = cursor.position;",
    replace: "const number = cursor.position + (cursor.position > 4 ? 1 : 0);",
  },
  {
    name: "an entry is skipped on a resume",
    file: "src-ts/engine/responses/log.ts",
    find: "const cursor = new LogCursor(this, after + 1);",
    replace: "const cursor = new LogCursor(this, after < 0 ? 0 : after + 2);",
  },
  {
    name: "tokens are coalesced after they are numbered",
    file: "src-ts/engine/responses/log.ts",
    find: 'const delta = { kind: "delta", index, part, text, tokens } as const;',
    replace:
      'const before = this.allEntries.at(-1);\n    if (before?.kind === "delta" && this.allEntries.length % 4 === 0) {\n      before.text += text;\n      this.shownOutput.items.at(-1).parts.at(-1).text += text;\n      return this.grown();\n    }\n    const delta = { kind: "delta", index, part, text, tokens } as const;',
  },
  {
    name: "text that was held back is lost at the end",
    file: "src-ts/engine/requests/requests.ts",
    find: "whole ? (said.tail ?? \"\") : \"\"",
    replace: "\"\"",
  },
  {
    name: "usage counts a replayed token twice",
    file: "src-ts/engine/responses/log.ts",
    find: "for (const token of tokens) this.allTokens.push(token);\n    for (const entry of entries) this.take(entry);",
    replace:
      "for (const token of [...tokens, ...tokens.slice(0, 1)]) this.allTokens.push(token);\n    for (const entry of entries) this.take(entry);",
  },
  {
    name: "what waits behind an interrupted response runs",
    file: "src-ts/server/websocket/session.ts",
    find: "this.lanes?.abandon(correlation.stream_id, this.draining ? undefined : reason);",
    replace: "void 0;",
  },
  {
    name: "a slow reader is told it has everything",
    file: "src-ts/server/streams/writer.ts",
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
    file: "src-ts/engine/requests/restored.ts",
    find: "const emitted = stored.tokens.length;",
    replace: "const emitted = 0;",
  },
  {
    name: "what is found on disk is not taken up",
    file: "src-ts/engine/engine.ts",
    find: "for (const stored of this.ports.journal?.takeRestored() ?? []) this.restore(stored);",
    replace: "this.ports.journal?.takeRestored();",
  },
  {
    name: "a key is forgotten over a restart",
    file: "src-ts/engine/responses/registry.ts",
    find: "this.attached.set(id, { fingerprint, response: Promise.resolve(log) });",
    replace: "void fingerprint;",
  },
  {
    name: "a drain ends what the next process should go on with",
    file: "src-res/Orchestrator.res.mjs",
    find: "if (request.identity.survives && OrchestratorState$MlxServing.isAccepted(request)) {",
    replace: "if (request.identity.id === \"\") {",
  },
  {
    name: "who reads a deleted response waits for ever",
    file: "src-ts/engine/responses/durable.ts",
    find: "if (this.forgotten) return this.log.show();",
    replace: "if (this.forgotten) return;",
  },
  {
    name: "a worker can be restarted while the server stops",
    file: "src-res/Orchestrator.res.mjs",
    find: "if (t.stopping || worker.leaving) {",
    replace: 'if (t.stopping && worker.id === "") {',
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
    file: "src-ts/server/websocket/lanes.ts",
    find: "if (job !== undefined) {\n      this.run(key, job);",
    replace: "if (job !== undefined) {",
  },
];
