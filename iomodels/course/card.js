// What every card shares. Texts arrive from Python as HTML that is already escaped.

/** An element: h("p", { class: "io-dim" }, "text", child, ...). A key in props that is a function
 * is a listener; one that is false or null is left out. */
function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "html") element.innerHTML = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Keys pressed in the card belong to the card: JupyterLab would take an arrow for "next cell" and
 * a letter for a command. Keys with a modifier (Shift+Enter runs the next cell) and Escape go on to
 * it. */
function ownKeys(root, handler = () => {}) {
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.key === "Escape") return;
    event.stopPropagation();
    handler(event);
  });
}

let ids = 0;
/** An id that no other element on the page has, to tie a label to what it labels. */
const newId = () => `io-${Date.now().toString(36)}-${++ids}`;

