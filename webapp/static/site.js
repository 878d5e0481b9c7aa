// Reactions without leaving the page. Without this file the same forms are posted in full.
"use strict";

const DRAIN_MS = 300; // the pipeline takes a reaction in within this time
const NOTICE_MS = 6000;
const words = document.body.dataset;
const notice = document.getElementById("notice");
const recommended = document.getElementById("recommended");
let underWay = 0;
let refreshTimer = 0;
let noticeTimer = 0;

function say(message, link) {
  clearTimeout(noticeTimer);
  notice.textContent = message;
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = "/";
    anchor.textContent = link;
    notice.append(" ", anchor);
  }
  notice.classList.add("shown");
  noticeTimer = setTimeout(() => notice.classList.remove("shown"), NOTICE_MS);
}

function show(form, action) {
  for (const button of form.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === action));
  }
  const card = form.closest(".card");
  card.classList.toggle("like", action === "like");
  card.classList.toggle("dislike", action === "dislike");
}

function shown(form) {
  return form.querySelector('[aria-pressed="true"]')?.value ?? "";
}

async function post(form, action) {
  const body = new URLSearchParams(new FormData(form));
  body.set("action", action);
  let answer; // form.action would be the buttons of that name
  try {
    answer = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { Accept: "application/json" } });
  } catch {
    return words.siteDown;
  }
  if (answer.ok) return "";
  const told = await answer.json().catch(() => ({}));
  return told.message ?? words.siteDown;
}

async function react(form, action) {
  const before = shown(form);
  if (action === before || form.dataset.busy) return;
  form.dataset.busy = "yes";
  underWay += 1;
  clearTimeout(refreshTimer);
  show(form, action);
  const problem = await post(form, action);
  delete form.dataset.busy;
  underWay -= 1;
  if (problem) {
    show(form, before);
    say(problem);
  } else if (recommended) {
    form.closest(".card").dataset.counted = "yes";
    say(words.choosing);
  } else {
    say(words.noted, words.see);
  }
  // Once the last of several quick reactions has been taken in.
  if (recommended && !underWay && recommended.querySelector("[data-counted]")) {
    refreshTimer = setTimeout(refresh, DRAIN_MS);
  }
}

async function refresh() {
  clearTimeout(refreshTimer);
  recommended.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(recommended.dataset.source, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const html = await answer.text();
    if (underWay) return; // the next refresh follows
    replaceList(html);
  } catch {
    say(words.listDown);
  } finally {
    recommended.removeAttribute("aria-busy");
  }
}

function replaceList(html) {
  const hadFocus = recommended.contains(document.activeElement);
  recommended.innerHTML = html; // from our own server, which escapes
  const heading = document.getElementById("list-heading");
  if (hadFocus) heading.focus({ preventScroll: true });
  if (recommended.getBoundingClientRect().top < 0) heading.scrollIntoView();
  say(words.newList);
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-react]") || !event.submitter) return;
  event.preventDefault();
  react(event.target, event.submitter.value);
});

document.getElementById("others")?.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  refresh();
});
