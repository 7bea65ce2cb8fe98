// The stepper: its buttons, its keys, and moving from one moment to another.

const ICONS = {
  first: "M3 3h2v10H3zM13 3v10L6 8z",
  back: "M11 3v10L4 8z",
  play: "M4 2.5v11L13 8z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  forward: "M5 3v10l7-5z",
  last: "M11 3h2v10h-2zM3 3v10l7-5z",
};
const icon = (name) =>
  s(
    "svg",
    { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" },
    s("path", { d: ICONS[name] }),
  );

const COUNTERS = {
  calls: "system calls",
  sleeps: "sleeps",
  looked: "fds looked at",
  copied: "bytes copied",
  served: "clients served",
};
const SPEEDS = [1, 2, 4, 0.5];
const READING = { least: 900, each: 32 }; // milliseconds for a sentence, and for each letter

const KEYS = "← → step, space plays, n and p: next and previous sleep, Home and End, Escape leaves";

class Stepper {
  constructor(recordings, at) {
    this.moments = momentsOf(recordings);
    this.several = recordings.length > 1;
    this.pictures = recordings.map((recording, r) => {
      const steps = this.moments.map((moment) => moment[r]);
      return new Picture(recording, this.several, steps);
    });
    this.timeline = new Timeline(this.pictures, this.moments, (moment) => this.leap(moment));
    this.moment = -1;
    this.speed = 0;
    this.recordings = recordings;
    this.build();
    this.show(at - 1);
  }

  build() {
    const { title } = this.recordings[0];
    this.place = h("output", { class: "where" });
    this.counters = h("table", { class: "counters" });
    this.layer = h("div", { class: "layer", "aria-hidden": "true" });
    this.element = h(
      "div",
      {
        class: `stepper ${this.several ? "several" : ""} ${this.wordy() ? "wordy" : ""}`,
        role: "region",
        tabindex: "-1",
        "aria-label": `Stepper: ${title}`,
        keydown: (event) => this.key(event),
      },
      this.header(),
      h(
        "div",
        { class: "sides" },
        this.pictures.map((picture) => [picture.heading, picture.element]),
      ),
      h("div", { class: "below" }, this.timeline.element, this.counters),
      this.footer(),
      this.layer,
    );
  }

  /** Whether a sentence is long: it gets its room from the start, so that nothing jumps. */
  wordy() {
    return this.recordings.some(({ steps }) => steps.some(({ says }) => says.length > 140));
  }

  header() {
    const [{ title, model, idea, about }] = this.recordings;
    this.playing = this.button("Play", "play", "Space", () => this.toggle());
    return h(
      "header",
      {},
      h("h2", {}, title, !this.several && h("span", { class: "dim" }, ` · ${model}`)),
      h("p", { class: "dim idea" }, this.several ? words(about) : idea),
      h(
        "div",
        { class: "controls", role: "group", "aria-label": `Controls: ${KEYS}` },
        this.button("First step", "first", "Home", () => this.leap(0)),
        this.button("Step back", "back", "ArrowLeft", () => this.leap(this.moment - 1)),
        this.playing,
        this.button("Step forward", "forward", "ArrowRight", () => this.leap(this.moment + 1)),
        this.button("Last step", "last", "End", () => this.leap(this.moments.length - 1)),
        this.named("Previous sleep", () => this.sleep(-1), { "aria-keyshortcuts": "p" }),
        this.named("Next sleep", () => this.sleep(1), { "aria-keyshortcuts": "n" }),
        this.speeds(),
        this.larger(),
        document.fullscreenEnabled && this.named("Full screen", () => this.screen()),
      ),
      this.place,
    );
  }

  footer() {
    const { made } = this.recordings[0];
    this.list = h("ol");
    const steps = h("details", { class: "steps" }, h("summary", {}, "Steps as text"), this.list);
    steps.addEventListener("toggle", () => this.write(steps.open));
    const signs = ["runs", "sleeps", "woken", "acts", "waits"];
    const [above, below] = this.recordings.map(({ model }) => model);
    const rows = this.several && ` (above: for ${above}, below: for ${below})`;
    return h(
      "footer",
      {},
      steps,
      h(
        "span",
        { class: "legend dim", "aria-hidden": "true" },
        signs.map((sign) => h("span", { class: sign }, sign, sign === "waits" && rows)),
      ),
      h("span", { class: "dim", title: KEYS }, "← → space n p", made && ` · on ${made}`),
    );
  }

  button(name, shape, shortcut, click) {
    const title = `${name} (${shortcut})`;
    const named = { type: "button", "aria-label": name, title, "aria-keyshortcuts": shortcut };
    return h("button", { ...named, click }, icon(shape));
  }

  named(name, click, more = {}) {
    return h("button", { type: "button", click, ...more }, name);
  }

  speeds() {
    const button = this.named("1×", () => {
      this.speed = (this.speed + 1) % SPEEDS.length;
      button.textContent = `${SPEEDS[this.speed]}×`;
      button.setAttribute("aria-label", `Speed of playing: ${SPEEDS[this.speed]}×`);
    });
    button.setAttribute("aria-label", "Speed of playing: 1×");
    return button;
  }

  larger() {
    const button = this.named("Larger", () => {
      button.setAttribute("aria-pressed", this.element.classList.toggle("larger"));
      this.settle();
    });
    button.setAttribute("aria-pressed", "false");
    return button;
  }

  screen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element.requestFullscreen();
  }

  // --- moving ---

  /** Go to a moment because somebody wishes it: playing ends. */
  leap(moment) {
    this.pause();
    this.show(moment);
  }

  show(moment) {
    moment = Math.max(0, Math.min(this.moments.length - 1, moment));
    if (moment === this.moment) return;
    const forward = moment === this.moment + 1 && moment > 0 && this.moving();
    this.layer.replaceChildren();
    const places = forward && this.pictures.map((picture) => whereabouts(picture));
    const before = this.moments[moment - 1];
    this.moment = moment;
    this.fresh = this.moments[moment].map((at, r) => at !== before?.[r]);
    this.pictures.forEach((picture, r) => picture.show(moment, this.fresh[r]));
    const where = this.several ? "moment" : "step";
    fill(this.place, `${where} `, h("b", {}, moment + 1), ` of ${this.moments.length}`);
    this.timeline.move(
      moment,
      `${where} ${moment + 1} of ${this.moments.length}: ${this.said(moment)}`,
    );
    this.count();
    this.mark();
    if (places)
      this.pictures.forEach((picture, r) => this.fresh[r] && fly(picture, this.layer, places[r]));
  }

  said(moment) {
    return this.moments[moment]
      .map(
        (at, r) =>
          (this.several ? `${this.recordings[r].model}: ` : "") +
          (this.recordings[r].steps[at].says ?? "").replaceAll("`", ""),
      )
      .join(" ");
  }

  moving() {
    return (
      this.element.isConnected &&
      !document.hidden &&
      !matchMedia("(prefers-reduced-motion: reduce)").matches
    );
  }

  /** The next moment, or the one before, at which a call begins that sleeps. */
  sleep(way) {
    const begins = (moment) =>
      this.moments[moment].some(
        (at, r) =>
          this.recordings[r].steps[at].kind === "sleep" && at !== this.moments[moment - 1]?.[r],
      );
    for (let moment = this.moment + way; moment >= 0 && moment < this.moments.length; moment += way)
      if (begins(moment)) return this.leap(moment);
  }

  toggle() {
    if (this.timer) return this.pause();
    if (this.moment === this.moments.length - 1) this.show(0);
    this.look("Pause", "pause");
    this.next();
  }

  next() {
    const reading = READING.least + READING.each * this.said(this.moment).length;
    this.timer = setTimeout(() => {
      if (!this.element.isConnected || this.moment >= this.moments.length - 1) return this.pause();
      this.show(this.moment + 1);
      this.next();
    }, reading / SPEEDS[this.speed]);
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.look("Play", "play");
  }

  look(name, shape) {
    if (this.playing.getAttribute("aria-label") === name) return;
    this.playing.setAttribute("aria-label", name);
    this.playing.title = `${name} (Space)`;
    this.playing.replaceChildren(icon(shape));
  }

  /** Keys belong to the stepper while the focus is in it: JupyterLab would take an arrow for "next
   * cell". Keys with a modifier (Shift+Enter runs the next cell) and Escape go on to it. */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.key === "Escape") {
      this.pause();
      this.element.getRootNode().activeElement?.blur();
      return;
    }
    event.stopPropagation();
    const pressed = event.target.closest("button, summary");
    if ((event.key === " " || event.key === "Enter") && pressed) return; // that one's own
    const act = {
      ArrowLeft: () => this.leap(this.moment - 1),
      ArrowRight: () => this.leap(this.moment + 1),
      Home: () => this.leap(0),
      End: () => this.leap(this.moments.length - 1),
      " ": () => this.toggle(),
      n: () => this.sleep(1),
      p: () => this.sleep(-1),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  // --- counters, and the list ---

  count() {
    const now = this.pictures.map((picture) => picture.at.now.counters);
    const before = this.pictures.map((picture) => picture.at.before.counters);
    const of = this.pictures[0].clients.length;
    const rows = Object.entries(COUNTERS)
      .filter(([key]) => now.some((its) => its[key] != null))
      .map(([key, name]) => {
        const most = Math.max(
          1,
          ...this.pictures.map((picture) => picture.states.at(-1).counters[key] ?? 0),
        );
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, key === "served" ? `${name}, of ${of}` : name),
          now.map((its, r) =>
            h(
              "td",
              {},
              h(
                "b",
                { class: its[key] === before[r][key] ? "" : "new" },
                its[key] == null ? "–" : its[key].toLocaleString("en"),
              ),
              this.several &&
                h("span", {
                  class: `bar r${r}`,
                  style: `width: ${(4 * (its[key] ?? 0)) / most}em`,
                }),
            ),
          ),
        );
      });
    const head =
      this.several &&
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td", {}),
          this.recordings.map(({ model }) => h("th", { scope: "col" }, model)),
        ),
      );
    fill(this.counters, h("caption", { class: "sr" }, "Counters"), head, h("tbody", {}, rows));
  }

  write(open) {
    if (!open || this.list.childElementCount) return;
    this.list.append(
      ...this.moments.map((_, moment) =>
        h(
          "li",
          {},
          h("button", { type: "button", click: () => this.leap(moment) }, this.said(moment)),
        ),
      ),
    );
    this.mark();
  }

  mark() {
    this.marked?.removeAttribute("aria-current");
    this.marked = this.list.children[this.moment]?.firstChild;
    this.marked?.setAttribute("aria-current", "step");
  }

  settle() {
    this.pictures.forEach((picture) => picture.source.reveal());
  }
}

/** Put a stepper into an element. Its style sheet and the page's do not meet: it has a shadow. */
function mount(host, { recordings, at }, sheet) {
  const stepper = new Stepper(recordings, at);
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  root.replaceChildren(h("style", {}, sheet), stepper.element);
  stepper.settle();
  return stepper;
}

/** What Python packed: JSON, compressed, in base64. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return new Response(
    new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")),
  ).json();
}

async function render({ model, el }) {
  el.classList.add("iomodels");
  const stepper = mount(el, await unpack(model.get("packed")), model.get("sheet"));
  return () => stepper.pause();
}

export default { render };
