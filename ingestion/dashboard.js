"use strict";
// Draws the charts, sorts and searches the tables. Nothing is fetched.

const specs = JSON.parse(document.getElementById("specs").textContent);
const views = [...document.querySelectorAll("[data-chart]")].map((place) =>
  vegaEmbed(place, specs[place.dataset.panel][place.dataset.chart], {
    actions: false,
    ast: true, // expressions are interpreted: the page's policy has no eval
    defaultStyle: false,
    renderer: "svg",
    tooltip: { disableDefaultStyle: true },
  }),
);
// For print, and for those who wait until all is drawn.
window.drawn = Promise.all(views);

const words = new Intl.Collator(undefined, { numeric: true });

function sort(table, index, way) {
  const key = (row) => row.cells[index].dataset.value ?? row.cells[index].textContent;
  const isNumber = table.tHead.rows[0].cells[index].classList.contains("number");
  const number = (text) => (text === "" ? -Infinity : Number(text));
  const compare = isNumber
    ? (a, b) => number(key(a)) - number(key(b))
    : (a, b) => words.compare(key(a), key(b));
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((a, b) => way * compare(a, b)));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, index) => {
    header.querySelector("button").addEventListener("click", () => {
      const first = header.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const next = header.getAttribute("aria-sort") === first ? other : first;
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", next);
      sort(table, index, next === "ascending" ? 1 : -1);
    });
  });
}

for (const input of document.querySelectorAll("[data-searches]")) {
  const rows = [...document.getElementById(input.dataset.searches).tBodies[0].rows];
  const count = document.querySelector(`[data-counts="${input.dataset.searches}"]`);
  const tell = () => {
    const wanted = input.value.trim().toLocaleLowerCase();
    for (const row of rows) {
      row.hidden = !row.textContent.toLocaleLowerCase().includes(wanted);
    }
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = `${left.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  };
  input.addEventListener("input", tell);
  tell();
}
