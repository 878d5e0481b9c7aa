// One-key shortcuts, by place on the keyboard: the same in every layout. They can be switched off in their list.
"use strict";

const STORED = "keys-off";
const REACTIONS = { KeyL: "like", KeyD: "dislike", KeyX: "hide" };
const dialog = document.getElementById("keys");
const help = document.getElementById("help");
const on = document.getElementById("keys-on");

function current() {
  return document.activeElement.closest(".card") ?? document.querySelector(".item.card");
}

function move(step) {
  const cards = [...document.querySelectorAll(".cards .card")];
  const at = cards.indexOf(document.activeElement.closest(".card"));
  const next = at < 0 ? cards[0] : cards[at + step];
  next?.querySelector("h2 a, button").focus();
}

function press(event) {
  const button = REACTIONS[event.code];
  if (event.key === "?" || (event.code === "Slash" && event.shiftKey)) dialog.showModal();
  else if (event.shiftKey) return false;
  else if (event.code === "Slash") document.getElementById("q").focus();
  else if (event.code === "KeyJ") move(1);
  else if (event.code === "KeyK") move(-1);
  else if (event.code === "KeyN") document.getElementById("others")?.click();
  else if (event.code === "KeyU") document.querySelector("#notice form:not([hidden]) button")?.click();
  else if (button && current()) current().querySelector(`[data-action="${button}"]`).click();
  else if (button) move(1);
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  const busy = event.ctrlKey || event.metaKey || event.altKey || event.repeat || dialog.open;
  if (busy || !on.checked || event.target.matches("input, textarea, select")) return;
  if (press(event)) event.preventDefault();
});

on.checked = localStorage.getItem(STORED) === null;
on.addEventListener("change", () => {
  if (on.checked) localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, "yes");
});
help.hidden = false;
help.addEventListener("click", () => dialog.showModal());
