/* Health and load, asked for while the page is looked at. */
function value(text, name) {
  let sum = 0;
  for (const m of text.matchAll(new RegExp("^pfgmd_" + name + "(?:[{][^}]*[}])? ([0-9.e+-]+)$", "gm"))) sum += Number(m[1]);
  return sum;
}
/* The four figures that are shown, not all that there are. */
const FIGURES = "metrics?" + ["slots", "slots_busy", "queue_images", "images_total"].map(n => "name[]=pfgmd_" + n).join("&");
let looking = false, next = 0, ended = 0;
async function figures() {
  const answer = await ask(FIGURES).catch(e => { if (e.status !== 404) throw e; });
  counted = Boolean(answer); /* else they are for the admin socket only */
  $("metrics").hidden = !counted;
  if (!counted) return;
  const t = await whole(answer, "text");
  $("figures").textContent = `slots ${value(t, "slots_busy")} of ${value(t, "slots")}, waiting ${value(t, "queue_images")}, ` +
    `made ${value(t, 'images_total[{][^}]*outcome="ok"[^}]*[}]')}`;
}
/* Set only where it is another, as it is read out each time. */
function showState(text) { if ($("state").textContent !== text) $("state").textContent = text; }
async function watch() {
  clearTimeout(next);
  if (looking) return;
  looking = true;
  try {
    const ready = await fetch(url("readyz")).catch(e => { throw away(e, "out of reach"); });
    $("dot").className = "dot" + (ready.ok ? " ok" : "");
    showState(ready.ok ? "ready" : (await ready.json().catch(() => ({}))).code || "not ready");
    if (ready.ok && (!caps || !models[$("model").value])) { await learn(); chooseModel(); greet(); watchJobs(); }
    if (counted) await figures();
  } catch (e) {
    $("dot").className = "dot off";
    showState(e.away ? "out of reach" : $("key-row").hidden ? e.message : "needs a key");
  }
  looking = false;
  /* close to what runs here, and once after its end */
  next = setTimeout(watch, document.hidden ? 15000 : running || walking || Date.now() - ended < 1500 ? 700 : 4000);
}
