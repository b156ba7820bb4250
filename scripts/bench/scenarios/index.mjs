/** All scenarios, in the order in which they run. */
import { agents } from "./agents.mjs";
import { beside } from "./beside.mjs";
import { conversation } from "./conversation.mjs";
import { copy } from "./copy.mjs";
import { openLoop } from "./open-loop.mjs";
import { prefill } from "./prefill.mjs";
import { ragged } from "./ragged.mjs";
import { repeatedPrefix } from "./repeated-prefix.mjs";
import { restart } from "./restart.mjs";
import { streams } from "./streams.mjs";

/** @type {readonly import("./common.mjs").Scenario[]} */
export const scenarios = [
  streams,
  prefill,
  repeatedPrefix,
  conversation,
  copy,
  restart,
  openLoop,
  beside,
  ragged,
  agents,
];
