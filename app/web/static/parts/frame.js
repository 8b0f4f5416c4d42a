// Frame around every page: skip link, navigation and the connection banner.

import { connection, tryNow } from "../connection.js";
import { h } from "../dom.js";
import { isKept, keepKey, readKey, stayIn } from "../session.js";
import { brandMark } from "./icons.js";
import { themeSelect } from "./theme.js";

const PLACES = [
  ["/", "Overview"],
  ["/models", "Models"],
  ["/datasets", "Data sets"],
  ["/devices", "Devices"],
  ["/jobs", "Jobs"],
  ["/sweeps", "Sweeps"],
  ["/try", "Try it"],
  ["/queues", "Queue"],
  ["/keys", "Keys"],
];

/** Build the frame; return the element for pages and a function that marks the current entry. */
export function installFrame() {
  const main = h("main", { id: "main", tabindex: "-1" });
  const links = new Map(
    PLACES.map(([path, text]) => [path, h("a", { href: `#${path}` }, text)]),
  );
  const { side, close } = makeSide(links);
  document.getElementById("boot").remove(); // the placeholder in index.html
  document.body.prepend(
    skipLink(main),
    h("div", { class: "frame" }, side, h("div", {}, offlineBanner(), main)),
  );
  const mark = (place) => {
    close();
    for (const [path, link] of links) {
      link.toggleAttribute("aria-current", path === place);
      if (path === place) {
        link.setAttribute("aria-current", "page");
      }
    }
  };
  return { main, mark };
}

function makeSide(links) {
  const nav = h(
    "nav",
    { class: "nav", id: "nav", "aria-label": "Main" },
    h("ul", {}, [...links.values()].map((link) => h("li", {}, link))),
  );
  const set = (isOpen) => {
    side.classList.toggle("is-open", isOpen);
    button.setAttribute("aria-expanded", String(isOpen));
  };
  const toggle = () => set(!side.classList.contains("is-open"));
  const button = h(
    "button",
    {
      type: "button",
      class: "button menu-button",
      "aria-expanded": "false",
      "aria-controls": "nav",
      on: { click: toggle },
    },
    "Menu",
  );
  const signOut = h(
    "button",
    {
      type: "button",
      class: "button is-quiet",
      on: {
        click: () => {
          keepKey(null);
          location.reload();
        },
      },
    },
    "Sign out",
  );
  const side = h(
    "header",
    { class: "side" },
    h("a", { class: "brand", href: "#/" }, brandMark(), "Secateur"),
    button,
    nav,
    h("div", { class: "side-foot" }, themeSelect(), readKey() !== null && [keepBox(), signOut]),
  );
  side.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && side.classList.contains("is-open")) {
      set(false);
      button.focus();
    }
  });
  return { side, close: () => set(false) };
}

function keepBox() {
  const box = h("input", { type: "checkbox", id: "keep-key", on: { change: () => stayIn(box.checked) } });
  box.checked = isKept();
  return h("div", { class: "check" }, box, h("label", { for: box.id }, "Keep me signed in"));
}

function skipLink(main) {
  const skip = (event) => {
    event.preventDefault(); // the router uses the fragment
    main.focus();
  };
  return h("a", { class: "skip", href: "#main", on: { click: skip } }, "Skip to content");
}

function offlineBanner() {
  const banner = h(
    "div",
    { class: "offline", role: "status", hidden: true },
    h("span", {}, "The service cannot be reached. Retrying …"),
    h("button", { type: "button", class: "button", on: { click: tryNow } }, "Retry now"),
  );
  connection.addEventListener("away", () => {
    banner.hidden = false;
  });
  connection.addEventListener("back", () => {
    banner.hidden = true;
  });
  return banner;
}
