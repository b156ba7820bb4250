/** The page: who is asked for a key, navigation, and the view that is open. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ChatView } from "../chat/views/chat.js";
import { ConversationList } from "../chat/views/list.js";
import { LiveView } from "../live/live.js";
import { access } from "../server/session.js";
import { StartView } from "../start/start.js";
import { t } from "../strings.js";
import { Dialog } from "../ui/dialog.js";
import { route } from "../ui/router.js";
import { Banners, Notices } from "./banners.js";
import { Nav, TopBar } from "./nav.js";
import { shortcutsShown } from "./shortcuts.js";
import { SignIn } from "./sign-in.js";

export const menuOpen = signal(false);

const mainId = "main";

export function App() {
  const { view } = route.value;
  const shown = route.value;
  useEffect(() => {
    menuOpen.value = false;
  }, [shown]);
  useEffect(() => {
    document.title = `${t.nav[view]} · ${t.product}`;
  }, [view]);
  return (
    <>
      <a
        class="skip"
        href={`#${mainId}`}
        onClick={(event) => {
          event.preventDefault();
          document.getElementById(mainId)?.focus();
        }}
      >
        {t.nav.skip}
      </a>
      <div class={`shell${menuOpen.value ? " menu-open" : ""}`}>
        <aside class="side-bar">
          <Nav />
          {access.value !== "signedOut" && <ConversationList />}
        </aside>
        {menuOpen.value && (
          <button
            type="button"
            class="side-bar-shade"
            aria-label={t.nav.closeMenu}
            onClick={() => {
              menuOpen.value = false;
            }}
          />
        )}
        <div class="page">
          <TopBar
            onMenu={() => {
              menuOpen.value = !menuOpen.peek();
            }}
            isOpen={menuOpen.value}
          />
          <Banners />
          <main id={mainId} tabIndex={-1}>
            {access.value === "signedOut" ? <SignIn /> : <View />}
          </main>
        </div>
      </div>
      <Notices />
      {shortcutsShown.value && <Shortcuts />}
    </>
  );
}

function View() {
  switch (route.value.view) {
    case "chat":
      return <ChatView />;
    case "live":
      return <LiveView />;
    default:
      return <StartView />;
  }
}

function Shortcuts() {
  return (
    <Dialog
      title={t.shortcuts.title}
      onClose={() => {
        shortcutsShown.value = false;
      }}
    >
      <dl class="shortcuts">
        {t.shortcuts.rows.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
