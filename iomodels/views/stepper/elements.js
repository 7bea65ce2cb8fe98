// Making elements. Strings of a recording become text nodes and attributes, never HTML.

/** An element: h("p", { class: "dim" }, "text", child, ...). A function in props is a listener; a
 * prop or child that is false or null is left out. */
function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  fill(element, ...children);
  return element;
}

/** Put these into an element, in place of what was there. */
function fill(element, ...children) {
  element.replaceChildren(...children.flat(2).filter((child) => child !== false && child != null));
}

/** Text in which `code` stands between backquotes, as nodes. */
const words = (text) =>
  String(text ?? "")
    .split(/`([^`]+)`/)
    .map((part, n) => (n % 2 ? h("code", {}, part) : part));

const isChanged = (now, before) => JSON.stringify(now) !== JSON.stringify(before);

/** A client's colour: three of them, then the same three striped. The name always stands beside. */
const colour = (place) => (place < 0 ? "" : `c${place % 3}${place % 6 > 2 ? " striped" : ""}`);

const SVG = "http://www.w3.org/2000/svg";
function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
