// One run at one step, drawn as places: user space, the kernel, the clients.

// Of a server; "waiting" is one that was woken and has not run yet.
const STATES = { running: "running", sleeping: "sleeping", waiting: "woken", ended: "ended" };
const LETTERS = 14; // the longest text that is shown byte by byte
const FEW = 5; // bytes: those the narrowest buffer has room for; from here on it counts them
const MANY = 64; // bytes: from here on a buffer shows how full it is, and none of them

class Picture {
  /** `steps`: which one of the recording is taken, moment by moment; of one run alone, the next. */
  constructor(recording, named, steps) {
    this.steps = steps;
    this.named = named;
    this.recording = recording;
    this.states = statesOf(recording);
    this.clients = recording.actors.filter((actor) => actor.kind === "client");
    this.servers = recording.actors.filter((actor) => actor.kind === "server");
    this.most = this.fullest();
    this.reads = Object.keys(this.states.at(-1).windows).length > 0;
    this.live = h("p", { class: "say", "aria-live": "polite", "aria-atomic": "true" });
    this.held = h("small", { class: "held", hidden: true }, "done until the next act");
    this.source = new Source(recording.files);
    this.kernel = new Kernel(this);
    this.doing = h("div", { class: "doing" });
    this.hand = h("div", { class: "hand" });
    this.sockets = this.clients.map(() => h("div", { class: "socket" }));
    this.people = this.clients.map(() => h("div", { class: "client" }));
    // Not within the element, so that of two runs both headings have one height.
    this.heading =
      named &&
      h(
        "h3",
        { class: "model" },
        h("b", {}, recording.model),
        " ",
        h("span", { class: "dim" }, recording.idea),
      );
    this.element = h(
      "section",
      { class: "side", "aria-label": `${recording.model} server` },
      this.live,
      h(
        "div",
        {
          class: "places",
          style: `--n: ${this.clients.length}; --servers: ${this.servers.length}`,
        },
        h(
          "section",
          { class: "place user", "aria-label": "Server, user space" },
          h("h4", {}, "Server ", h("span", {}, "user space")),
          this.held,
          this.doing,
          this.source.code,
          this.source.helper,
          this.hand,
        ),
        h(
          "section",
          { class: "place kernel", "aria-label": "Kernel" },
          h("h4", {}, "Kernel"),
          this.kernel.element,
          this.sockets,
        ),
        h(
          "section",
          { class: "place clients", "aria-label": "Clients" },
          h("h4", {}, "Clients"),
          h("p", { class: "about" }, !named && words(recording.about)),
          this.people,
        ),
      ),
    );
  }

  /** Per client the most bytes that each buffer ever holds: the scale where its room is unknown. */
  fullest() {
    const most = {};
    for (const { sockets } of this.states)
      for (const socket of Object.values(sockets))
        for (const way of ["in", "out"])
          most[way] = Math.max(most[way] ?? 1, socket[`${way}_bytes`] ?? 0);
    return most;
  }

  /** Draw a moment; `fresh` is false while this run waits for the other one. */
  show(moment, fresh) {
    this.moment = moment;
    const i = this.steps[moment];
    const step = this.recording.steps[i];
    const now = this.states[i];
    const before = fresh && i > 0 ? this.states[i - 1] : now;
    this.at = { i, step, now, before };
    this.say(step, fresh);
    this.drawServer();
    this.source.show(now, this.isAsleep());
    this.kernel.draw();
    this.clients.forEach((client, place) => this.drawClient(client, place));
  }

  /** How long ago a step was taken, in what the reader sees counted; "" in the same moment. */
  ago(step) {
    const many = this.moment - this.steps.indexOf(step);
    return many > 0 ? plural(many, this.named ? "moment" : "step") : "";
  }

  /** That a client waits, and for how long. Beside another run there is no room for the unit. */
  waited(since) {
    const [many, unit] = this.ago(since).split(" ");
    return many ? [`waits, ${many} `, h("span", { class: this.named && "sr" }, unit)] : "waits";
  }

