// The server's source: the function that runs now, with its current line.

class Source {
  constructor(files) {
    this.files = files;
    this.code = h("div", { class: "code", tabindex: "0", role: "group" });
    this.helper = h("p", { class: "helper" }); // the line of a helper that makes the call
  }

  /** Show the line of a state. */
  show({ line, helper }, asleep) {
    const [path, number] = line ?? [];
    if (!path) return;
    const stretch = this.stretchOf(path, number);
    if (!stretch) return;
    if (stretch !== this.stretch) {
      this.stretch = stretch;
      const indent = (line) => /^ */.exec(line)[0].length;
      const least = Math.min(...stretch.lines.filter((line) => line.trim()).map(indent));
      this.lines = stretch.lines.map((line, n) =>
        h(
          "div",
          { class: "line", style: `--in: ${Math.max(0, indent(line) - least)}` },
          h("span", { class: "number", "aria-hidden": "true" }, stretch.first + n),
          line.trim() || " ",
        ),
      );
      this.code.replaceChildren(...this.lines);
      this.code.scrollTop = 0;
      this.code.setAttribute("aria-label", `Source: ${path}`);
    }
    this.current?.classList.remove("current", "asleep");
    this.current?.removeAttribute("aria-current");
    this.current = this.lines[number - stretch.first];
    this.current.classList.add("current");
    this.current.classList.toggle("asleep", asleep);
    this.current.setAttribute("aria-current", "step");
    this.reveal();
    fill(
      this.helper,
      helper && [
        h("span", { class: "dim" }, `${helper.join(":")} `),
        h("code", {}, this.sourceOf(...helper)?.trim()),
      ],
    );
  }

  /** One line of a file, as far as it was recorded. */
  sourceOf(path, number) {
    const of = this.stretchOf(path, number);
    return of?.lines[number - of.first];
  }

  stretchOf(path, number) {
    const all = [this.files[path] ?? []].flat();
    return all.find((one) => number >= one.first && number < one.first + one.lines.length);
  }

  /** Scroll the source, not the page, so that the current line stands in its upper half. */
  reveal() {
    if (!this.current) return;
    const { offsetTop, offsetHeight } = this.current;
    const { scrollTop, clientHeight } = this.code;
    if (offsetTop >= scrollTop && offsetTop + offsetHeight <= scrollTop + clientHeight) return;
    const first = this.lines.find((line) => line.offsetTop >= offsetTop - clientHeight * 0.4);
    this.code.scrollTop = first.offsetTop;
  }
}
