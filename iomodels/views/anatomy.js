// Pointing at a bit or at a field marks both. The markup comes from Python, already escaped; this
// puts it behind a shadow, where the page's style sheet does not reach it.

/** Make the static form of an anatomy live. */
function enliven(still, sheet) {
  const host = still.parentElement;
  const style = document.createElement("style");
  style.textContent = sheet ?? host.querySelector("template").content.textContent;
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  root.replaceChildren(style, still);
  still.querySelectorAll(".frame").forEach(follow);
}

/** In one frame: the pointer, and the arrow keys, which go from field to field. */
function follow(frame) {
  const all = [...frame.querySelectorAll("[data-part]")];
  const fields = [...frame.querySelectorAll("tr[data-part]")];
  const of = (element) => element.dataset.part.split(" ").filter(Boolean);
  const mark = (parts) => {
    for (const element of all)
      element.classList.toggle(
        "marked",
        of(element).some((part) => parts.includes(part)),
      );
  };
  const focused = () => fields.filter((field) => field.matches(":focus")).flatMap(of);
  fields.forEach((field, n) => {
    field.tabIndex = n ? -1 : 0; // one stop for Tab; the arrows do the rest
    field.addEventListener("focus", () => mark(of(field)));
    field.addEventListener("blur", () => mark([]));
  });
  frame.addEventListener("pointerover", (event) => {
    const at = event.target.closest("[data-part]");
    mark(at ? of(at) : focused());
  });
  frame.addEventListener("pointerleave", () => mark(focused()));
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.key === "Escape") return;
    event.stopPropagation(); // JupyterLab would take an arrow for "next cell"
    const at = fields.findIndex((field) => field.matches(":focus"));
    const last = fields.length - 1;
    const to = {
      ArrowRight: Math.min(at + 1, last),
      ArrowDown: Math.min(at + 1, last),
      ArrowLeft: Math.max(at - 1, 0),
      ArrowUp: Math.max(at - 1, 0),
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    fields.forEach((field, n) => (field.tabIndex = n === to ? 0 : -1));
    fields[to].focus();
  });
}

function render({ model, el }) {
  el.classList.add("iomodels");
  const host = document.createElement("div");
  host.innerHTML = model.get("markup");
  el.append(host);
  enliven(host.firstElementChild, model.get("sheet"));
}

export default { render };
