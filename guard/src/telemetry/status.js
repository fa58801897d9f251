"use strict";
// Takes what has changed from a new copy of the page. A person who reads, or a table that is open, is not disturbed.
let seen = Date.now();
setInterval(async () => {
  if (document.hidden) return;
  const stale = document.getElementById("stale");
  try {
    const response = await fetch(location, { cache: "no-store", signal: AbortSignal.timeout(4000) });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of document.querySelectorAll(".live")) {
      const next = page.getElementById(part.id);
      if (next && part.innerHTML !== next.innerHTML) part.innerHTML = next.innerHTML;
    }
    document.title = page.title;
    document.querySelector("link").href = page.querySelector("link").href;
    seen = Date.now();
    stale.hidden = true;
  } catch {
    stale.textContent = `guard does not answer. What you see is ${Math.round((Date.now() - seen) / 1000)} s old.`;
    stale.hidden = false;
  }
}, 5000);