  say(step, fresh) {
    const { now } = this.at;
    const woken = this.servers.some(({ id }) => now.actors[id]?.state === "waiting");
    this.live.classList.toggle("asleep", this.isAsleep() && !woken);
    fill(this.live, words(step.says));
    this.held.hidden = fresh;
  }

  /** Whether the server whose line is shown sleeps in it. */
  isAsleep() {
    const { now } = this.at;
    return now.actors[now.runner]?.state === "sleeping";
  }

  /** The servers that sleep now, as [actor, state of the actor]. */
  asleep() {
    const { now } = this.at;
    return this.servers
      .map((actor) => [actor, now.actors[actor.id]])
      .filter(([, is]) => is?.state === "sleeping");
  }

  /** A mark for those who sleep at a place; at a socket, on the side of one of its buffers. */
  badge(which, way) {
    const here = this.asleep().filter(
      ([, is]) =>
        this.whereSleeps(is) === which &&
        (!way || (isWrite({ name: is.in ?? "" }) ? "out" : "in") === way),
    );
    if (!here.length) return null;
    const names = here.map(([actor]) => actor.name.replace(/^(.*) for (.*)$/, "$2's $1"));
    const who = names.length > 2 ? `${names.length}` : names.join(" and ");
    return h(
      "span",
      { class: "badge" },
      h("span", { class: "moon", "aria-hidden": "true" }),
      h("span", { class: this.servers.length > 1 ? "" : "who" }, `${who} `),
      h("span", {}, names.length > 1 ? "sleep here" : "sleeps here"),
    );
  }

  /** Where in the kernel a sleeper sleeps: at a socket, at the accept queue, at a list. */
  whereSleeps(is) {
    if (is.of && this.clients.some(({ id }) => id === is.of)) return is.of;
    if (/^accept/.test(is.in ?? "")) return "queue";
    const watch = this.kernel.watches().find((one) => (one.pid ?? 0) === (is.pid ?? 0));
    return watch && `watch:${watch.pid}`;
  }

  // --- user space ---

  drawServer() {
    const { now, before, step } = this.at;
    const there = this.servers.filter(({ id }) => {
      const state = now.actors[id]?.state ?? "none";
      return (
        state !== "none" && (state !== "ended" || id === step.actor || this.servers.length === 1)
      );
    });
    fill(
      this.doing,
      there.map((actor) => this.actor(actor)),
    );
    const owner = now.windows[step.actor] ? step.actor : Object.keys(now.windows).at(-1);
    const window = now.windows[owner];
    const fresh = window && !window.old && window !== before.windows[owner];
    fill(
      this.hand,
      this.reads && [
        h("span", { class: "what" }, "window"),
        h(
          "span",
          {
            class: `buffer window ${fresh ? "new" : ""} ${window?.old ? "old" : ""}`,
            "data-place": "window",
          },
          window && this.cells(window.data, window.client, window.bytes),
          window?.old && h("small", {}, "read before"),
          !window && h("span", { class: "dim" }, "nothing read yet"),
        ),
      ],
      this.kernel.lists(true),
    );
  }

  /** A thread or process: what it does, and in which call. */
  actor({ id, name }) {
    const { now, before, step, i } = this.at;
    const is = now.actors[id];
    const ago = this.ago(now.since[id] ?? i);
    const asleep = is.state === "sleeping" || is.state === "waiting";
    const call = asleep ? is.in : step.actor === id && step.call && (step.text ?? step.call.name);
    return h(
      "p",
      { class: "actor" },
      this.servers.length > 1 && h("b", {}, name),
      h(
        "span",
        { class: isChanged(is.state, before.actors[id]?.state) ? "new" : "" },
        h("span", { class: `pill ${is.state}` }, STATES[is.state] ?? is.state),
      ),
      call && h("code", { class: `call ${asleep ? "dim" : ""}` }, asleep && "in ", call),
      asleep && ago && h("span", { class: "dim" }, `for ${ago}`),
      step.actor === id &&
        step.times > 1 &&
        h("b", { class: "times" }, `× ${step.times.toLocaleString("en")}`),
    );
  }

  // --- a client, and the server's end of its connection ---

