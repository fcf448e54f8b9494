"use strict";
// Tables can be sorted and filtered; without this script they are plain tables.
const inOrder = new Intl.Collator(undefined, { numeric: true }).compare;

function keyOf(row, column, isNumber) {
  const text = row.cells[column].textContent.trim();
  if (!isNumber) return text;
  const value = parseFloat(text.replaceAll(",", "").replace("−", "-"));
  return Number.isNaN(value) ? null : value;
}

function sort(table, head) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  const isNumber = head.classList.contains("n");
  const rows = Array.from(table.tBodies[0].rows, (row) => [keyOf(row, head.cellIndex, isNumber), row]);
  rows.sort(([a], [b]) => {
    if (a === b) return 0;
    if (a === null || a === "") return 1; // what isn't known stays at the end
    if (b === null || b === "") return -1;
    const order = isNumber ? a - b : inOrder(a, b);
    return descending ? -order : order;
  });
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function filter(table, words, count) {
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  count.textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
}

for (const table of document.querySelectorAll("table[data-sorts]")) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, head));
    head.append(button);
  }
  if (table.tBodies[0].rows.length < 8) continue;
  const bar = document.createElement("div");
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("output");
  bar.className = "filter";
  input.type = "search";
  label.append(`Filter ${table.dataset.sorts}: `, input);
  bar.append(label, count);
  table.parentElement.before(bar);
  input.addEventListener("input", () => {
    filter(table, input.value.toLowerCase().split(/\s+/).filter(Boolean), count);
  });
}
