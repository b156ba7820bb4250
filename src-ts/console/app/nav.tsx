/** Where one can go, the theme, and who is signed in. */
import { access } from "../server/session.js";
import { t } from "../strings.js";
import { Icon, type IconName } from "../ui/icon.js";
import { hashOf, type Route, route } from "../ui/router.js";
import { chooseTheme, type Theme, theme } from "../ui/theme.js";
import { leave } from "./session.js";
import { shortcutsShown } from "./shortcuts.js";

const views: readonly { view: Route["view"]; icon: IconName }[] = [
  { view: "start", icon: "start" },
  { view: "chat", icon: "chat" },
  { view: "live", icon: "live" },
];

const toView = (view: Route["view"]): string =>
  hashOf(view === "start" ? { view } : { view, id: undefined });

export function Nav() {
  return (
    <>
      <div class="brand">
        <Logo />
        <span>{t.product}</span>
      </div>
      <nav aria-label={t.nav.label} class="nav">
        {views.map(({ view, icon }) => (
          <a
            key={view}
            href={toView(view)}
            aria-current={route.value.view === view ? "page" : undefined}
          >
            <Icon name={icon} />
            {t.nav[view]}
          </a>
        ))}
      </nav>
    </>
  );
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M7 22v-9l5 5 4-8 4 8 5-5v9" />
    </svg>
  );
}

export function TopBar({ onMenu, isOpen }: { onMenu: () => void; isOpen: boolean }) {
  return (
    <header class="top-bar">
      <button
        type="button"
        class="icon-button menu-button"
        aria-label={isOpen ? t.nav.closeMenu : t.nav.menu}
        aria-expanded={isOpen}
        onClick={onMenu}
      >
        <Icon name="menu" />
      </button>
      <span class="top-title">{t.nav[route.value.view]}</span>
      <div class="top-actions">
        <ThemeButton />
        <button
          type="button"
          class="icon-button wide-only"
          aria-label={t.nav.shortcuts}
          title={t.nav.shortcuts}
          onClick={() => {
            shortcutsShown.value = true;
          }}
        >
          <Icon name="keyboard" />
        </button>
        {access.value === "signedIn" && (
          <button
            type="button"
            class="icon-button"
            aria-label={t.nav.signOut}
            title={t.nav.signOut}
            onClick={() => void leave()}
          >
            <Icon name="exit" />
          </button>
        )}
      </div>
    </header>
  );
}

const nextTheme: Readonly<Record<Theme, Theme>> = { auto: "light", light: "dark", dark: "auto" };
const themeIcon = { auto: "auto", light: "sun", dark: "moon" } as const;

function ThemeButton() {
  const now = theme.value;
  const label = t.nav.theme[now];
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      onClick={() => chooseTheme(nextTheme[now])}
    >
      <Icon name={themeIcon[now]} />
    </button>
  );
}
