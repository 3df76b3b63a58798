"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const specifications = read("specifications");
const themes = read("theme");
const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const views = new Map();
const MARGIN = 30; // pixels beside a legend

function merged(one, other) {
  const both = { ...one, ...other };
  for (const key of Object.keys(one)) {
    const inner = (value) => value && typeof value === "object" && !Array.isArray(value);
    if (inner(one[key]) && inner(other[key])) both[key] = merged(one[key], other[key]);
  }
  return both;
}

function chosen() {
  return document.querySelector("input[name=theme]:checked").value;
}

function isDark() {
  return chosen() === "dark" || (chosen() === "system" && prefersDark.matches);
}

async function drawChart(number) {
  const place = document.getElementById("chart-" + number);
  const config = merged(themes.both, isDark() ? themes.dark : themes.light);
  const room = specifications[number].usermeta?.legendColumn;
  if (room) config.legend.columns = Math.max(1, Math.floor((place.clientWidth - MARGIN) / room));
  const before = views.get(number);
  const result = await vegaEmbed(place, specifications[number], {
    actions: false, renderer: "svg", config, tooltip: { theme: isDark() ? "dark" : "light" } });
  for (const name of ["role", "aria-roledescription", "aria-label"]) place.removeAttribute(name); // its frame is named
  place.setAttribute("aria-hidden", "true");
  if (before) before.finalize();
  views.set(number, result);
}

let drawing = 0;
async function draw() {
  const turn = ++drawing;
  delete document.body.dataset.drawn;
  let drawn = 0;
  for (let number = 0; number < specifications.length && turn === drawing; number++) {
    try {
      await drawChart(number);
      drawn++;
    } catch (error) {
      document.getElementById("chart-" + number).innerHTML = '<p class="failed">This chart could not be drawn; its table is below.</p>';
      console.error("chart " + number, error);
    }
  }
  if (turn === drawing) document.body.dataset.drawn = drawn;
}

function save(button) {
  const panel = button.closest(".panel");
  const svg = panel.querySelector(".drawing svg, .chart svg");
  if (!svg) return;
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.style.background = getComputedStyle(root).getPropertyValue("--card");
  const text = new XMLSerializer().serializeToString(copy);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  link.download = button.dataset.name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 80) + ".svg";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function keep(value) {
  try { localStorage.setItem("weightlake-theme", value); } catch (error) { /* a page from disk may keep nothing */ }
}

function kept() {
  try { return localStorage.getItem("weightlake-theme"); } catch (error) { return null; }
}

function apply() {
  if (chosen() === "system") delete root.dataset.theme;
  else root.dataset.theme = chosen();
  draw();
}

function follow() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  for (const id of links.keys()) {
    const target = document.getElementById(id);
    if (target) seen.observe(target);
  }
}

const wide = matchMedia("(min-width: 1001px)");
const contents = document.getElementById("contents");
const unfold = () => { contents.open = wide.matches; };
wide.addEventListener("change", unfold);
unfold();
contents.addEventListener("click", (event) => { if (event.target.closest("a") && !wide.matches) contents.open = false; });
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.save");
  if (button) save(button);
});
for (const input of document.querySelectorAll("input[name=theme]")) {
  input.checked = input.value === (kept() || "system");
  input.addEventListener("change", () => { keep(input.value); apply(); });
}
let resized;
let width = innerWidth;
addEventListener("resize", () => {
  clearTimeout(resized);
  if (innerWidth !== width) resized = setTimeout(() => { width = innerWidth; draw(); }, 250);
});
prefersDark.addEventListener("change", () => { if (chosen() === "system") draw(); });
follow();
apply();
