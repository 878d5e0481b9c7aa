// Reactions without leaving the page. Without this file the same forms are posted in full.
"use strict";

const DRAIN_MS = 300; // the pipeline takes a reaction in within this time
const NOTICE_MS = 8000;
const words = document.body.dataset;
const recommended = document.getElementById("recommended");
const notice = document.getElementById("notice");
const noticeText = notice.querySelector("p");
const undoForm = notice.querySelector("form");
const seeLink = notice.querySelector("a");
let underWay = 0; // reactions
let asked = 0; // lists: only the one asked for last is shown
let refreshTimer = 0;
let noticeTimer = 0;

function say(message) {
  noticeText.textContent = message;
  notice.classList.add("shown");
  hideNoticeLater();
}

function hideNoticeLater() {
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => {
    if (notice.contains(document.activeElement)) hideNoticeLater();
    else notice.classList.remove("shown");
  }, NOTICE_MS);
}

function offerUndo(itemId) {
  undoForm.elements.item_id.value = itemId;
  undoForm.hidden = !itemId;
}

function formOf(itemId) {
  return [...document.querySelectorAll("[data-react]")].find((form) => form.elements.item_id.value === itemId);
}

function show(form, action) {
  for (const button of form.querySelectorAll("button")) {
    const pressed = button.dataset.action === action;
    button.setAttribute("aria-pressed", String(pressed));
    button.value = pressed ? "undo" : button.dataset.action;
    form.closest(".card").classList.toggle(button.dataset.action, pressed);
  }
}

function shown(form) {
  return form.querySelector('[aria-pressed="true"]')?.dataset.action ?? "";
}

async function tell(itemId, action) {
  const fields = { csrf_token: undoForm.elements.csrf_token.value, item_id: itemId, action };
  try {
    const answer = await fetch(undoForm.getAttribute("action"), {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { Accept: "application/json" },
    });
    const told = await answer.json().catch(() => ({}));
    return { ok: answer.ok, message: told.message ?? words.siteDown };
  } catch {
    return { ok: false, message: words.siteDown };
  }
}

// Shown at once; taken back if the site could not keep it. An empty action takes the reaction back.
async function react(itemId, action) {
  const form = formOf(itemId);
  const before = form ? shown(form) : "";
  if (form?.dataset.busy) return;
  if (form) {
    form.dataset.busy = "yes";
    show(form, action);
  }
  underWay += 1;
  clearTimeout(refreshTimer);
  const answer = await tell(itemId, action || "undo");
  underWay -= 1;
  if (form) delete form.dataset.busy;
  if (form && !answer.ok) show(form, before);
  if (answer.ok) {
    offerUndo(action && itemId);
    if (recommended) recommended.dataset.changed = "yes";
  }
  seeLink.hidden = Boolean(recommended) || !answer.ok;
  say(answer.message);
  // Once the last of several quick reactions has been taken in.
  if (recommended?.dataset.changed && !underWay) {
    asked += 1; // a list that is under way is older than the reaction
    refreshTimer = setTimeout(refresh, DRAIN_MS);
  }
}

async function refresh() {
  clearTimeout(refreshTimer);
  asked += 1;
  const mine = asked;
  recommended.setAttribute("aria-busy", "true");
  let html = "";
  try {
    const answer = await fetch(recommended.dataset.source, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    html = await answer.text();
  } catch {
    if (mine === asked) say(words.listDown);
  }
  if (mine !== asked) return; // a newer one follows
  recommended.removeAttribute("aria-busy");
  if (html && underWay) recommended.dataset.changed = "yes"; // and one more once the reaction is kept, or is not
  else if (html) replaceList(html);
}

function replaceList(html) {
  const focused = document.activeElement.closest("#recommended .card");
  const place = [...recommended.querySelectorAll(".card")].indexOf(focused);
  const byKeyboard = focused?.querySelector(":focus-visible");
  const byReaction = recommended.dataset.changed;
  delete recommended.dataset.changed;
  recommended.innerHTML = html; // from our own server, which escapes
  const heading = document.getElementById("list-heading");
  if (byKeyboard) recommended.querySelectorAll(".card h2 a")[place]?.focus();
  else if (focused) heading.focus({ preventScroll: true });
  if (!byKeyboard && recommended.getBoundingClientRect().top < 0) heading.scrollIntoView();
  if (!byReaction) {
    offerUndo("");
    say(words.newList);
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!event.submitter || !(form.matches("[data-react]") || form === undoForm)) return;
  event.preventDefault();
  const action = form === undoForm ? "" : event.submitter.dataset.action;
  react(form.elements.item_id.value, form !== undoForm && action === shown(form) ? "" : action);
});

document.getElementById("others")?.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (!recommended.hasAttribute("aria-busy")) refresh();
});

if (notice.classList.contains("shown")) hideNoticeLater();
