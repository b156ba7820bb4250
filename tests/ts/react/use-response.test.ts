// @vitest-environment happy-dom
/** The hook in React's own DOM renderer: what it shows, what it costs, and what becomes of it when its component goes. */
import { act, createElement, StrictMode, useEffect } from "react";
import { createRoot, hydrateRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Client } from "../../../src-ts/client/index.js";
import {
  type ResponseSource,
  type UsedResponse,
  useResponse,
} from "../../../src-ts/react/index.js";
import { Script } from "../client/support/fake-server.js";
import { turn, VirtualWorld } from "../client/support/virtual.js";

let world: VirtualWorld;
let client: Client;
let root: Root | undefined;
let place: HTMLElement;
let used: UsedResponse;
let renders: string[];

beforeEach(async () => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  world = new VirtualWorld();
  client = await world.connect();
  place = document.createElement("div");
  renders = [];
});
afterEach(() => {
  act(() => root?.unmount());
  root = undefined;
  vi.unstubAllGlobals();
});

function Answer({ source, onShow }: { source: ResponseSource; onShow?: () => void }) {
  used = useResponse(source);
  renders.push(used.text);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the component appears
  useEffect(() => onShow?.(), []);
  return createElement("p", null, `${used.status}: ${used.text}`);
}

function show(source: ResponseSource, { strict = false, onShow = () => {} } = {}) {
  root ??= createRoot(place);
  const answer = createElement(Answer, { source, onShow });
  act(() => root!.render(strict ? createElement(StrictMode, null, answer) : answer));
}

/** Frames that come when the test says so. */
function stubFrames(): () => void {
  let due: (() => void)[] = [];
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => due.push(run));
  vi.stubGlobal("cancelAnimationFrame", () => {});
  return () => {
    for (const run of due.splice(0)) run();
    due = [];
  };
}

async function played(id = "resp_1"): Promise<Script> {
  await turn();
  const { stream_id } = world.socket.sent.findLast(({ type }) => type === "response.create")!;
  return new Script(world.socket, id, stream_id).created();
}
const cancelled = () =>
  world.socket.sent.filter(({ type }) => type === "response.cancel").map((one) => one.response_id);

it("shows a response as it comes, a rendering a frame however many tokens there are", async () => {
  const frame = stubFrames();
  show(client);
  expect(place.textContent).toBe("idle: ");
  const { send } = used;
  let sending: ReturnType<typeof send> | undefined;
  act(() => {
    sending = send({ input: "Hi" });
  });
  let script!: Script;
  await act(async () => {
    script = (await played()).delta("0");
  });
  expect(place.textContent).toBe("streaming: 0");
  renders = [];
  for (let n = 1; n <= 100; n += 1) act(() => void script.delta(`,${n}`));
  expect(renders).toEqual([]);
  act(frame);
  expect(renders).toHaveLength(1);
  expect(renders[0]).toMatch(/^0,1,.*,100$/);
  await act(async () => {
    script.delta("!").completed();
    await sending;
  });
  expect(place.textContent).toMatch(/^completed: 0,.*!$/);
  // Orders are the same all the time: they may be dependencies of effects.
  expect(used.send).toBe(send);
});

it("cancels what runs when its component goes, and asks for nothing afterwards", async () => {
  show(client);
  act(() => void used.send({ input: "Hi" }));
  await act(() => played());
  act(() => root!.unmount());
  expect(cancelled()).toEqual(["resp_1"]);
  const sent = world.socket.sent.length;
  expect(await used.send({ input: "Hi" })).toBeUndefined();
  expect(await used.resume("resp_1")).toBeUndefined();
  expect(world.socket.sent).toHaveLength(sent);
  expect(client.connected).toBe(true);
});

it("works in StrictMode, which shows each component twice", async () => {
  show(client, { strict: true });
  await act(async () => {
    const sending = used.send({ input: "Hi" });
    (await played()).delta("Hello").completed();
    await sending;
  });
  expect(place.textContent).toBe("completed: Hello");
});

it("works in StrictMode where an effect asks: the first asking is taken back", async () => {
  show(client, { strict: true, onShow: () => void used.send({ input: "Hi" }) });
  await act(async () => {
    (await played()).delta("Hello").completed();
    await turn();
  });
  expect(place.textContent).toBe("completed: Hello");
  expect(world.socket.sent.filter(({ type }) => type === "response.create")).toHaveLength(1);
});

it("is another response with another source, and the same with a URL made anew", async () => {
  const address = "http://127.0.0.1:1/";
  show(new URL(address));
  const { send } = used;
  show(new URL(address));
  expect(used.send).toBe(send);
  show(client);
  expect(used.send).not.toBe(send);
  act(() => void used.send({ input: "Hi" }));
  await act(() => played());
  show(new URL(address));
  expect(cancelled()).toEqual(["resp_1"]);
  expect(place.textContent).toBe("idle: ");
});

it("is rendered on a server, without a connection, and taken over by the page", async () => {
  const answer = createElement(Answer, { source: "http://127.0.0.1:1" });
  place.innerHTML = renderToString(answer);
  expect(place.textContent).toBe("idle: ");
  const faults: unknown[] = [];
  await act(async () => {
    root = hydrateRoot(place, answer, { onRecoverableError: (error) => faults.push(error) });
  });
  expect(faults).toEqual([]);
  expect(place.textContent).toBe("idle: ");
});
