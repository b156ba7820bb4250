/**
 * Mistakes that a search must find: promises of the shipped orchestrator broken on purpose, one at a time. `find`
 * stands exactly once in its file; where it doesn't any more the bundle fails, so that the list can't rot.
 */
import {
  planned,
  poisonedAmongTwo,
  poisonedPreparation,
  poisonedRun,
  promptsAlone,
  standby,
  stored,
  together,
  tooLarge,
  twoWorkers,
} from "./configuration.js";
import { closing, ghosts, type Mutation, mutation, restarting, small } from "./mutation.js";

const fencing: readonly Mutation[] = [
  mutation(
    "frames of another incarnation are taken",
    "FromWorkers",
    ["if (epoch === OrchestratorState$MlxServing.epochOf(worker)) {", "if (true) {"],
    /is told of a step that it never said/,
    ghosts,
  ),
  mutation(
    "the link of another incarnation counts",
    "Orchestrator",
    [
      'kind: "closed",\n        epoch: epoch$7',
      'kind: "closed",\n        epoch: OrchestratorState$MlxServing.epochOf(worker)',
    ],
    /pays for what its last incarnation says/,
    ghosts,
  ),
  mutation(
    "a worker's token is taken whatever its index",
    "FromWorkers",
    [
      "slot.workerId !== worker.id || index !== expected && !isBeingEnded(t, slot)",
      "slot.workerId !== worker.id",
    ],
    /the log gets the tokens it says/,
    { ...small, faults: ["lie"] },
  ),
  mutation(
    "tokens of the preempted are dropped like those of who is ended",
    "FromWorkers",
    ['return match$1.cause !== "preempted";', "return true;"],
    /the log gets the tokens it says/,
    { ...small, liberties: ["preempt"], faults: ["lie"] },
  ),
  mutation(
    "another worker may speak of a slot",
    "FromWorkers",
    [
      "if (slot.workerId !== worker.id) {\n      return RequestSteps$MlxServing.failProtocol(",
      "if (slot.workerId === undefined) {\n      return RequestSteps$MlxServing.failProtocol(",
    ],
    /lied and is not blamed|pays for another's lie/,
    { ...twoWorkers, faults: ["lie"] },
  ),
  mutation(
    "another worker is blamed",
    "RequestSteps",
    [
      "let worker = t.workers.get(match.workerId);\n      if (worker !== undefined) {\n        return failProtocol(",
      "let worker = t.workers.values().next().value;\n      if (worker !== undefined) {\n        return failProtocol(",
    ],
    /is blamed: honest/,
    { ...twoWorkers, faults: ["lie"] },
  ),
  mutation(
    "nobody is blamed for what a request can't hear",
    "RequestSteps",
    ['case "illegal" :\n      if (match === undefined) {', 'case "illegal" :\n      if (true) {'],
    /lied and is not blamed/,
    { ...small, faults: ["lie"] },
  ),
  mutation(
    "nobody is blamed for what a worker can't say",
    "WorkerSteps",
    ["if (!saidByWorker(event)) {", "if (true) {"],
    /lied and is not blamed/,
    { ...small, faults: ["lie"] },
  ),
  mutation(
    "blame has no consequence",
    "RequestSteps",
    [
      'OrchestratorState$MlxServing.tellWorker(t, worker, {\n    kind: "violated",\n    epoch: OrchestratorState$MlxServing.epochOf(worker)\n  });',
      "",
    ],
    /lied and is not blamed/,
    { ...small, faults: ["lie"] },
  ),
];

