/** Sessions of the console: opened by a key, good for what the key is, and bounded in life and number. */
import { describe, expect, it } from "vitest";
import { fixedKeys } from "../../../../src-ts/keys/entry.js";
import { Keys } from "../../../../src-ts/server/access/keys.js";
import { Sessions } from "../../../../src-ts/server/access/sessions.js";
import { startServer } from "../../support/test-server.js";

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const code = (run: () => unknown) => {
  try {
    run();
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("a session", () => {
  it("is its key's, until it is ended or its time is over", () => {
    let now = 0;
    const keys = new Keys(fixedKeys(["one"]));
    const sessions = new Sessions(keys, () => now);
    const asker = sessions.identify(bearer("one"), "");
    const first = sessions.begin(bearer("one"), asker);
    const second = sessions.begin(bearer("one"), asker);
    expect(sessions.identify(bearer(first.token), "")).toEqual(asker);
    sessions.end(bearer(first.token));
    expect(code(() => sessions.identify(bearer(first.token), ""))).toBe("session_expired");
    now = second.expires_in * 1000 - 1;
    expect(sessions.identify(bearer(second.token), "")).toEqual(asker);
    now += 1;
    expect(code(() => sessions.identify(bearer(second.token), ""))).toBe("session_expired");
  });

  it("stands for what goes on after its request as long as it is there", () => {
    let now = 0;
    const sessions = new Sessions(new Keys(fixedKeys(["one"])), () => now);
    const asker = sessions.identify(bearer("one"), "");
    const tokens = [0, 1].map(() => sessions.begin(bearer("one"), asker));
    const [first, second] = tokens.map(({ token }) => sessions.standing(bearer(token), asker));
    const byKey = sessions.standing(bearer("one"), asker);
    expect([first!(), second!(), byKey()]).toEqual([undefined, undefined, undefined]);
    sessions.end(bearer(tokens[0]!.token));
    expect([first!()?.code, second!()]).toEqual(["session_expired", undefined]);
    now = tokens[1]!.expires_in * 1000;
    expect([second!()?.code, byKey()]).toEqual(["session_expired", undefined]);
  });

  it("ends with its key", () => {
    let entries = fixedKeys(["one"]).entries;
    let changed = () => {};
    const source = {
      get entries() {
        return entries;
      },
      mistake: undefined,
      readAt: undefined,
      onChange(callback: () => void) {
        changed = callback;
      },
    };
    const sessions = new Sessions(new Keys(source));
    const { token } = sessions.begin(bearer("one"), sessions.identify(bearer("one"), ""));
    entries = fixedKeys(["two"]).entries;
    changed();
    expect(code(() => sessions.identify(bearer(token), ""))).toBe("invalid_api_key");
  });

  it("opens no other, and none is opened where no key is needed", () => {
    const sessions = new Sessions(new Keys(fixedKeys(["one"])));
    const asker = sessions.identify(bearer("one"), "");
    const { token } = sessions.begin(bearer("one"), asker);
    expect(code(() => sessions.begin(bearer(token), asker))).toBe("no_key_given");
    const open = new Sessions(new Keys(fixedKeys([])));
    expect(code(() => open.begin(bearer("x"), open.identify({}, "")))).toBe("no_key_given");
  });

  it("makes room for the next one of its key", () => {
    const sessions = new Sessions(new Keys(fixedKeys(["one"])));
    const asker = sessions.identify(bearer("one"), "");
    const all = Array.from({ length: 33 }, () => sessions.begin(bearer("one"), asker).token);
    expect(code(() => sessions.identify(bearer(all[0]!), ""))).toBe("session_expired");
    expect(sessions.identify(bearer(all[1]!), "")).toEqual(asker);
  });

  it("works over HTTP, and is in no log", async () => {
    const { get, post, url, logs } = await startServer({ apiKeys: ["the-key"] });
    expect((await post("/admin/session", {})).status).toBe(401);
    const opened = await post("/admin/session", {}, { headers: bearer("the-key") });
    expect(opened.headers.get("cache-control")).toBe("no-store");
    const { token } = (await opened.json()) as { token: string };
    const headers = bearer(token);
    expect((await get("/admin/workers", { headers })).status).toBe(200);
    expect((await post("/v1/ws-tickets", {}, { headers })).status).toBe(200);
    await fetch(`${url}/admin/session`, { method: "DELETE", headers });
    const after = await get("/admin/workers", { headers });
    expect([
      after.status,
      ((await after.json()) as { error: { code: string } }).error.code,
    ]).toEqual([401, "session_expired"]);
    expect(logs.join("\n")).not.toMatch(/the-key|mlxs_/);
  });
});
