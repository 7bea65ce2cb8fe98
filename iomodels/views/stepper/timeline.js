// The lanes of time: one for each server thread or process, one for each client. Drawn once; moving
// through them moves a cursor. Beneath them, the slider that seeks.

const LANE = 1.25; // em

class Timeline {
  /** `pictures` hold the states; `moments` says which step of each stands at which moment. */
  constructor(pictures, moments, seek) {
    Object.assign(this, { pictures, moments });
    this.width = moments.length;
    const lanes = [
      ...pictures.flatMap((picture, r) => picture.servers.map((actor) => ({ actor, picture, r }))),
      ...pictures[0].clients.map((actor, place) => ({ actor, tone: colour(place) })),
      ...pictures[0].recording.actors
        .filter(({ kind }) => kind === "clock")
        .map((actor) => ({ actor, tone: "" })),
    ];
    const names = lanes.map(({ actor, picture, tone }) =>
      h(
        "span",
        { class: `lane-name ${tone ?? ""}` },
        pictures.length > 1 && picture
          ? [picture.recording.model, picture.servers.length > 1 && ` ${actor.name}`]
          : actor.name,
      ),
    );
    this.svg = s("svg", { class: "lanes", role: "img", style: `height: ${lanes.length * LANE}em` });
    this.acts();
    lanes.forEach((lane, n) => (lane.picture ? this.server(lane, n) : this.client(lane, n)));
    this.veil = s("rect", { class: "veil", y: 0, height: "100%" });
    this.cursor = s("rect", { class: "cursor", y: 0, height: "100%", width: this.x(1) });
    this.hair = s("line", { class: "hair", y1: 0, y2: "100%" });
    this.svg.append(this.veil, this.cursor, this.hair);
    this.slider = h("input", {
      type: "range",
      min: 1,
      max: this.width,
      step: 1,
      "aria-label": "Step",
      style: `--n: ${this.width}`,
      input: () => seek(this.slider.valueAsNumber - 1),
    });
    const pick = (event) => {
      if (event.type === "pointermove" && !(event.buttons & 1)) return;
      const box = this.svg.getBoundingClientRect();
      seek(Math.floor(((event.clientX - box.left) / box.width) * this.width));
    };
    this.svg.addEventListener("pointerdown", (event) => {
      this.svg.setPointerCapture(event.pointerId);
      pick(event);
    });
    this.svg.addEventListener("pointermove", pick);
    this.element = h(
      "div",
      { class: "time" },
      h("div", { class: "lane-names", "aria-hidden": "true" }, names),
      this.svg,
      h("span"),
      this.slider,
    );
  }

  x(moment) {
    return `${(100 * moment) / this.width}%`;
  }

  y(lane, part = 0.5) {
    return `${(lane + part) * LANE}em`;
  }

  /** Stretches of moments over which something about a run stays the same. */
  stretches(picture, r, look) {
    const result = [];
    this.moments.forEach((at, moment) => {
      const value = look(picture.states[at[r]]);
      const last = result.at(-1);
      if (last && last.value === value) last.stop = moment + 1;
      else result.push({ value, start: moment, stop: moment + 1 });
    });
    return result;
  }

  /** A fine line where the clients act: the same moment in every recording. */
  acts() {
    if (this.pictures.length === 1) return;
    for (const [step, moment] of this.first()) {
      const x = this.x(moment);
      if (step.kind === "act")
        this.svg.append(s("line", { class: "act", x1: x, x2: x, y1: 0, y2: "100%" }));
    }
  }

  /** The steps of the first recording, each with the moment at which it is taken. */
  first() {
    return this.moments.flatMap(([at], moment) =>
      at === this.moments[moment - 1]?.[0] ? [] : [[this.pictures[0].recording.steps[at], moment]],
    );
  }

  server({ actor, picture, r }, n) {
    this.svg.append(s("line", { class: "rail", x1: 0, x2: "100%", y1: this.y(n), y2: this.y(n) }));
    const look = (state) => state.actors[actor.id]?.state;
    for (const { value, start, stop } of this.stretches(picture, r, look)) {
      const thick = { running: 0.75, sleeping: 0.3, waiting: 0.3 }[value];
      if (!thick) continue;
      this.svg.append(
        s("rect", {
          class: value === "waiting" ? "woken" : value,
          x: this.x(start),
          width: this.x(stop - start),
          y: this.y(n, 0.5 - thick / 2 / LANE),
          height: `${thick}em`,
          rx: 2,
        }),
      );
    }
  }

  /** A dot where the client acts, and a line for each recording while it waits. */
  client({ actor, tone }, n) {
    this.svg.append(s("line", { class: "rail", x1: 0, x2: "100%", y1: this.y(n), y2: this.y(n) }));
    this.pictures.forEach((picture, r) => {
      const part = this.pictures.length > 1 ? (r ? 0.74 : 0.26) : 0.5;
      for (const { value, start, stop } of this.stretches(
        picture,
        r,
        (state) => state.waits[actor.id] != null,
      ))
        if (value)
          this.svg.append(
            s("line", {
              class: `waiting ${tone}`,
              x1: this.x(start + (this.pictures.length > 1 ? 0 : 0.5)),
              x2: this.x(stop),
              y1: this.y(n, part),
              y2: this.y(n, part),
            }),
          );
    });
    for (const [step, moment] of this.first())
      if (step.kind === "act" && step.actor === actor.id)
        this.svg.append(
          s("circle", {
            class: `dot ${tone}`,
            cx: this.x(moment + 0.5),
            cy: this.y(n),
            r: "0.34em",
          }),
        );
  }

  move(moment, label) {
    this.cursor.setAttribute("x", this.x(moment));
    this.hair.setAttribute("x1", this.x(moment + 0.5));
    this.hair.setAttribute("x2", this.x(moment + 0.5));
    this.veil.setAttribute("x", this.x(moment + 1));
    this.veil.setAttribute("width", this.x(this.width - moment - 1));
    this.slider.value = moment + 1;
    this.slider.setAttribute("aria-valuetext", label);
    this.svg.setAttribute("aria-label", this.alt(moment));
  }

  /** What the lanes show at a moment, in words. */
  alt(moment) {
    const told = this.pictures.flatMap((picture, r) => {
      const { recording, states } = picture;
      const state = states[this.moments[moment][r]];
      const model = this.pictures.length > 1 ? `${recording.model}, ` : "";
      return recording.actors.map((actor) => `${model}${actor.name}: ${this.told(actor, state)}`);
    });
    return `Timeline at ${moment + 1} of ${this.width}. ${told.join("; ")}.`;
  }

  told({ id, kind }, state) {
    const is = state.actors[id] ?? {};
    const its = this.pictures.length > 1 ? "its step" : "step";
    const since = (step) => ` since ${its} ${step + 1}`;
    if (kind === "server")
      return (
        (STATES[is.state] ?? "not there") + (is.state === "sleeping" ? since(state.since[id]) : "")
      );
    const did = (is.did ?? "not here yet").replaceAll("`", "");
    return state.waits[id] == null ? did : `${did}, waits${since(state.waits[id])}`;
  }
}
