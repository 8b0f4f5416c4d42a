// Create elements without parsing HTML, so names from users and model files always stay text.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Create an element.
 *
 * In `properties`, `on` holds event listeners, `vars` CSS custom properties and `data` data
 * attributes; all other keys are attributes. Values that are null, undefined or false are skipped.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, properties);
  element.append(...flatten(children));
  return element;
}

/** Create an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Replace an element's children. */
export function fill(element, ...children) {
  element.replaceChildren(...flatten(children));
  return element;
}

/** Replace an element's children and restore the focus to the same link or control. */
export function refill(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const mark = focused && (focused.id ? `#${CSS.escape(focused.id)}` : markOf(focused));
  fill(element, ...children);
  if (mark) {
    element.querySelector(mark)?.focus({ preventScroll: true });
  }
  return element;
}

function markOf(focused) {
  const link = focused.getAttribute("href");
  return link ? `a[href="${CSS.escape(link)}"]` : focused.getAttribute("role") === "region" && ".scroll";
}

/** Return text for screen readers only. */
export function unseen(text) {
  return h("span", { class: "unseen" }, text);
}

function apply(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) {
      continue;
    }
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else if (name === "vars") {
      for (const [key, text] of Object.entries(value)) {
        element.style.setProperty(key, text);
      }
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (name === "value" || name === "checked") {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
}

function flatten(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}
