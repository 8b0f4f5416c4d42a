// Light or dark, before anything is drawn: a page that flashes white at night is a page unread.
// No module, because modules wait for the document.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("secateur.theme");
  } catch {
    // storage is shut off: the system's choice will do
  }
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
})();
