"use strict";
// What the page shows: a text field, the prediction with its probability, examples, and what the skill is.

function startPage() {
  const data = (id) => document.getElementById(id).textContent, element = (id) => document.getElementById(id);
  const words = JSON.parse(data("words")), about = JSON.parse(data("about"));
  let language = (navigator.language || "en").startsWith("ja") ? "ja" : "en", shown = null, skill = null;
  try {
    skill = openSkill(data("skill"), data("weights"), DIGEST);
  } catch {
    skill = null;
  }

  const text = (tag, content) => Object.assign(document.createElement(tag), { textContent: content });
  const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
  const reason = (found) => words[language][found.withheld] ?? words[language].unreadable;

  const predict = (source) => {
    element("source").value = source;
    shown = source.trim() ? skill.predict(source) : null;
    render();
  };
  const render = () => {
    document.documentElement.lang = language;
    document.title = about.name;
    for (const one of document.querySelectorAll("[data-word]")) one.textContent = words[language][one.dataset.word];
    element("source").placeholder = about.examples[0] ?? "";
    element("damaged").hidden = skill !== null;
    element("predict").disabled = skill === null;
    element("output").textContent = shown === null ? "" : shown.text ?? words[language].abstained;
    element("output").className = shown !== null && shown.text === null ? "abstained" : "";
    element("probability").textContent = shown === null || shown.probability === null || shown.probability === undefined
      ? "" : `${words[language].share}: ${percent(shown.probability)}`;
    element("reason").textContent = shown !== null && shown.text === null ? reason(shown) : "";
    const facts = element("facts");
    facts.replaceChildren();
    for (const { heading, lines } of about.facts[language]) {
      facts.append(text("h2", heading));
      const list = document.createElement("ul");
      for (const line of lines) list.append(text("li", line));
      facts.append(list);
    }
  };
  for (const example of about.examples) {
    const button = text("button", example);
    button.addEventListener("click", () => skill && predict(example));
    element("examples").append(button);
  }
  element("predict").addEventListener("click", () => predict(element("source").value));
  element("source").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && skill) {
      event.preventDefault();
      predict(element("source").value);
    }
  });
  for (const one of ["en", "ja"]) element(one).addEventListener("click", () => { language = one; render(); });
  render();
}

if (typeof document !== "undefined") startPage();
