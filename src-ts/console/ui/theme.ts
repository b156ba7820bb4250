/** Dark, light, or what the system says. `theme.ts` beside the page applies it before the first paint. */
import { signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
const key = "mlx-serving.theme";
const chosen = document.documentElement.dataset.theme;

export const theme = signal<Theme>(chosen === "light" || chosen === "dark" ? chosen : "auto");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
export const isDark = signal(darkNow());

export function chooseTheme(next: Theme): void {
  theme.value = next;
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  isDark.value = darkNow();
  try {
    localStorage.setItem(key, next);
  } catch {
    // It holds as long as the page.
  }
}

prefersDark.addEventListener("change", () => {
  isDark.value = darkNow();
});

function darkNow(): boolean {
  return theme.peek() === "auto" ? prefersDark.matches : theme.peek() === "dark";
}
