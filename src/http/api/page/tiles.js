/* The tiles of the gallery. */
const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
function tile(caption) {
  const li = document.createElement("li"), button = document.createElement("button");
  const img = document.createElement("img"), small = document.createElement("small");
  button.type = "button"; button.disabled = true;
  img.alt = ""; small.textContent = caption;
  img.src = BLANK;
  button.append(img, small); li.append(button);
  return { li, button, img, small, states: [] };
}
function fill(t, image, facts) {
  t.img.src = "data:image/png;base64," + image.b64;
  const label = facts.labels && image.class != null ? facts.labels[image.class] : null;
  t.img.alt = (label ? label + ", " : "") + "seed " + facts.seed + ", index " + image.index;
  t.small.textContent = label || "#" + image.index;
  t.button.title = t.img.alt;
  if (facts.model === $("model").value) showOnChip(image); /* the chips are those of the model that is chosen by now */
  t.button.disabled = false;
  t.button.addEventListener("click", () => enlarge(image, facts, label, t));
}
/* The stage is cleared for the next run: its images go to the earlier ones. Returns how to take that back. */
function keep() {
  if (!run) return null;
  const last = run, controls = ["copy", "take"].map(id => [$(id), $(id).hidden]), columns = $("now").style.gridTemplateColumns;
  const done = run.parts.flatMap(p => p.tiles).filter(t => !t.button.disabled);
  $("past").prepend(...done.map(t => t.li));
  while ($("past").children.length > 200) $("past").lastElementChild.remove();
  $("past-empty").hidden = $("past").children.length > 0;
  $("now").replaceChildren();
  run = null;
  return () => {
    run = last;
    $("now").replaceChildren(...done.map(t => t.li));
    $("now").style.gridTemplateColumns = columns;
    $("past-empty").hidden = $("past").children.length > 0;
    $("now-empty").hidden = $("now").children.length > 0;
    for (const [control, hidden] of controls) control.hidden = hidden;
  };
}
