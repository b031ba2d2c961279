/* The tiles of the gallery and the viewer of one image. */
const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
function tile(caption) {
  const li = document.createElement("li"), button = document.createElement("button");
  const img = document.createElement("img"), small = document.createElement("small");
  button.type = "button"; button.disabled = true;
  img.alt = ""; small.textContent = caption;
  img.src = BLANK;
  button.append(img, small); li.append(button);
  return { li, button, img, small };
}
function fill(t, image, facts) {
  t.img.src = "data:image/png;base64," + image.b64;
  const label = facts.labels && image.class != null ? facts.labels[image.class] : null;
  t.img.alt = (label ? label + ", " : "") + "seed " + facts.seed + ", index " + image.index;
  t.small.textContent = label || "#" + image.index;
  t.button.title = t.img.alt;
  showOnChip(image);
  t.button.disabled = false;
  t.button.addEventListener("click", () => enlarge(image, facts, label));
}
/* The name, value pairs under the picture; what is null is left out. */
function showFacts(rows) {
  $("big-facts").replaceChildren(...Object.entries(rows).filter(r => r[1] != null).flatMap(([k, v]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = k; dd.textContent = v; return [dt, dd];
  }));
}
function enlarge(image, made, label) {
  const rows = { Model: made.model, Seed: made.seed, Index: String(image.index), Class: label,
    Solver: made.solver, Evaluations: image.nfe, "SHA-256": image.sha256 };
  shown = { image, facts: made, rows };
  $("big-image").src = "data:image/png;base64," + image.b64;
  $("big-image").alt = "seed " + made.seed + ", index " + image.index;
  $("big-link").href = $("big-image").src;
  $("big-link").download = `pfgm-${made.seed}-${image.index}.png`;
  $("big-again").disabled = false;
  showFacts(rows);
  $("big").showModal();
  $("big").scrollTop = 0;
}
/* The image once more from its seed and index, which is work for the server: only where it is asked for. */
async function sampleAgain() {
  const { image, facts: made, rows } = shown, mine = shown;
  const body = Object.assign({}, made.body, { n: 1, seed: made.seed, first_index: String(image.index) });
  delete body.preview_every;
  if (image.class != null) body.class = image.class;
  rows.Again = "asking the server …";
  $("big-again").disabled = true;
  showFacts(rows);
  try {
    const again = (await whole(await post("v1/images", body, "application/json"), "json")).images[0];
    rows.Again = again.sha256 === image.sha256 ? "the same bytes, made anew" : "other bytes: the model or kernel has changed";
  } catch (e) { rows.Again = e.message; }
  if (shown !== mine) return; /* another one is open by now */
  $("big-again").disabled = false;
  showFacts(rows);
}
function keep() {
  if (!run) return;
  const done = run.parts.flatMap(p => p.tiles).filter(t => !t.button.disabled);
  $("past").prepend(...done.map(t => t.li));
  while ($("past").children.length > 200) $("past").lastElementChild.remove();
  $("past-empty").hidden = $("past").children.length > 0;
  $("now").replaceChildren();
  run = null;
}
