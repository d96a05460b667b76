"use strict";
// One small script for every page: the table of answers (filter, order, pages) and tables that sort.
// Data reaches the page as text only (textContent); nothing here reads or writes anything outside of it.
(() => {
  const named = { 0x200e: 1, 0x200f: 1, 0x061c: 1, 0x2028: 1, 0x2029: 1, 0x2060: 1, 0xfeff: 1, 0xfffc: 1, 0x7f: 1, 0x200b: 1 };
  const visible = (text) => Array.from(text, (char) => {
    const code = char.codePointAt(0);
    if (code === 10) return "⏎";
    if (code < 32) return String.fromCharCode(0x2400 + code);
    if (named[code] || (code > 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
        (code >= 0x2066 && code <= 0x2069) || (code >= 0xd800 && code <= 0xf8ff))
      return "⟨U+" + code.toString(16).toUpperCase().padStart(4, "0") + "⟩";
    return char;
  }).join("");

  const answers = () => {
    const island = document.getElementById("answers");
    if (!island) return;
    const data = JSON.parse(island.textContent);
    const find = (name) => document.querySelector('[data-answers="' + name + '"]');
    const [outcome, kind, text, order, body, count] = ["outcome", "kind", "text", "order", "body", "count"].map(find);
    const items = data.items.map((item, number) => ({ item, number, key: (item[0] + "\n" + item[1] + "\n" + item[2]).toLowerCase() }));
    const page = 100;
    let from = 0;

    const fits = (entry) => {
      const judged = data.outcomes[entry.item[3]];
      if (outcome.value === "!right" ? judged === "right" : outcome.value && judged !== outcome.value) return false;
      if (kind.value && !entry.item[4].includes(Number(kind.value))) return false;
      return !text.value || entry.key.includes(text.value.toLowerCase());
    };
    // Ranges of characters that differ from the other text are marked.
    const cell = (row, value, name, ranges) => {
      const place = row.insertCell();
      place.className = name;
      const inner = document.createElement("bdi");
      const characters = Array.from(value);
      let at = 0;
      for (const [start, end] of ranges || []) {
        const mark = document.createElement("mark");
        mark.textContent = visible(characters.slice(start, end).join(""));
        inner.append(visible(characters.slice(at, start).join("")), mark);
        at = end;
      }
      inner.append(visible(characters.slice(at).join("")));
      place.append(inner);
    };
    const draw = () => {
      const found = items.filter(fits);
      const sure = (entry) => entry.item[5] === null ? -1 : entry.item[5];
      if (order.value) found.sort((a, b) => (order.value === "sure" ? sure(b) - sure(a) : sure(a) - sure(b)) || a.number - b.number);
      from = Math.max(0, Math.min(from, Math.floor((found.length - 1) / page) * page));
      const shown = found.slice(from, from + page);
      const rows = document.createDocumentFragment();
      for (const { item } of shown) {
        const row = document.createElement("tr");
        const judged = data.outcomes[item[3]];
        row.className = judged;
        cell(row, item[0], "long");
        cell(row, item[1], "long", item[7] && item[7][0]);
        cell(row, item[2], "long", item[7] && item[7][1]);
        cell(row, item[6] || data.words[judged], "outcome");
        cell(row, item[5] === null ? "" : item[5].toFixed(3), "number");
        rows.append(row);
      }
      body.replaceChildren(rows);
      const number = (value) => value.toLocaleString("en");
      count.textContent = found.length ? number(from + 1) + "–" + number(from + shown.length) + " " + data.words.of + " " + number(found.length) : "0";
      count.dataset.found = found.length;
      find("previous").disabled = from === 0;
      find("following").disabled = from + page >= found.length;
    };
    for (const control of [outcome, kind, text, order]) control.addEventListener("input", () => { from = 0; draw(); });
    find("previous").addEventListener("click", () => { from -= page; draw(); });
    find("following").addEventListener("click", () => { from += page; draw(); });
    draw();
  };

  const sorting = (table) => {
    const value = (row, column) => {
      const cell = row.cells[column];
      const told = cell.dataset.value === undefined ? cell.textContent : cell.dataset.value;
      return told !== "" && Number.isFinite(Number(told)) ? Number(told) : told;
    };
    const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = Array.from(table.tBodies[0].rows);
        rows.sort((a, b) => (down ? -1 : 1) * compare(value(a, column), value(b, column)));
        table.tBodies[0].append(...rows);
      });
    });
  };

  answers();
  document.querySelectorAll("table.sortable").forEach(sorting);
})();
