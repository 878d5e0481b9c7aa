// Suggestions while a title is typed. The arrow keys choose one, Enter opens it, Escape closes the list.
"use strict";

const PAUSE_MS = 120;
const input = document.getElementById("q");
const list = document.getElementById("suggestions");
let timer = 0;
let asked = 0;
let chosen = -1;

function close() {
  clearTimeout(timer);
  asked += 1; // an answer that is under way comes too late
  chosen = -1;
  list.hidden = true;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function choose(place) {
  const options = list.children;
  chosen = (place + options.length) % options.length;
  for (const [n, option] of [...options].entries()) option.setAttribute("aria-selected", String(n === chosen));
  input.setAttribute("aria-activedescendant", options[chosen].id);
  options[chosen].scrollIntoView({ block: "nearest" });
}

function option(film, place) {
  const entry = document.createElement("li");
  entry.id = `suggestion-${place}`;
  entry.setAttribute("role", "option");
  entry.setAttribute("aria-selected", "false");
  entry.dataset.url = film.url;
  entry.textContent = film.title;
  const year = document.createElement("span");
  year.textContent = ` ${film.year}`;
  entry.append(year);
  return entry;
}

async function suggest() {
  const words = input.value.trim();
  close();
  if (!words) return;
  const mine = asked;
  try {
    const answer = await fetch(`${input.dataset.source}?${new URLSearchParams({ q: words })}`);
    const films = answer.ok ? await answer.json() : [];
    if (mine !== asked || !films.length) return;
    list.replaceChildren(...films.map(option));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  } catch {
    // The search itself says when the site is away.
  }
}

function open(entry) {
  location.assign(entry.dataset.url);
}

input.setAttribute("role", "combobox");
input.setAttribute("aria-autocomplete", "list");
input.setAttribute("aria-controls", list.id);
input.setAttribute("aria-expanded", "false");

input.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(suggest, PAUSE_MS);
});

input.addEventListener("keydown", (event) => {
  if (list.hidden) return;
  if (event.key === "ArrowDown") choose(chosen + 1);
  else if (event.key === "ArrowUp") choose(chosen < 0 ? -1 : chosen - 1);
  else if (event.key === "Enter" && chosen >= 0) open(list.children[chosen]);
  else if (event.key === "Escape") close();
  else return;
  event.preventDefault();
});

input.addEventListener("blur", close);
list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
list.addEventListener("click", (event) => {
  const entry = event.target.closest("li");
  if (entry) open(entry);
});
