/* The tiles of the gallery. */
const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
function tile(caption) {
  const li = document.createElement("li"), button = document.createElement("button");
  const img = document.createElement("img"), small = document.createElement("small");
  button.type = "button"; button.disabled = true;
  img.alt = ""; small.textContent = caption;
  img.src = BLANK;
  button.append(img, small); li.append(button);
  return { li, button, img, small, states: [], seen: 0, every: 1 };
}
/* What the page holds is bounded. Of many states on the path to an image every second is kept, then every fourth, and so on. Of the
   earlier images those of the last run keep theirs, and RECENT of those before. */
const STATES = 64, RECENT = 32, EARLIER = 200;
let past = [], recent = 0; /* the earlier images, and how many of them are of the last run */
function addState(t, b64) {
  if (t.seen++ % t.every === 0) t.states.push(b64);
  if (t.states.length <= STATES) return;
  t.states = t.states.filter((_, i) => i % 2 === 0);
  t.every *= 2;
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
/* The last run of the earlier ones keeps its states on the path, and so do some of those before it. */
function forgetStates() {
  for (const t of past.slice(recent + RECENT)) t.states = [];
}
/* The stage is cleared for the next run: its images go to the earlier ones. Returns how to take that back. */
function keep() {
  if (!run) return null;
  const last = run, controls = ["copy", "take"].map(id => [$(id), $(id).hidden]), columns = $("now").style.gridTemplateColumns;
  const done = run.parts.flatMap(p => p.tiles).filter(t => !t.button.disabled);
  recent = done.length;
  past = [...done, ...past];
  for (const t of past.splice(EARLIER)) t.li.remove();
  $("past").prepend(...past.slice(0, done.length).map(t => t.li));
  $("past-empty").hidden = $("past").children.length > 0;
  $("now").replaceChildren();
  run = null;
  return () => {
    run = last;
    past = past.filter(t => !done.includes(t));
    $("now").replaceChildren(...done.map(t => t.li));
    $("now").style.gridTemplateColumns = columns;
    $("past-empty").hidden = $("past").children.length > 0;
    $("now-empty").hidden = $("now").children.length > 0;
    for (const [control, hidden] of controls) control.hidden = hidden;
  };
}
