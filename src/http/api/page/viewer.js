/* The viewer of one image. Looking asks the server nothing: what samples is a control that says so. */
/* The name, value pairs under the picture; what is null is left out. */
function showFacts(rows) {
  $("big-facts").replaceChildren(...Object.entries(rows).filter(r => r[1] != null).flatMap(([k, v]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = k; dd.textContent = v; return [dt, dd];
  }));
}
function enlarge(image, made, label, from = null) {
  const rows = { Model: made.model, Seed: made.seed, Index: String(image.index), Class: label,
    Solver: made.solver, Evaluations: image.nfe, "SHA-256": image.sha256 };
  shown = { image, facts: made, rows, from };
  const all = gallery(), k = from ? all.indexOf(from.button) : -1;
  $("big-title").textContent = (label || "Image " + image.index) + (k >= 0 ? `, ${k + 1} of ${all.length}` : "");
  /* not disabled, or they would lose the focus at the ends, and the arrow keys with it */
  $("big-before").setAttribute("aria-disabled", k <= 0); $("big-after").setAttribute("aria-disabled", k < 0 || k + 1 >= all.length);
  const states = from ? from.states : [];
  $("state-row").hidden = states.length === 0;
  $("moment").max = states.length; $("moment").value = states.length;
  $("nfe-row").hidden = $("big-use").hidden = $("big-again").hidden = made.file !== undefined; /* it has no seed */
  if (image.nfe) $("nfe").value = image.nfe;
  $("nfe-said").textContent = $("nfe").value;
  $("big-image").src = "data:image/png;base64," + image.b64;
  $("big-image").alt = made.file ?? "seed " + made.seed + ", index " + image.index;
  $("big-link").href = $("big-image").src;
  $("big-link").download = made.file ?? `pfgm-${made.seed}-${image.index}.png`;
  $("big-again").setAttribute("aria-disabled", false);
  showFacts(rows);
  if (!$("big").open) $("big").showModal();
  $("big-more").scrollTop = 0;
}
/* What can be opened, in the order in which it stands on the page. */
const gallery = () => [...document.querySelectorAll("#now button:enabled, #past button:enabled")];
function step(by) {
  const all = gallery(), next = shown && shown.from && all[all.indexOf(shown.from.button) + by];
  if (next) next.click();
}
/* The states that the run has sent on the path to this image; the last is the image. */
function scrub() {
  const k = Number($("moment").value), states = shown.from.states;
  const b64 = k < states.length ? states[k] : shown.image.b64;
  $("big-image").src = "data:image/png;base64," + b64;
  $("moment").setAttribute("aria-valuetext", k < states.length ? `state ${k + 1} of ${states.length}` : "the image");
}
/* The request of one image of the gallery alone. */
function orderOf({ image, facts: made }) {
  const { preview_every: _, ...body } = made.body;
  return { ...body, n: 1, seed: made.seed, first_index: String(image.index), ...(image.class != null && { class: image.class }) };
}
/* The same seed with so many steps by the method that needs the fewest evaluations: one per step, two where it is guided. */
let comparing = null;
async function compare() {
  const k = Number($("nfe").value), mine = shown;
  if (comparing) comparing.abort();
  const its = comparing = new AbortController();
  $("nfe-said").textContent = `${k}: asking the server …`;
  try {
    const order = orderOf(mine), kept = Object.entries(order.solver || {}).filter(([field]) => field.startsWith("guidance"));
    const body = { ...order, solver: { ...Object.fromEntries(kept), method: "multistep3", steps: k } };
    const answer = await whole(await post("v1/images", body, "application/json", its.signal), "json");
    if (shown !== mine || its !== comparing) return;
    $("big-image").src = "data:image/png;base64," + answer.images[0].b64;
    const nfe = answer.images[0].nfe;
    $("nfe-said").textContent = `${nfe} evaluation${nfe === 1 ? "" : "s"} by multistep3`;
  } catch (e) { if (e.name !== "AbortError" && shown === mine) $("nfe-said").textContent = e.message; }
}
function useSettings() {
  readLink(linkOf(orderOf(shown), false));
  keepSettings();
  $("big").close();
  $("go").focus();
}
/* The image once more from its seed and index, which is work for the server: only where it is asked for. */
async function sampleAgain() {
  if ($("big-again").getAttribute("aria-disabled") === "true") return;
  const { image, rows } = shown, mine = shown, body = orderOf(shown);
  rows.Again = "asking the server …";
  $("big-again").setAttribute("aria-disabled", true);
  showFacts(rows);
  try {
    const again = (await whole(await post("v1/images", body, "application/json"), "json")).images[0];
    rows.Again = again.sha256 === image.sha256 ? "the same bytes, made anew" : "other bytes: the model or kernel has changed";
  } catch (e) { rows.Again = e.message; }
  if (shown !== mine) return; /* another one is open by now */
  $("big-again").setAttribute("aria-disabled", false);
  showFacts(rows);
}
