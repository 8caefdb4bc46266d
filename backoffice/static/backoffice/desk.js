/* What the security desk does better with a script; without one everything still works. */

"use strict";

/* One tick for all on this page. */
for (const all of document.querySelectorAll("[data-chooses-all]")) {
  const boxes = all.closest("table").querySelectorAll('tbody input[type="checkbox"]');
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
  });
}

/* A long ending sends its next step by itself, and tells how far it is. */
const ending = document.querySelector("[data-goes-on]");

async function step() {
  const answer = await fetch(ending.action, {
    method: "POST",
    headers: { Accept: "application/json" },
    body: new FormData(ending),
  });
  /* Signed out meanwhile: whoever was to see this sees the sign-in page. */
  if (answer.redirected) {
    location.assign(answer.url);
    return true;
  }
  if (!answer.ok) throw new Error(answer.status);
  const told = await answer.json();
  ending.querySelector("progress").value = told.ended;
  ending.querySelector("[data-ended]").textContent = told.ended;
  ending.querySelector("[data-says]").textContent = "";
  if (told.done) location.assign(told.to);
  return told.done;
}

async function goOn() {
  ending.querySelector("button").hidden = true;
  for (;;) {
    try {
      if (await step()) return;
    } catch {
      ending.querySelector("[data-says]").textContent = ending.dataset.trouble;
      await new Promise((done) => setTimeout(done, 3000));
    }
  }
}

if (ending) goOn();
