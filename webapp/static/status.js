// Keeps the figures of the status page up to date while somebody looks at it.
"use strict";

const EVERY_MS = 5000;
const live = document.getElementById("live");

async function update() {
  try {
    if (document.hidden) return;
    const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    const fresh = page.getElementById("live");
    if (fresh) live.replaceChildren(...fresh.childNodes);
  } catch {
    // The last figures stay until the site answers again.
  } finally {
    setTimeout(update, EVERY_MS);
  }
}

setTimeout(update, EVERY_MS);