  drawClient(client, place) {
    const { now, before } = this.at;
    const socket = now.sockets[client.id];
    const was = before.sockets[client.id];
    const tone = colour(place);
    const fresh = isChanged([socket?.fd, socket?.state], [was?.fd, was?.state]);
    const row = this.sockets[place];
    row.className = `socket ${tone} ${socket ? (socket.fd == null ? "unknown" : "") : "absent"}`;
    fill(
      row,
      h(
        "span",
        {
          class: `name ${fresh ? "new" : ""}`,
        },
        h("b", {}, client.name),
        h("span", { class: "dim" }, socket && (socket.fd == null ? "no fd" : `fd ${socket.fd}`)),
        socket?.state &&
          socket.state !== "ESTABLISHED" &&
          h("small", { class: "tcp" }, socket.state),
      ),
      this.buffer("in", client.id, socket, was),
      this.buffer("out", client.id, socket, was),
    );
    const is = now.actors[client.id] ?? {};
    const since = now.waits[client.id];
    const unread = socket?.client_in_bytes;
    const person = this.people[place];
    person.className = `client ${tone} ${since == null ? "" : "waiting"}`;
    person.setAttribute("data-place", `client:${client.id}`);
    fill(
      person,
      h(
        "p",
        {},
        h("b", {}, client.name),
        since == null
          ? client.about && !unread && h("small", {}, client.about)
          : h(
              "small",
              { class: "waits" },
              this.waited(since),
            ),
        unread > 0 &&
          h(
            "span",
            { class: `inbox ${isChanged(unread, was?.client_in_bytes) ? "new" : ""}` },
            h("span", { class: "sr" }, `${plural(unread, "byte")} to read: `),
            socket.client_in && unread <= MANY
              ? this.cells(socket.client_in, client.id, unread, 6)
              : h("small", {}, `${unread.toLocaleString("en")} B`),
          ),
      ),
      h(
        "p",
        { class: isChanged(is.did, before.actors[client.id]?.did) ? "new" : "" },
        is.did ? words(is.did) : h("span", { class: "dim" }, "not here yet"),
      ),
    );
  }

  buffer(way, id, socket, was) {
    const bytes = socket?.[`${way}_bytes`] ?? 0;
    const text = socket?.[way];
    const fresh =
      isChanged([bytes, text], [was?.[`${way}_bytes`] ?? 0, was?.[way]]) && (bytes || was);
    const name = way === "in" ? "to read" : "to send";
    const room = socket?.[`${way}_room`];
    const filled = bytes > 0 && (!text || bytes > MANY);
    const share = Math.min(100, Math.max(6, (100 * bytes) / (room ?? this.most[way])));
    return h(
      "span",
      {
        class: `buffer ${way} ${fresh ? "new" : ""}`,
        "data-place": `${way}:${id}`,
        title: room && `${plural(bytes, "byte")} of ${plural(room, "byte")}`,
      },
      h("span", { class: "sr" }, `${name}: ${bytes ? plural(bytes, "byte") : "empty"} `),
      filled && h("span", { class: "fill", style: `width: ${share}%` }),
      filled && h("span", { class: "count" }, `${bytes.toLocaleString("en")} B`),
      text && !filled && h("span", { class: "run" }, this.cells(text, id, bytes, MANY)),
      text && !filled && bytes > FEW && h("span", { class: "count" }, `${bytes} B`),
      this.badge(id, way),
    );
  }

  cells(text, client, bytes, letters = LETTERS) {
    const all = cellsOf(text);
    const total = bytes ?? all.length;
    const shown = all.slice(0, all.length > letters ? letters - 2 : letters);
    const tone = colour(this.clients.findIndex(({ id }) => id === client));
    return [
      ...shown.map((one) =>
        h(
          "i",
          { class: `cell ${tone} ${one.length > 1 ? "long" : ""}` },
          one === " " ? "␣" : one.replace(/^\\x/, ""),
        ),
      ),
      total > shown.length &&
        h("small", { class: "rest" }, `+ ${(total - shown.length).toLocaleString("en")}`),
    ];
  }
}
