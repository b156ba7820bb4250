// The hook with the oldest React that it is for: rendered on a server, taken over by a page in StrictMode, told of an error.
import assert from "node:assert/strict";
import { Window } from "happy-dom";
import React, { act, createElement, StrictMode } from "react";
import { renderToString } from "react-dom/server";

assert.equal(React.version.split(".")[0], "18");
const window = new Window();
const { document, navigator } = window;
Object.assign(globalThis, { window, document, IS_REACT_ACT_ENVIRONMENT: true });
// Node 20 has none, and later ones have one that can't be assigned to.
Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
const { hydrateRoot } = await import("react-dom/client");
const { useResponse } = await import("mlx-serving/react");

let used;
function Answer() {
  used = useResponse("ws://127.0.0.1:1");
  return createElement("p", null, used.error?.code ?? used.status);
}
const page = createElement(StrictMode, null, createElement(Answer));
const place = document.createElement("div");
place.innerHTML = renderToString(page);
assert.equal(place.textContent, "idle");

const faults = [];
let root;
await act(async () => {
  root = hydrateRoot(place, page, { onRecoverableError: (error) => faults.push(error) });
});
await act(async () => {
  assert.equal(await used.send({ input: "Hi" }), undefined);
});
assert.equal(place.textContent, "connection_refused");
act(() => root.unmount());
assert.equal(await used.send({ input: "Hi" }), undefined);
assert.equal(used.error.code, "connection_refused");
assert.deepEqual(faults, []);
process.stdout.write("hook: alive and well\n");
