// The card of quiz(): pick an answer, and read at once whether it is right, and why.

/** One question. Arrows move between the answers without picking one, so that a keyboard can read
 * them all first; space or Enter picks. `pick(i)` is called with the answer picked. */
function asked(question, number, picked, pick) {
  const label = newId();
  const why = h("div", { class: "io-why", "aria-live": "polite" });
  const answers = question.answers.map((answer, i) =>
    h("button", { type: "button", role: "radio", click: () => { pick(i); show(i); } },
      h("span", { class: "io-mark", "aria-hidden": "true" }),
      h("span", { html: answer.text })));

  function show(chosen) {
    answers.forEach((button, i) => {
      button.setAttribute("aria-checked", i === chosen);
      button.tabIndex = i === Math.max(chosen, 0) ? 0 : -1;
      button.className = "io-answer";
      button.firstChild.textContent = "";
    });
    if (chosen < 0) return;
    const { right, why: reason } = question.answers[chosen];
    answers[chosen].classList.add(right ? "io-right" : "io-wrong");
    answers[chosen].firstChild.textContent = right ? "✓" : "✗";
    why.className = `io-why ${right ? "io-right" : "io-wrong"}`;
    why.innerHTML = `<b>${right ? "Right." : "No."}</b> ${reason}`;
  }

  show(picked);
  return h("div", { class: "io-asked" },
    h("p", { class: "io-question", id: label },
      h("span", { class: "io-dim" }, `${number}. `), h("span", { html: question.text })),
    h("div", { role: "radiogroup", "aria-labelledby": label }, ...answers), why);
}

function render({ model, el }) {
  const questions = model.get("questions");
  const count = h("span", { class: "io-count" });
  const update = () => {
    const done = model.get("picked").filter((i) => i >= 0).length;
    count.textContent = `${done} of ${questions.length} answered`;
  };
  const card = h("div", { class: "io-card", role: "group", "aria-label": "Quiz" },
    h("p", { class: "io-kind" }, "Quiz", count),
    ...questions.map((question, q) =>
      asked(question, q + 1, model.get("picked")[q], (i) => {
        model.set("picked", model.get("picked").with(q, i));
        model.save_changes();
        update();
      })));
  ownKeys(card, (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || event.target.role !== "radio") return;
    event.preventDefault(); // or the page would scroll
    const all = [...event.target.parentElement.children];
    all.at((all.indexOf(event.target) + step) % all.length).focus();
  });
  update();
  el.classList.add("iomodels");
  el.append(card);
}

export default { render };
