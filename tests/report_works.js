// Whether a report can be used: links, switch, headings, landmarks, tables, saved pictures, visible focus.
const click = (value) => document.querySelector(`input[value=${value}]`).click();
const links = [...document.querySelectorAll("a[href^='#']")].filter((link) => !document.getElementById(link.hash.slice(1)));
const before = getComputedStyle(document.body).backgroundColor;
click("dark");
await drawn();
const after = getComputedStyle(document.body).backgroundColor;
const ids = [...document.querySelectorAll("[id]")].map((each) => each.id).filter((id) => !/^(clip|gradient|vg)/.test(id));
const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((heading) => Number(heading.tagName[1]));
const figures = [...document.querySelectorAll("article")];
const saved = [];
URL.createObjectURL = (blob) => { saved.push(blob); return "#"; };
for (const button of document.querySelectorAll("button.save")) button.click();
const texts = await Promise.all(saved.map((blob) => blob.text()));
const parsed = texts.map((text) => new DOMParser().parseFromString(text, "image/svg+xml").documentElement.tagName);
const focused = [...document.querySelectorAll("a, button, input, summary, [tabindex]")]
  .filter((each) => each.checkVisibility() && each.tabIndex >= 0);
const unmarked = focused.filter((each) => { each.focus({ focusVisible: true }); return document.activeElement === each
  && getComputedStyle(each.matches("input") ? each.nextElementSibling : each).outlineStyle === "none"; });
for (const details of document.querySelectorAll("details")) details.open = true;
return {
  links: links.map((link) => link.hash), changed: before !== after, twice: ids.length - new Set(ids).size,
  jumps: levels.filter((level, place) => place && level > levels[place - 1] + 1).length, h1: levels.filter((level) => level === 1).length,
  landmarks: ["header", "nav", "main", "footer"].filter((name) => document.querySelector(name)),
  tables: figures.filter((figure) => !figure.querySelector("table caption") || !figure.querySelector("pre code").textContent).length,
  unlabelled: [...document.querySelectorAll("section, article")].filter((each) => !document.getElementById(each.getAttribute("aria-labelledby"))).length,
  saved: parsed, buttons: document.querySelectorAll("button.save").length, unmarked: unmarked.map((each) => each.outerHTML.slice(0, 80)),
  first: focused[0].className,
};
