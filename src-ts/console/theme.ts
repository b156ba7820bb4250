/** Runs before the first paint: the theme that was chosen, so that no other one flashes up. */
try {
  const theme = localStorage.getItem("mlx-serving.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is off: the system's theme it is.
}
