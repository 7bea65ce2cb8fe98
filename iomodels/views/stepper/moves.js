// What moves in a step: bytes fly from where they were to where they are. Only for the eye, and
// only where the reader's system does not ask for stillness; nothing waits for it.

/** The bytes that a step moves, if it does, as [from, to, text, client, how many]: places of the
 * picture, and the first of the bytes. */
function movesOf(step, before, after) {
  const moves = [];
  const client = clientOf(step, before, after);
  const data = step.call?.data;
  if (data && client && step.kind !== "sleep") {
    const bytes = bytesOf(step.call);
    if (isRead(step.call)) moves.push([`in:${client}`, "window", data, client, bytes]);
    if (isWrite(step.call)) {
      const stays = after.sockets[client]?.out_bytes > (before.sockets[client]?.out_bytes ?? 0);
      moves.push(["window", stays ? `out:${client}` : `client:${client}`, data, client, bytes]);
    }
  }
  for (const [id, socket] of Object.entries(after.sockets)) {
    const more = (socket.in_bytes ?? 0) - (before.sockets[id]?.in_bytes ?? 0);
    if (more > 0 && step.kind === "act")
      moves.push([`client:${id}`, `in:${id}`, (socket.in ?? "").slice(-more) || "…", id, more]);
  }
  for (const id of before.queue?.waiting ?? [])
    if (!(after.queue?.waiting ?? []).includes(id) && after.sockets[id]?.fd != null)
      moves.push([`queue:${id}`, `fd:${id}`, id, id, 1]);
  return moves;
}

/** Where the places of a picture are on the page, by name. */
function whereabouts(picture) {
  const places = picture.element.querySelectorAll("[data-place]");
  return new Map([...places].map((e) => [e.dataset.place, e.getBoundingClientRect()]));
}

/** Let the bytes of the step that was just shown fly, over `layer`. `from` is where things were. */
function fly(picture, layer, from) {
  const { step, now, before } = picture.at;
  const to = whereabouts(picture);
  const origin = layer.getBoundingClientRect();
  const at = ({ left, top, height }) =>
    `translate(${left - origin.left + 6}px, ${top - origin.top + height / 2 - 10}px)`;
  for (const [source, target, text, client, bytes] of movesOf(step, before, now)) {
    const start = from.get(source) ?? to.get(source);
    const end = to.get(target);
    if (!start || !end) continue;
    const bird = h("span", { class: "bird" }, picture.cells(text, client, bytes));
    layer.append(bird);
    const path = [
      { transform: at(start), opacity: 1 },
      { transform: at(end), opacity: 1, offset: 0.85 },
      { transform: at(end), opacity: 0 },
    ];
    const flight = bird.animate(path, { duration: 480, easing: "cubic-bezier(.3,.1,.2,1)" });
    flight.onfinish = () => bird.remove();
  }
}
