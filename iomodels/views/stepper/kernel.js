// What the kernel keeps for the server beside the sockets: accept queue, fd tables, lists, queues.

const LISTS = {
  select: ["sets, passed at each call", "came back"],
  poll: ["list, passed at each call", "came back"],
  epoll: ["interest list", "ready list"],
};
const QUEUES = { signals: "signals queued", io_uring: "orders in work" };
const PLACES = 5; // of an accept queue that are drawn, taken or free
const IN_USER_SPACE = new Set(["select", "poll"]);

class Kernel {
  constructor(picture) {
    this.picture = picture;
    this.element = h("div", { class: "gate" });
  }

  draw() {
    fill(
      this.element,
      this.row("accept queue", this.queue(), this.picture.badge("queue")),
      this.row("fd table", this.tables()),
      this.waitQueues(),
      this.lists(false),
      h(
        "div",
        { class: "heads", "aria-hidden": "true" },
        h("span"),
        h("span", {}, h("small", {}, "← to read")),
        h("span", {}, h("small", {}, "to send →")),
      ),
    );
  }

  row(what, chips, badge) {
    return [h("span", { class: "what" }, what), h("span", { class: "chips" }, chips, badge)];
  }

  chip(text, { client, fresh, place, free, more } = {}) {
    const tone = client ? colour(this.picture.clients.findIndex(({ id }) => id === client)) : "";
    const kinds = ["chip", tone, free && "free", fresh && "new"].filter(Boolean).join(" ");
    return h(
      "span",
      { class: kinds, "data-place": place },
      text,
      more && h("small", { class: "events" }, more),
    );
  }

  queue() {
    const { now, before } = this.picture.at;
    if (!now.queue) return [h("span", { class: "dim" }, "not listening yet")];
    const { waiting, dropped = [], all = [now.queue] } = now.queue;
    const was = before.queue?.waiting ?? [];
    const places = all.reduce((sum, one) => sum + one.backlog + 1, 0); // one more than listen(2) says
    const room = Math.max(0, places - waiting.length);
    const free = Math.max(0, Math.min(room, PLACES - waiting.length));
    const hidden = room - free;
    return [
      ...waiting.map((id) =>
        this.chip(id, { client: id, fresh: !was.includes(id), place: `queue:${id}` }),
      ),
      ...Array.from({ length: free }, () => this.chip("free", { free: true })),
      hidden > 0 && h("small", { class: "dim" }, `+ ${hidden} free`),
      ...dropped.map((id) => this.chip(id, { client: id, fresh: true, more: " dropped" })),
    ];
  }

  /** The process's fd table; with several processes, one for each. */
  tables() {
    const { now, before } = this.picture.at;
    const pids = [...new Set([...(now.fds ?? []), ...(before.fds ?? [])].map((one) => one.pid))];
    if (pids.length < 2) return this.table(pids[0]);
    return pids.map((pid) =>
      h("span", { class: "process" }, h("small", {}, this.processName(pid)), this.table(pid)),
    );
  }

  /** The name of a process's first thread. */
  processName(pid) {
    const { now } = this.picture.at;
    return (
      this.picture.servers.find(({ id }) => (now.actors[id]?.pid ?? 0) === (pid ?? 0))?.name ??
      `process ${pid}`
    );
  }

  table(pid) {
    const { now, before } = this.picture.at;
    const its = (fds) => (fds ?? []).filter((one) => one.pid === pid);
    const was = new Map(its(before.fds).map((one) => [one.fd, one]));
    const chips = its(now.fds).map((one) => {
      const fresh = isChanged(one, was.get(one.fd));
      was.delete(one.fd);
      const what = one.client ?? one.what;
      return h(
        "span",
        { class: `fd ${fresh ? "new" : ""}`, "data-place": one.client && `fd:${one.client}` },
        h("b", {}, one.fd),
        " ",
        one.client ? this.chip(one.client, { client: one.client }) : h("span", {}, what),
      );
    });
    for (const one of was.values())
      chips.push(h("span", { class: "fd gone new" }, h("b", {}, one.fd), " closed"));
    return chips;
  }

  watches(state = this.picture.at.now) {
    return (state.watch?.all ?? [state.watch]).filter((watch) => watch?.kind);
  }

  /** What the server watches, and who of them is ready; or what is queued for it. The lists of
   * select and poll lie in user space, all others in the kernel. */
  lists(user) {
    const all = this.watches();
    const before = this.watches(this.picture.at.before);
    return all
      .filter(({ kind }) => IN_USER_SPACE.has(kind) === user)
      .flatMap((watch) => {
        const was = before.find((one) => one.pid === watch.pid) ?? {};
        const whose = all.length > 1 && h("b", { class: "whose" }, this.processName(watch.pid));
        return [whose, ...this.list(watch, was)];
      });
  }

  /** Who sleeps in select or poll stands in the wait queue of each fd that it asks about. */
  waitQueues() {
    const all = this.watches().filter(({ kind }) => IN_USER_SPACE.has(kind));
    if (!all.length) return null;
    const asleep = all.flatMap(({ pid }) => this.picture.badge(`watch:${pid}`) ?? []);
    const nobody = h("span", { class: "dim" }, "nobody in them");
    return this.row("wait queues", asleep.length ? asleep : nobody);
  }

  list(watch, was) {
    const { now } = this.picture.at;
    const { kind, interest = [], ready = [], queue, done } = watch;
    const same = !isChanged(watch, was);
    const name = (number) =>
      (now.fds ?? []).find(
        (one) => one.fd === number && (watch.pid == null || one.pid === watch.pid),
      );
    // A ghost is watched under a number that was closed; whose that is now says nothing about it.
    const one = (number, events, fresh, ghost) => {
      const client = ghost ? null : name(number)?.client;
      const what = !ghost && !client && name(number)?.what;
      const role = what ? h("span", { class: "role" }, ` ${what}`) : ghost && " closed";
      return this.chip([`${number}${client ? ` ${client}` : ""}`, role], {
        client,
        fresh: !same && fresh,
        more: events && ` ${events}`,
      });
    };
    const had = (it) => was.interest?.some((one) => !isChanged(one, it));
    const ghosts = new Set(interest.filter(({ ghost }) => ghost).map(({ fd }) => fd));
    const wasReady = was.ready ?? [];
    const texts = (now, before) =>
      now?.length
        ? now.map((text) => this.chip(text, { fresh: !same && !(before ?? []).includes(text) }))
        : none;
    const badge = !IN_USER_SPACE.has(kind) && this.picture.badge(`watch:${watch.pid}`);
    const none = h("span", { class: "dim" }, "empty");
    const result = [];
    if (queue || QUEUES[kind])
      result.push(...this.row(QUEUES[kind] ?? "queue", texts(queue, was.queue), badge));
    if (done) result.push(...this.row("done", texts(done, was.done)));
    const [watched, came] = LISTS[kind] ?? ["watched", "ready"];
    if (!QUEUES[kind] || interest.length)
      result.push(
        ...this.row(
          watched,
          interest.length ? interest.map((it) => one(it.fd, it.events, !had(it), it.ghost)) : none,
        ),
      );
    if (!QUEUES[kind])
      result.push(
        ...this.row(
          came,
          ready.length
            ? ready.map((fd) => one(fd, "", !wasReady.includes(fd), ghosts.has(fd)))
            : none,
          badge,
        ),
      );
    return result;
  }
}
