// The live meter: Start and Stop, the load, five tiles. What is measured, Python measures.

const SAMPLES = 60; // across a tile
const SPOKEN = 5000; // milliseconds at least between two sentences: a screen reader reads each

const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
const SLIDERS = [
  ["connections", "Connections", (value) => plural(value, "client")],
  ["in_flight", "In flight, each", (value) => plural(value, "message")],
  ["size", "Size of a message", (value) => plural(value, "byte")],
];
const per = (factor) => (value) => (value == null ? null : value * factor);
const TILES = [
  ["rate", "Messages per second", "", per(1)],
  ["p99", "p99: 99 of 100 within", "ms", per(1e3)],
  ["cpu", "CPU of the server, one core", "%", per(100)],
  ["memory", "Memory of the server", "MB", per(1e-6)],
  ["switches", "Switches per message", "", per(1)],
];

/** Three significant digits, as style.number() writes them. */
function figure(value) {
  if (value == null) return "–";
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 12 });
}

/** An element; a key in props that is a function is a listener, one that is false is left out. */
function make(tag, props = {}, ...children) {
  const drawing = ["svg", "path", "line"].includes(tag);
  const element = drawing
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A slider over a list of values; what it says is the value, and not its place in the list. */
function slider(model, [name, label, words]) {
  const values = model.get("choices")[name];
  const said = make("output", { "aria-hidden": "true" });
  const input = make("input", {
    type: "range", min: 0, max: values.length - 1, step: 1, "aria-label": label,
    input: () => tell(values[input.value]),
    change: () => {
      model.set(name, values[input.value]);
      model.save_changes();
    },
  });
  const tell = (value) => {
    said.textContent = words(value);
    input.setAttribute("aria-valuetext", words(value));
  };
  const follow = () => {
    const value = model.get(name);
    const near = (stop) => Math.abs(Math.log(stop / value));
    input.value = values.indexOf(values.reduce((a, b) => (near(b) < near(a) ? b : a)));
    tell(value);
  };
  return [make("label", {}, label, said, input), `change:${name}`, follow];
}

/** One figure, and a line of those before it. A dashed line stands where the load was changed. */
function tile([name, label, unit, scale]) {
  const now = make("span");
  const svg = make("svg", { viewBox: "0 0 100 34", preserveAspectRatio: "none", role: "img" });
  const highest = make("p");
  const element = make("div", { class: "tile", role: "group", "aria-label": label },
    make("p", {}, label),
    make("p", { class: "figure" }, now, make("span", { class: "unit" }, unit && ` ${unit}`)),
    svg, highest);
  const draw = (samples) => {
    const values = samples.map((sample) => scale(sample[name]));
    const known = values.filter((value) => value != null);
    const most = Math.max(...known, 0);
    const x = (i) => (100 * (i + SAMPLES - samples.length)) / (SAMPLES - 1);
    const y = (value) => 32 - (30 * value) / (most || 1);
    let pen = "M";
    const path = values.map((value, i) => {
      if (value == null) { pen = "M"; return ""; }
      const point = `${pen}${x(i).toFixed(2)} ${y(value).toFixed(2)}`;
      pen = "L";
      return known.length === 1 ? `${point}h0` : point;
    }).join("");
    const under = samples.map((sample) => JSON.stringify([sample.model, sample.asked]));
    const changes = under.flatMap((load, i) => (i && load !== under[i - 1] ? [x(i - 0.5)] : []));
    svg.replaceChildren(
      make("line", { class: "floor", x1: 0, x2: 100, y1: 33, y2: 33 }),
      ...changes.map((at) => make("line", { class: "change", x1: at, x2: at, y1: 0, y2: 33 })),
      make("path", { class: "line", d: path || "M0 0" }));
    now.textContent = figure(values.at(-1));
    highest.textContent = known.length ? `max ${figure(most)}` : "\u00a0";
    const range = `from ${figure(Math.min(...known))} to ${figure(most)} ${unit}`.trim();
    svg.setAttribute("aria-label",
      known.length ? `the last ${plural(known.length, "sample")}: ${range}` : "no sample yet");
  };
  return [element, draw];
}

/** The sentence below the figures. What a screen reader hears of it stands apart: news at once,
 * figures no more often than one can listen. */
function sentence(model) {
  const seen = make("p", { class: "said", "aria-hidden": "true" });
  const heard = make("p", { class: "heard", "aria-live": "polite" });
  let spoken = -Infinity, figures = false;
  const follow = () => {
    const problem = model.get("problem"), news = model.get("news");
    const text = problem || news || model.get("said") || model.get("about");
    seen.textContent = text;
    seen.classList.toggle("problem", Boolean(problem));
    const isNews = Boolean(problem || news);
    if (!isNews && figures && performance.now() - spoken < SPOKEN) return;
    if (heard.textContent === text) return;
    figures = !isNews;
    spoken = performance.now();
    heard.textContent = text;
  };
  return [[seen, heard], follow];
}

const views = new WeakMap(); // of each model: on how many places of the page it is shown

function render({ model, el }) {
  const button = make("button", { type: "button", click: () => {
    model.set("running", !model.get("running"));
    model.save_changes();
  } });
  const choice = make("select", { change: () => {
    model.set("model", choice.value);
    model.save_changes();
    idea();
  } }, ...model.get("models").map(([name]) => make("option", { value: name }, name)));
  const about = make("span", { class: "io-dim" });
  const idea = () => {
    choice.value = model.get("model");
    about.textContent = model.get("models").find(([name]) => name === choice.value)?.[1] ?? "";
  };
  const sliders = SLIDERS.map((each) => slider(model, each));
  const tiles = TILES.map(tile);
  const [said, say] = sentence(model);
  const card = make("div", { class: "io-card io-meter", role: "group", "aria-label": "Live meter",
      keydown: ownKeys },
    make("p", { class: "io-kind" }, "Live meter"),
    make("div", { class: "controls" }, button, make("label", {}, "Model", choice), about),
    make("div", { class: "load" }, ...sliders.map(([element]) => element)),
    make("div", { class: "tiles" }, ...tiles.map(([element]) => element)), ...said);
  const draw = () => tiles.forEach(([, each]) => each(model.get("samples")));
  const run = () => {
    const running = model.get("running");
    button.textContent = running ? "Stop" : "Start";
    button.classList.toggle("stop", running);
    card.classList.toggle("stopped", !running);
  };
  const listeners = [
    ["change:model", idea], ["change:running", run], ["change:samples", draw],
    ["change:said", say], ["change:news", say], ["change:problem", say],
    ...sliders.map(([, event, follow]) => [event, follow]),
  ];
  for (const [event, listener] of listeners) {
    model.on(event, listener);
    listener();
  }
  el.classList.add("iomodels");
  el.append(card);
  views.set(model, (views.get(model) ?? 0) + 1);
  return () => {
    for (const [event, listener] of listeners) model.off(event, listener);
    views.set(model, views.get(model) - 1);
    if (views.get(model) || !model.get("running")) return;
    model.set("running", false); // nobody looks at it any more
    model.save_changes();
  };
}

/** Keys pressed in the card belong to the card: JupyterLab would take an arrow for "next cell" and
 * a letter for a command. Keys with a modifier, and Escape, go on to it. */
function ownKeys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  if (event.key !== "Escape") event.stopPropagation();
}

export default { render };
