/** What is wrong with the connection, for as long as it is; and notices that pass. */
import { feedState } from "../server/feed.js";
import { t } from "../strings.js";
import { Icon } from "../ui/icon.js";
import { dismiss, notices } from "../ui/notices.js";
import { route } from "../ui/router.js";
import { connection, unreachable } from "./session.js";

export function Banners() {
  const text = bannerText();
  return (
    <div role="status" class="banner-place">
      {text !== undefined && <p class="banner">{text}</p>}
    </div>
  );
}

function bannerText(): string | undefined {
  if (unreachable.value) return t.connection.unreachable;
  if (connection.value === "reconnecting") return t.connection.reconnecting;
  if (route.value.view !== "chat" && feedState.value === "lost") return t.connection.feedLost;
  return undefined;
}

export function Notices() {
  return (
    <div class="notices" role="status">
      {notices.value.map(({ id, text }) => (
        <div key={id} class="notice">
          <span>{text}</span>
          <button
            type="button"
            class="icon-button"
            aria-label={t.common.dismiss}
            onClick={() => dismiss(id)}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
