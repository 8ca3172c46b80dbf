// Small conveniences. Every page works without them.

"use strict";

// The server writes instants in this zone from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
});
// Whoever comes back by the browser's history may send it again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A menu closes by Escape, and by a press elsewhere.
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// What htmx puts into the dialog is shown there; its links lead to pages of their own without JavaScript.
const dialog = document.getElementById("dialog");
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target === dialog && !dialog.open) dialog.showModal();
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
});
dialog.addEventListener("close", () => dialog.replaceChildren());

// An answer that is an error is shown like any other, as it would be without htmx.
document.addEventListener("htmx:beforeSwap", (event) => {
  // What asks by itself asks again, and keeps what it shows meanwhile.
  if (event.detail.elt.hasAttribute("data-live")) return;
  if (event.detail.xhr.status >= 400 && event.detail.xhr.getResponseHeader("Content-Type")?.startsWith("text/html")) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

// Words for those who hear the page: an element that changed says them in data-say.
document.addEventListener("htmx:afterSettle", (event) => {
  const said = event.detail.elt.closest?.("[data-say]") ?? event.detail.elt.querySelector?.("[data-say]");
  const announcer = document.getElementById("announcer");
  if (said && announcer.textContent !== said.dataset.say) announcer.textContent = said.dataset.say;
});
