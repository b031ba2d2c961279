"use strict";
/* Requests to this server, its problems in words, and its events. */
const $ = id => document.getElementById(id);
let caps = null, models = {}, running = null, run = null, counted = true;
function headers(more) {
  const key = $("key").value.trim();
  return Object.assign(key ? { Authorization: "Bearer " + key } : {}, more);
}
/* A path of the server, which may stand below a path of the page's origin. */
const url = path => location.origin + location.pathname.replace(/\/*$/, "/") + path;
/* What a pointer of the server's stands for, by the words beside its field; "" for what has no field here. */
const FIELDS = { between: ["a_seed", "b_seed"] };
function idOf(pointer) {
  const steps = pointer.split("/").slice(1), known = FIELDS[steps[0]];
  const id = known ? known[steps[1]] : steps[steps.length - 1];
  return id && $(id) && $(id).closest("label") ? id : null;
}
function fieldOf(pointer) {
  const id = idOf(pointer);
  return id ? $(id).closest("label").firstChild.textContent.trim() : pointer.split("/").slice(1).join(" ");
}
/* An error with the field that it is about, if the page has one. */
function fault(p, status) {
  const pointer = ((p.errors || [])[0] || {}).pointer;
  return Object.assign(new Error(inWords(p, status)), { status: status || p.status, field: pointer ? idOf(pointer) : null });
}
/* Puts the focus where the mistake is, also where it lies folded away. */
function showField(e) {
  const field = e.field && $(e.field), fold = field && field.closest("details");
  if (fold) fold.open = true;
  if (field) field.focus();
}
/* The server's problem as sentences: each fault by its field, without pointers and names of fields. */
function inWords(p, status) {
  const words = text => text.replace(/\b[a-z]+_[a-z_]+\b/g, w => $(w) && $(w).closest("label") ? `"${fieldOf("/" + w)}"` : w);
  const faults = (p.errors || []).map(e => (e.pointer ? fieldOf(e.pointer) + ": " : "") + words(e.detail));
  return faults.length ? faults.join("; ") : p.detail || `The server answered ${status || p.status} without a reason.`;
}
async function problem(answer) {
  let p = {};
  try { p = await answer.json(); } catch { /* not JSON: the status says it */ }
  if (answer.status === 401) { if ($("key-row").hidden) { $("key-row").hidden = false; $("key").focus(); } }
  return fault(p, answer.status);
}
/* An answer that is good; what the browser calls "Failed to fetch" is said in words. */
const away = (e, text) => e.name === "AbortError" ? e : Object.assign(new Error(text), { away: true });
async function ask(path, init) {
  const answer = await fetch(url(path), init).catch(e => { throw away(e, "The server does not answer. It may have stopped, or the network may be down."); });
  if (!answer.ok && answer.status !== 304) throw await problem(answer);
  return answer;
}
const whole = (answer, how) => answer[how]().catch(e => { throw away(e, BROKE); });
const BROKE = "The connection to the server broke off before the end.";
const json = async path => whole(await ask(path, { headers: headers() }), "json");
const post = (path, body, accept, signal) => ask(path, { method: "POST", body: JSON.stringify(body), signal,
  headers: headers(Object.assign({ "Content-Type": "application/json" }, accept && { Accept: accept })) });
function say(text, bad, where = "status") { $(where).textContent = text; $(where).className = bad ? "bad" : ""; }
/* An index may be larger than a number of JavaScript holds exactly: its digits are kept. */
const parse = text => JSON.parse(text.replace(/"(index|first_index)":([0-9]+)/g, '"$1":"$2"'));
async function listen(answer, handlers) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = "", last = "";;) {
    const { done, value } = await reader.read().catch(e => { throw away(e, BROKE); });
    if (done && !["done", "failed", "cancelled"].includes(last)) throw new Error(BROKE);
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = Object.fromEntries(text.slice(0, end).split("\n").map(l => [l.slice(0, l.indexOf(":")), l.slice(l.indexOf(":") + 2)]));
      if (fields.event) last = fields.event;
      if (handlers[fields.event]) handlers[fields.event](parse(fields.data));
    }
  }
}
