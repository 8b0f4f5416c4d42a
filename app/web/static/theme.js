// Apply the chosen theme before the first paint, so a dark page does not flash white.
// A classic script, because modules run after the document is parsed.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("secateur.theme");
  } catch {
    // storage is disabled: use the system's theme
  }
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
})();
