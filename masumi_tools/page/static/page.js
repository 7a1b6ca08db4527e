// The page works without this; with it, a page that is open shows what was saved meanwhile.
"use strict";
const news = new EventSource("/events?since=" + encodeURIComponent(document.body.dataset.stamp));
let due = false;
async function renew() {
  const field = document.activeElement;
  const typing = field && field.matches("input, textarea, select");
  const filled = [...document.querySelectorAll("main form[method=post] textarea, main form[method=post] input:not([type=hidden])")].some((one) => one.value);
  if (!due || typing || filled) return;
  due = false;
  const answer = await fetch(location.href, { credentials: "same-origin" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const held = field && field.closest("main") ? field.closest("[id]") : null;
  document.querySelector("main").replaceWith(fresh.querySelector("main"));
  document.title = fresh.title;
  if (held && held.id) document.getElementById(held.id)?.focus();
}
news.onmessage = () => { due = true; renew(); };
setInterval(renew, 2000);
addEventListener("pagehide", () => news.close());
