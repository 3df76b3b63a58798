// What a report looks like: empty or cut charts, what is too wide, text that is too pale.
const inside = (one, other) => one.left >= other.left - 1 && one.right <= other.right + 1
  && one.top >= other.top - 1 && one.bottom <= other.bottom + 1;
const charts = [...document.querySelectorAll(".chart")];
const cut = charts.flatMap((chart) => [...chart.querySelectorAll("svg text")]
  .filter((text) => text.textContent && getComputedStyle(text).opacity !== "0"
    && !inside(text.getBoundingClientRect(), chart.querySelector("svg").getBoundingClientRect()))
  .map((text) => chart.id + ": " + text.textContent));
const wide = [...document.querySelectorAll("body *")].filter((each) => !each.closest(".scroll, pre, .skip, svg")
  && getComputedStyle(each).position !== "absolute" && each.getBoundingClientRect().right > innerWidth + 1);
const rgb = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
const light = (colour) => rgb(colour).map((part) => part / 255)
  .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
const contrast = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const card = getComputedStyle(document.querySelector(".figure")).backgroundColor;
const labels = [...document.querySelectorAll(".says, .finding, th, td, summary, h4, .role-axis-label text, .role-legend-label text")];
const pale = labels.map((each) => getComputedStyle(each))
  .map((style, place) => contrast(labels[place].closest("svg") ? style.fill : style.color, card))
  .filter((ratio) => ratio < 4.5);
const tiles = [...document.querySelectorAll(".tiles div")].map((each) => each.getBoundingClientRect());
const cover = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
const named = [...document.querySelectorAll(".panel [role=img]")].map((each) => each.ariaLabel);
const first = document.querySelector(".lead .panel .chart");
const cells = first.querySelectorAll(".mark-rect.role-mark path").length;
const written = [...first.querySelectorAll(".mark-text.role-mark text")].filter((text) => getComputedStyle(text).opacity !== "0");
return {
  overlaid: tiles.filter((one, place) => tiles.slice(place + 1).some((other) => cover(one, other))).length,
  alike: named.length - new Set(named).size,
  spoken: charts.filter((chart) => chart.ariaHidden !== "true" || chart.ariaLabel || chart.role).length,
  cells, written: written.map((text) => text.textContent),
  legend: [...first.querySelectorAll(".role-legend-title text")].map((text) => text.textContent),
  drawn: Number(document.body.dataset.drawn), charts: charts.length, cut, pale, dark: light(card) < 0.1,
  empty: charts.filter((chart) => !chart.querySelector("svg path, svg rect, svg line")).length,
  unnamed: charts.filter((chart) => !(chart.closest("[role=img]")?.ariaLabel.length > 20)).length,
  wide: wide.map((each) => each.outerHTML.slice(0, 80)), scrolls: document.documentElement.scrollWidth > innerWidth,
};
