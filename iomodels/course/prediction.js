// The card of predict(): a question, a way to answer it, and a guess that is committed or not.

/** "10,000", "1e4" and "2.5" are numbers; anything else is NaN. */
function toNumber(text) {
  const plain = text.trim().replace(/[ _]/g, "");
  if (/^[-+]?\d{1,3}(,\d{3})+(\.\d+)?$/.test(plain)) return Number(plain.replaceAll(",", ""));
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
}

const written = (value) =>
  typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 15 }) : value;

/** The positions of the slider: low, then every 1, 2 and 5 times a power of ten, then high. */
function stops(low, high) {
  const between = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const digit of [1, 2, 5]) between.push(Number(`${digit}e${power}`));
  return [low, ...between.filter((stop) => low < stop && stop < high), high];
}

/** A figure with its unit: "20 calls", "1 call"; as in comparison.py. */
function amount(value, unit) {
  const one = value === 1 ? unit.replace(/(?<=ch)es\b|(?<=\w\w)s\b/, "") : unit;
  return `${written(value)} ${one}`.trim();
}

/** A number box, under it a slider when the range spans decades. Returns [elements, read]. */
function numberInput(model, label) {
  const unit = model.get("unit");
  const [low, high] = [model.get("low"), model.get("high")];
  const start = model.get("guess");
  const box = h("input", {
    type: "text", inputmode: "decimal", autocomplete: "off", size: 12,
    "aria-labelledby": label, value: start == null ? "" : written(start),
  });
  const rows = [h("span", { class: "io-unit" }, unit)];
  if (model.get("log")) {
    const all = stops(low, high);
    const nearest = (value) =>
      all.reduce((best, stop, i) =>
        Math.abs(Math.log(stop / value)) < Math.abs(Math.log(all[best] / value)) ? i : best, 0);
    const name = (value) => amount(value, unit);
    const slider = h("input", {
      type: "range", min: 0, max: all.length - 1, step: 1,
      value: start == null ? Math.round((all.length - 1) / 2) : nearest(start),
      class: start == null && "io-untouched",
      "aria-labelledby": label, "aria-valuetext": start == null ? "no guess yet" : name(start),
      input: () => {
        box.value = written(all[slider.value]);
        touched(all[slider.value]);
      },
    });
    const touched = (value) => {
      slider.classList.remove("io-untouched");
      slider.setAttribute("aria-valuetext", name(value));
    };
    box.addEventListener("input", () => {
      const value = toNumber(box.value);
      if (!(value > 0)) return;
      slider.value = nearest(value);
      touched(value);
    });
    rows.push(
      h("span", { class: "io-slider" },
        h("span", { class: "io-dim" }, written(low)), slider,
        h("span", { class: "io-dim" }, written(high))),
    );
  }
  const read = () => {
    const value = toNumber(box.value);
    if (Number.isNaN(value)) return { problem: "Give a number, as in 250, 10,000 or 1e6." };
    if (low != null && value < low) return { problem: `Give a number from ${written(low)} up.` };
    if (high != null && value > high) return { problem: `Give a number up to ${written(high)}.` };
    return { value };
  };
  return [[box, ...rows], read];
}

/** One radio button per choice. Returns [elements, read]. */
function choiceInput(model, label) {
  const name = newId();
  const choices = model.get("choices");
  const buttons = choices.map((choice) =>
    h("input", { type: "radio", name, checked: model.get("guess") === choice.value }));
  const list = h("span", { class: "io-choices", role: "radiogroup", "aria-labelledby": label },
    ...choices.map((choice, i) => h("label", {}, buttons[i], h("span", { html: choice.html }))));
  const read = () => {
    const i = buttons.findIndex((button) => button.checked);
    return i < 0 ? { problem: "Pick one first." } : { value: choices[i].value };
  };
  return [[list], read];
}

function render({ model, el }) {
  const label = newId();
  const body = h("div");
  const status = h("p", { class: "io-status", "aria-live": "polite" });
  const card = h("div", { class: "io-card", role: "group", "aria-labelledby": label },
    h("p", { class: "io-kind" }, "Predict"),
    h("p", { class: "io-question", id: label, html: model.get("question") }), body, status);

  function asking() {
    const isNumber = model.get("choices").length === 0;
    const [inputs, read] = (isNumber ? numberInput : choiceInput)(model, label);
    const commit = (event) => {
      event.preventDefault(); // or the browser would send the form
      const { value, problem } = read();
      if (problem) {
        status.textContent = problem;
        form.querySelector("input").focus();
        return;
      }
      model.set("guess", value);
      model.save_changes();
      committed();
      card.querySelector("button").focus();
    };
    const form = h("form", { class: isNumber ? "io-row" : "io-rows", submit: commit },
      ...inputs, h("button", { class: "io-button io-main", type: "submit" }, "Commit"));
    body.replaceChildren(form);
    status.textContent = "Commit before you run on. Without a guess, a default stands in for it.";
  }

  function committed() {
    const guess = model.get("guess");
    const choice = model.get("choices").find((each) => each.value === guess);
    body.replaceChildren(h("div", { class: "io-row" },
      h("span", { class: "io-pill" }, "✓ committed"),
      choice
        ? h("b", { class: "io-guess", html: choice.html })
        : h("b", { class: "io-guess" }, amount(guess, model.get("unit"))),
      h("button", {
        class: "io-button", type: "button",
        click: () => { asking(); body.querySelector("input").focus(); },
      }, "Change")));
    status.textContent = "Kept until the kernel restarts. Now run on.";
  }

  ownKeys(card);
  if (model.get("guess") == null) asking();
  else committed();
  el.classList.add("iomodels");
  el.append(card);
}

export default { render };
