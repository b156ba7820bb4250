/** Which view is shown, by the hash of the address: it can be bookmarked, and back goes back. */
import { signal } from "@preact/signals";

export type Route =
  | { view: "start" }
  | { view: "chat"; id: string | undefined }
  | { view: "live"; id: string | undefined };

export const route = signal<Route>(routeOf(location.hash));

export function routeOf(hash: string): Route {
  const [view, id] = hash.replace(/^#\/?/, "").split("/", 2);
  const given = id === undefined || id === "" ? undefined : decodeURIComponent(id);
  if (view === "chat" || view === "live") return { view, id: given };
  return { view: "start" };
}

export function hashOf(to: Route): string {
  if (to.view === "start") return "#/";
  return to.id === undefined ? `#/${to.view}` : `#/${to.view}/${encodeURIComponent(to.id)}`;
}

export function go(to: Route): void {
  location.hash = hashOf(to);
}

export function startRouter(): void {
  addEventListener("hashchange", () => {
    route.value = routeOf(location.hash);
  });
}