const tokens: readonly Mutation[] = [
  mutation(
    "tokens are numbered from the start",
    "WorkerSteps",
    ["let logged = match._0.logged;", "let logged = 0;"],
    /hears tokens .*illegal, and honest/,
  ),
  mutation(
    "tokens become an event twice",
    "WorkerSteps",
    ["slot.arrived = 0;", ""],
    /tokens are numbered when the turn is over/,
    { ...small, framesPerTurnMax: 2 },
  ),
  mutation(
    "tokens that came are forgotten when the turn ends",
    "WorkerSteps",
    [
      "return number(t, slot);\n    }\n  });\n  t.arrived.clear();",
      "}\n  });\n  t.arrived.clear();",
    ],
    /tokens are numbered when the turn is over/,
  ),
  mutation(
    "tokens that came are forgotten when the worker is lost",
    "WorkerSteps",
    ["slots.forEach(slot => number(t, slot));", ""],
    /is in its log when its slot is released/,
    { ...small, framesPerTurnMax: 2, faults: ["outOfMemory"] },
  ),
  mutation(
    "a worker may say as many tokens as it likes",
    "FromWorkers",
    ["if (expected < slot.tokensMax) {", "if (true) {"],
    /no token too many|lied and is not blamed/,
    { ...promptsAlone, faultsMax: 1, faults: ["lie"] },
  ),
  mutation(
    "a token is counted twice",
    "RequestSteps",
    ["accepted._0.logged = index + count | 0;", "accepted._0.logged = index + count + 1 | 0;"],
    /log has what it emitted/,
  ),
  mutation(
    "a token is not appended",
    "RequestSteps",
    ['kind: "append",', 'kind: "cached",'],
    /log has what it emitted/,
  ),
  mutation(
    "what nobody listens to stays",
    "RequestSteps",
    ["discard(t, event, slot);\n}", "}"],
    /tokens are numbered when the turn is over/,
  ),
  mutation(
    "steps are not acknowledged",
    "Orchestrator",
    ["if (worker.unacknowledged > 0) {", "if (worker.unacknowledged < 0) {"],
    /are acknowledged in their turn/,
  ),
  mutation(
    "the turn is not ended",
    "OrchestratorState",
    ["if (!t.turnOpen) {", "if (t.turnOpen) {"],
    /whoever takes work prepares it/,
  ),
];

const slots: readonly Mutation[] = [
  mutation(
    "a slot is not released",
    "RequestSteps",
    [
      "if (OrchestratorState$MlxServing.hasLease(from) && !OrchestratorState$MlxServing.hasLease(state)) {",
      "if (false) {",
    ],
    /a slot exactly while it has a lease/,
  ),
  mutation(
    "a slot is kept on the books",
    "RequestSteps",
    ["worker.slots.delete(match.id);", ""],
    /knows what it holds/,
  ),
  mutation(
    "a seat in the batch is not given back",
    "RequestSteps",
    ['kind: "leave",', 'kind: "prefilled",'],
    /a Batch hears prefilled while .*, and honest/,
  ),
  mutation(
    "an abort is not sent",
    "RequestSteps",
    ['kind: "abort",\n      workerId: lease.workerId,', 'kind: "discard",\n      count: 0,'],
    /the abort of r\d reached its process/,
  ),
  mutation(
    "who was never submitted is aborted all the same",
    "RequestSteps",
    ["if (match$1) {", "if (true) {"],
    /one abort a lease/,
  ),
  mutation(
    "a machine is not told what it holds",
    "OrchestratorState",
    ["if (count !== worker.pending || preparing !== worker.preparing) {", "if (false) {"],
    /knows what it holds/,
  ),
  mutation(
    "the window's timer is not armed",
    "Placement",
    ['kind: "armWindow",', 'kind: "disarmWindow",'],
    /window is armed while it is open/,
  ),
  mutation(
    "the window's timer outlives its batch",
    "Placement",
    ['kind: "disarmWindow",', 'kind: "available",'],
    /has no window without a batch/,
  ),
  mutation(
    "a batch outlives its worker",
    "Placement",
    ["worker.batch = undefined;\n  worker.blocks", "worker.blocks"],
    /has a batch only while it is up/,
  ),
  mutation(
    "who ran out of memory gets as many members again",
    "Placement",
    ["members: count > 1 ? count / 2 | 0 : 1,", "members: count,"],
    /half of what it ran out of memory with/,
    { ...small, faults: ["outOfMemory"], membersMax: 3 },
  ),
  mutation(
    "the prompt of the prefilled counts on",
    "RequestSteps",
    ["if (isFirstToken(from, state)) {", "if (false) {"],
    /has prefilled, and its batch knows/,
  ),
  mutation(
    "who must run alone shares its batch",
    "Batch",
    [
      "candidate.exclusive ? present.length !== 0 : present.some(member => member.exclusive)",
      "false",
    ],
    /whom w0 runs alone is alone/,
    { ...small, faultsMax: 2, deathsWithoutProgressMax: 5 },
  ),
  mutation(
    "who must run alone joins like others",
    "RequestSteps",
    ["exclusive: alone,", "exclusive: false,"],
    /must run alone/,
    { ...small, faultsMax: 2, deathsWithoutProgressMax: 5 },
  ),
];

const workers: readonly Mutation[] = [
  mutation(
    "a worker is lost in silence",
    "WorkerSteps",
    ["return lost(t, worker, effect.epoch, effect.fault, at);", "return;"],
    /lost exactly once/,
  ),
  mutation(
    "a kill is not sent",
    "WorkerSteps",
    ['kind: "kill",\n        workerId: workerId', 'kind: "report",\n        workerId: workerId'],
    /is told to end/,
    { ...small, faults: ["hang"] },
  ),
  mutation(
    "a stop is not asked for",
    "WorkerSteps",
    ['kind: "askStop",', 'kind: "report",'],
    /is told to end/,
    restarting,
  ),
  mutation(
    "the watchdog sees and does nothing",
    "Worker",
    ["if (leftMs <= 0) {", "if (leftMs > 0) {"],
    /brings every request/,
    { ...small, faults: ["hang"] },
  ),
  mutation(
    "a process comes beside its successor",
    "Worker",
    [
      "function kill(state, fault) {",
      "function kill(state, fault) {\n  if (true) return begin(vitalsOf(state).memory, leaving(state, fault));",
    ],
    /one live process/,
    { ...small, faults: ["garbage"] },
  ),
  mutation(
    "a timer is not disarmed",
    "WorkerSteps",
    ['kind: "disarmWorker",', 'kind: "report",'],
    /has timers \[/,
  ),
  mutation(
    "a spare worker never takes over",
    "WorkerSteps",
    ["worker.active = false;\n      return;", "return;"],
    /brings every request|is active/,
    standby,
  ),
  mutation(
    "spare workers work",
    "WorkerSteps",
    ["if (room.contents > 0 && worker.available && !worker.active) {", "if (worker.available) {"],
    /workers are active, and 1 stand by/,
    standby,
  ),
  mutation(
    "a drain leaves its batch open",
    "WorkerSteps",
    ['kind: "drain",\n    cause: "restart"', 'kind: "leave",\n    requestId: ""'],
    /drains with its batch/,
    restarting,
  ),
  mutation(
    "a worker pays for what it prepared",
    "Supervision",
    ["if (death.excused) {", "if (death.at < 0) {"],
    /pays for what it prepared/,
    poisonedPreparation,
  ),
];

const requests: readonly Mutation[] = [
  mutation(
    "retries without progress are not counted",
    "Request",
    [
      "retriesWithoutProgress: tally.retriesWithoutProgress + 1 | 0,",
      "retriesWithoutProgress: tally.retriesWithoutProgress,",
    ],
    /counts its retries without progress/,
  ),
  mutation(
    "a retry without progress for who ran beside it",
    "WorkerSteps",
    [
      "let beside = worker.preparations.size > 0 || slots.length > 1;",
      "let beside = slots.length > 1;",
    ],
    /counts its retries without progress/,
    poisonedPreparation,
  ),
  mutation(
    "a retry without progress for each of a batch",
    "WorkerSteps",
    [
      "let beside = worker.preparations.size > 0 || slots.length > 1;",
      "let beside = worker.preparations.size > 0;",
    ],
    /counts its retries without progress/,
    together,
  ),
  mutation(
    "a doubt that leads nowhere",
    "Request",
    ["doubts: tally.doubts + 1 | 0,", "doubts: tally.doubts,"],
    /counts its doubts/,
    poisonedRun,
  ),
  mutation(
    "a preparation that may kill for ever",
    "Request",
    ["let deaths$1 = deaths + 1 | 0;", "let deaths$1 = 1;"],
    /counts the deaths over its preparation/,
    poisonedPreparation,
  ),
  mutation(
    "an end that comes twice",
    "RequestSteps",
    [
      "return close(t, request, effect.finish);",
      "close(t, request, effect.finish);\n      return close(t, request, effect.finish);",
    ],
    /comes after close/,
  ),
  mutation(
    "an end that never comes",
    "RequestSteps",
    ['kind: "close",', 'kind: "queued",'],
    /closed exactly if it is done/,
  ),
  mutation(
    "an end that is forgotten",
    "RequestSteps",
    ["t.requests.delete(requestId);", ""],
    /closed exactly if it is done/,
  ),
  mutation(
    "a loss without its place in the queue",
    "RequestSteps",
    [
      "t.queue.add(param.identity.id);",
      "if (param.state.epoch === 0) t.queue.add(param.identity.id);",
    ],
    /in the queue/,
  ),
  mutation(
    "who waits is not taken off the queue when it ends",
    "RequestSteps",
    ["t.queue.delete(requestId);\n", ""],
    /is in the queue exactly while it is queued/,
  ),
  mutation(
    "a lost lease is not told to its request",
    "WorkerSteps",
    ['kind: "lost",\n    lease: param.lease,', 'kind: "preempt",\n    lease: param.lease,'],
    /counts its retries without progress/,
  ),
  mutation(
    "who comes while the model is broken stays",
    "WorkerSteps",
    [
      "if (request.identity.modelId === modelId && !OrchestratorState$MlxServing.isAccepted(request)) {",
      "if (false) {",
    ],
    /waits to be accepted where every worker is broken/,
    { ...planned, faultsMax: 1 },
  ),
  mutation(
    "who comes to a server that drains is taken in",
    "FromClients",
    ["if (t.draining) {", "if (false) {"],
    /comes in exactly if it can be served/,
    closing,
  ),
  mutation(
    "who comes to a broken model is taken in",
    "FromClients",
    ["workers.every(OrchestratorState$MlxServing.isBroken)", "false"],
    /comes in exactly if it can be served/,
    { ...planned, faultsMax: 1 },
  ),
  mutation(
    "what can't be sent is not told",
    "FromWorkers",
    ["worker => refused(t, worker, id, code, at)", "() => {}"],
    /is at a worker: tokenizing/,
    tooLarge,
  ),
  mutation(
    "somebody is accepted before it is stored",
    "Request",
    ["if (stored) {", "if (false) {"],
    /is stored before it is accepted/,
    stored,
  ),
  mutation(
    "a death over the preparation forgets what is to be stored",
    "Request",
    [
      "deaths: deaths$1,\n                stored: stored",
      "deaths: deaths$1,\n                stored: false",
    ],
    /is stored before it is accepted/,
    { ...stored, prepare: true },
  ),
  mutation(
    "what is stored is not taken up",
    "Orchestrator",
    ['kind: "stored"', 'kind: "preempt"'],
    /hears preempt while storing: illegal/,
    stored,
  ),
  mutation(
    "a server that ends ends what is stored too",
    "Orchestrator",
    [
      "if (request.identity.survives && OrchestratorState$MlxServing.isAccepted(request)) {",
      "if (false) {",
    ],
    /what is stored goes on elsewhere/,
    stored,
  ),
  mutation(
    "a server that ends leaves what nobody has heard of",
    "Orchestrator",
    [
      "if (request.identity.survives && OrchestratorState$MlxServing.isAccepted(request)) {",
      "if (request.identity.survives) {",
    ],
    /only what was accepted is interrupted/,
    stored,
  ),
  mutation(
    "a server that ends ends nobody",
    "Orchestrator",
    ['kind: "shutdown"\n          });', 'kind: "preempt"\n          });'],
    /hears preempt while preparing: illegal/,
    closing,
  ),
  mutation(
    "a restart brings a worker back while the server stops",
    "Orchestrator",
    ["if (t.stopping || worker.leaving) {", "if (false) {"],
    /ends with the server/,
    { ...closing, ordersMax: 1 },
  ),
];

const preparation: readonly Mutation[] = [
  mutation(
    "who may have killed a worker is prepared beside others",
    "Preparation",
    ["if (alone) {\n    t.suspects.add(id);", "if (false) {\n    t.suspects.add(id);"],
    /fails for what it did not do/,
    poisonedPreparation,
  ),
  mutation(
    "others are sent to the worker that tries a suspect",
    "OrchestratorState",
    ["return !worker.trying;", "return true;"],
    /is alone there/,
    poisonedPreparation,
  ),
  mutation(
    "who ends while it is prepared is forgotten",
    "Preparation",
    [
      "preparation.requestId = undefined;",
      "forget(t, t.workers.get(preparation.workerId), preparation.id);",
    ],
    /prepares what|knows what it/,
    poisonedPreparation,
  ),
  mutation(
    "somebody is prepared beside who must run alone",
    "Preparation",
    ["return found.contents;", "return false;"],
    /prepares nobody beside who must run alone/,
    poisonedRun,
  ),
  mutation(
    "who must run alone is sent to a worker that prepares",
    "Scheduler",
    ["return !slot.worker.preparing;", "return true;"],
    /prepares nobody beside who must run alone/,
    { ...poisonedRun, plan: "real" },
  ),
  mutation(
    "who waits to be prepared is not looked at again",
    "Preparation",
    ["if (t.unprepared.size <= 0) {", "if (true) {"],
    /whoever takes work prepares it/,
  ),
  mutation(
    "a suspect is never tried",
    "Preparation",
    ["if (t.suspects.size > 0) {", "if (false) {"],
    /a suspect is tried by whoever holds nobody/,
    poisonedAmongTwo,
  ),
  mutation(
    "a prompt whose preparing worker died is not prepared again",
    "Preparation",
    ['kind: "preparerLost",', 'kind: "preempt",'],
    /hears preempt while preparing: illegal/,
    poisonedPreparation,
  ),
];

export const mutations: readonly Mutation[] = [
  ...fencing,
  ...tokens,
  ...slots,
  ...workers,
  ...requests,
  ...preparation,
];
