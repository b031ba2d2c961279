/* The field view: which of the two views is shown, its controls, what hands and keys do on the stage, and the frames. */
const isField = () => new URLSearchParams(location.hash.slice(1)).has("field");
const still = matchMedia("(prefers-reduced-motion: reduce)");
{
const { now, clamp } = scene;
const stage = $("field-stage"), canvas = $("field-canvas"), chart = $("field-chart");
const TOUR = { collapse: 8000, lift: 6000, fall: 9000 }; /* milliseconds from 0 to 1 */
const view = { shown: false, colours: null, frame: 0, dirty: true, playing: false, tracing: true, before: 0, time: 0, turn: { yaw: 0, tilt: 90 }, zoom: null, kept: 0, hash: "" };
const isSolid = () => now.step === "lift" || now.step === "fall";
const hasTour = () => scene.MOVING.includes(now.step);
const percent = (v, digits = 1) => (100 * v).toFixed(digits) + " %";

/* ---- colours and sizes ---- */
function readColours() {
  const style = getComputedStyle(document.documentElement), of = name => style.getPropertyValue(name).trim();
  view.colours = { paper: of("--stage"), ink: of("--ink"), soft: of("--soft"), line: of("--line"), accent: of("--accent"),
    masses: Array.from({ length: scene.MOST }, (_, i) => of("--mass-" + i)) };
}
/* The canvas's context for its size on the page, in pixels of the page. */
function penOf(its) {
  const { width: w, height: h } = its.getBoundingClientRect(), dense = Math.min(2, devicePixelRatio || 1), W = Math.round(w * dense), H = Math.round(h * dense);
  if (its.width !== W || its.height !== H) { its.width = W; its.height = H; }
  const g = its.getContext("2d");
  g.setTransform(dense, 0, 0, dense, 0, 0);
  g.globalAlpha = 1;
  g.fillStyle = view.colours.paper;
  g.fillRect(0, 0, w, h);
  return { g, w, h, colours: view.colours };
}

/* ---- frames: only while there is something to move and somebody to see it ---- */
function wake() { if (!view.frame && view.shown && !document.hidden) view.frame = requestAnimationFrame(tick); }
function touch() { view.dirty = true; wake(); }
function tick(time) {
  const passed = Math.min(100, time - view.before);
  view.frame = 0; view.before = time;
  let moving = turnCamera(passed);
  if (view.zoom !== null) { /* stepping back */
    now.zoom = now.zoom + (view.zoom - now.zoom) * Math.min(1, passed / 450);
    if (Math.abs(now.zoom - view.zoom) < 0.01) { now.zoom = view.zoom; view.zoom = null; }
    moving = true;
    showNumbers();
  }
  if (view.playing && hasTour()) {
    now.at = Math.min(1, now.at + passed / TOUR[now.step]);
    if (now.at === 1) { view.playing = false; save(); }
    moving = true;
    showNumbers();
  }
  if (now.step === "fall") {
    if (solid.work(12)) { moving = true; if (!solid.fall.doing) showShares(); } else if (solid.measure(10)) { moving = true; if (solid.curve.ready) { showShares(); paintChart(); } }
  }
  const sparks = sparkling();
  if (sparks) view.time += passed / 1000;
  if (view.dirty || moving || sparks) paintStage(sparks || view.time > 0 ? view.time : null);
  view.dirty = false;
  if (moving || sparks) wake();
}
const sparkling = () => view.tracing && !still.matches && (now.step === "masses" || now.step === "afar");
function turnCamera(passed) {
  const to = isSolid() ? now : { yaw: 0, tilt: 90 }, by = still.matches ? 1 : 1 - Math.exp(-passed / 400);
  let moves = false;
  for (const k of ["yaw", "tilt"]) {
    const left = to[k] - view.turn[k];
    if (left === 0) continue;
    view.turn[k] = Math.abs(left) < 0.05 ? to[k] : view.turn[k] + left * by;
    moves = true;
  }
  return moves;
}
function paintStage(time) {
  const pen = penOf(canvas);
  ({ masses: flat.paintMasses, afar: flat.paintAfar, shell: flat.paintShell, collapse: flat.paintCollapse, lift: solid.paintLift, fall: solid.paintFall })[now.step](pen, isSolid() ? view.turn : time);
  view.pen = pen;
  placeHandles(pen);
}
function paintChart() { if (now.step === "fall") solid.paintCurve(penOf(chart)); }

/* ---- handles: a button for each mass, and the probe ---- */
const handles = () => [...$("field-handles").children];
function newHandles() {
  const probe = now.step === "shell", names = probe ? ["Probe"] : now.step === "lift" || now.step === "afar" ? [] : now.masses.map((_, i) => `Mass ${i + 1}`);
  while (handles().length > names.length) $("field-handles").lastElementChild.remove();
  while (handles().length < names.length) {
    const button = document.createElement("button"), k = handles().length;
    button.type = "button";
    button.addEventListener("pointerdown", e => grab(e, k));
    button.addEventListener("keydown", e => nudge(e, k));
    button.addEventListener("focus", () => pick(k));
    button.addEventListener("wheel", e => { if (now.step !== "shell" && document.activeElement === button) { e.preventDefault(); weigh(k, now.masses[k].w * 1.1 ** -Math.sign(e.deltaY)); } }, { passive: false });
    $("field-handles").append(button);
  }
  nameHandles();
}
function nameHandles() {
  handles().forEach((b, k) => {
    const at = now.step === "shell" ? { x: now.px, y: now.py } : now.masses[k];
    b.setAttribute("aria-label", now.step === "shell" ? `Probe at ${at.x.toFixed(2)}, ${at.y.toFixed(2)}` : `Mass ${k + 1}, weight ${Number(at.w.toFixed(2))}, at ${at.x.toFixed(2)}, ${at.y.toFixed(2)}`);
    b.setAttribute("aria-describedby", "field-keys");
  });
}
const cameraOf = pen => isSolid() ? solid.cameraNow(pen, view.turn) : flat.viewOf(pen);
function placeHandles(pen) {
  const camera = cameraOf(pen);
  handles().forEach((b, k) => {
    const at = now.step === "shell" ? { x: now.px, y: now.py } : now.masses[k];
    if (!at) return;
    const [x, y] = camera.to(at.x, at.y), size = Math.max(28, now.step === "shell" ? 28 : 2 * flat.sizeOf(at.w));
    b.style.transform = `translate(${(x - size / 2).toFixed(1)}px, ${(y - size / 2).toFixed(1)}px)`;
    b.style.width = b.style.height = size + "px";
  });
}
function pick(k) {
  if (now.step === "shell") return;
  now.picked = k;
  showNumbers();
  touch();
}
function move(k, x, y) {
  x = clamp(x, -scene.EDGE, scene.EDGE); y = clamp(y, -scene.EDGE, scene.EDGE);
  if (now.step === "shell") Object.assign(now, { px: x, py: y });
  else Object.assign(now.masses[k], { x, y });
  changed();
}
function weigh(k, w) {
  now.masses[k].w = clamp(Number(w.toPrecision(3)), ...scene.WEIGHTS);
  changed();
}
function grab(event, k) {
  const button = event.currentTarget, box = stage.getBoundingClientRect(), camera = cameraOf(view.pen), at = now.step === "shell" ? { x: now.px, y: now.py } : now.masses[k];
  const [px, py] = camera.to(at.x, at.y), offX = event.clientX - box.left - px, offY = event.clientY - box.top - py;
  if (event.button !== 0) return;
  button.focus();
  button.setPointerCapture(event.pointerId);
  const drag = e => move(k, ...camera.from(e.clientX - stage.getBoundingClientRect().left - offX, e.clientY - stage.getBoundingClientRect().top - offY));
  const drop = () => { button.removeEventListener("pointermove", drag); nameHandles(); };
  button.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, drop, { once: true });
}
function nudge(event, k) {
  const by = event.shiftKey ? 0.01 : 0.08, to = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] }[event.key];
  const at = now.step === "shell" ? { x: now.px, y: now.py } : now.masses[k];
  if (to) move(k, at.x + to[0], at.y + to[1]);
  else if (now.step === "shell") return;
  else if (event.key === "+" || event.key === "=") weigh(k, at.w * 1.1);
  else if (event.key === "-") weigh(k, at.w / 1.1);
  else if (event.key === "Delete" || event.key === "Backspace") removeMass();
  else return;
  event.preventDefault();
  nameHandles();
}
function addMass(x, y) {
  if (now.masses.length >= scene.MOST) { say(`There is room for ${scene.MOST} masses.`, true, "field-said"); return; }
  now.masses.push(...scene.massesOf([[x, y, 1]]));
  now.picked = now.masses.length - 1;
  newHandles();
  changed();
  handles()[now.picked]?.focus();
}
function removeMass() {
  if (now.masses.length === 1) { say("One mass stays.", true, "field-said"); return; }
  now.masses.splice(now.picked, 1);
  now.picked = Math.min(now.picked, now.masses.length - 1);
  newHandles();
  changed();
  handles()[now.picked]?.focus();
}

/* ---- the camera by hand ---- */
function turnBy(yaw, tilt) {
  now.yaw = ((now.yaw + yaw + 540) % 360) - 180;
  now.tilt = clamp(now.tilt + tilt, ...scene.NUMBERS.tilt.slice(0, 2));
  view.turn = { yaw: now.yaw, tilt: now.tilt };
  save();
  touch();
}
canvas.addEventListener("pointerdown", event => {
  if (!isSolid() || event.button !== 0) return;
  let { clientX: x, clientY: y } = event;
  canvas.setPointerCapture(event.pointerId);
  const drag = e => { turnBy((x - e.clientX) * 0.35, e.pointerType === "touch" ? 0 : (e.clientY - y) * 0.25); x = e.clientX; y = e.clientY; };
  const drop = () => canvas.removeEventListener("pointermove", drag);
  canvas.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, drop, { once: true });
});
canvas.addEventListener("dblclick", event => {
  if (now.step !== "masses" && now.step !== "collapse") return;
  const box = stage.getBoundingClientRect();
  addMass(...flat.viewOf(view.pen).from(event.clientX - box.left, event.clientY - box.top));
});
canvas.addEventListener("keydown", event => {
  const by = { ArrowLeft: [6, 0], ArrowRight: [-6, 0], ArrowUp: [0, 4], ArrowDown: [0, -4] }[event.key];
  if (!isSolid() || !by) return;
  event.preventDefault();
  turnBy(...by);
});

/* ---- words and numbers ---- */
function showStep() {
  const k = scene.STEPS.findIndex(s => s.key === now.step), step = scene.STEPS[k], next = scene.stepAt(1), before = scene.stepAt(-1);
  $("field-title").textContent = step.title;
  $("field-words").replaceChildren(...step.words.map(text => element("p", { textContent: text })));
  for (const its of document.querySelectorAll("[data-steps]")) its.hidden = !its.dataset.steps.split(" ").includes(now.step);
  $("field-before").hidden = !before;
  $("field-next").textContent = next ? `${next.name} →` : "Sample images →";
  if (before) $("field-before").textContent = `← ${before.name}`;
  canvas.setAttribute("aria-label", `${step.title}: ` + { masses: "masses and their lines of force", afar: "lines of force from afar, with circles beyond which all is one mass", shell: "a ring of masses, arrows of their force, and a probe",
    collapse: "points that follow the field into discs of data", lift: "data on a floor, a half-sphere above it and its projection onto a plane; arrow keys turn the picture", fall: "points that fall along lines to the data; arrow keys turn the picture" }[now.step]);
  $("field-keys").textContent = now.step === "shell" ? "Arrow keys move it, with Shift in small steps." : "Arrow keys move it, plus and minus weigh it, Delete removes it.";
  for (const a of $("field-steps").querySelectorAll("a")) { if (a.dataset.step === now.step) { a.setAttribute("aria-current", "step"); a.scrollIntoView({ block: "nearest", inline: "nearest" }); } else a.removeAttribute("aria-current"); }
  newHandles();
}
/* The sliders as the scene has them, and what is to be read off. */
function showNumbers() {
  const set = (id, value, said) => { if (document.activeElement !== $(id) || view.playing || view.zoom !== null) $(id).value = value; $(id + "-said").textContent = said; $(id).setAttribute("aria-valuetext", said); };
  const { w } = now.masses[now.picked];
  $("field-place").value = scene.placed();
  $("field-weight-name").textContent = `Weight of mass ${now.picked + 1}`;
  set("field-weight", w, Number(w.toFixed(2)).toString());
  set("field-zoom", Math.log(now.zoom), `${now.zoom.toFixed(1)} ×`);
  set("field-shell", Math.log(now.shell), String(now.shell));
  set("field-spread", now.spread, now.spread > 0 ? now.spread.toFixed(2) : "points");
  set("field-T", Math.log(now.T), `${Number(now.T.toPrecision(2))} radii`);
  set("field-at", now.at, percent(now.at, 0));
  $("field-play").textContent = hasTour() ? view.playing ? "Pause" : now.at < 1 ? "Play" : "Play again" : view.tracing ? "Stop sparks" : "Show sparks";
  say(saidOf(), false, "field-said");
}
function saidOf() {
  const c = poisson.centre(scene.sources());
  if (now.step === "afar") {
    const [ten, one] = [0.1, 0.01].map(flat.farOf);
    return one > 0 ? `The farthest mass is ${c.reach.toFixed(1)} from the centre, the inner circle ${ten.toFixed(1)}, the outer circle ${one.toFixed(1)}.` : "There is one mass only.";
  }
  if (now.step === "shell") { const f = flat.probed(); return `Force at the probe: ${f < 1e-4 ? "none (less than 0.01 %)" : percent(f, f < 0.01 ? 2 : 0)} of that just outside the shell.`; }
  if (now.step === "collapse" && now.at === 1) { const o = flat.outcome(); return `300 points ended on ${o.spots.length} spot${o.spots.length === 1 ? "" : "s"}. They reached ${o.reached} of ${o.data} data.`; }
  return "";
}
function showShares() {
  const { counts, reached, data, all } = solid.shares(), w = now.masses.map(m => m.w), whole = w.reduce((a, b) => a + b, 0);
  $("field-shares").replaceChildren(...now.masses.map((m, i) => {
    const bar = (value, name) => { const b = element("i", { className: name }); b.style.width = (100 * Math.min(1, value / most)).toFixed(1) + "%"; return b; };
    const most = 1.15 * Math.max(...w.map(v => v / whole), ...counts.map(v => v / all)), mark = element("b", { textContent: String(i + 1) }), bars = element("span", {}, bar(m.w / whole, "owed"), bar(counts[i] / all, "got"));
    mark.style.background = bars.lastElementChild.style.background = `var(--mass-${i})`;
    return element("li", {}, mark, bars, element("small", { textContent: `${percent(m.w / whole)} · ${percent(counts[i] / all)}` }));
  }));
  const chance = Math.max(...w.map(v => Math.sqrt(v / whole * (1 - v / whole) / all)));
  $("field-drawn").textContent = `${all} points reached ${reached} of ${data} data. Chance alone moves a share by ${percent(chance)} or so.`;
  $("field-error").textContent = "The error of the shares is being worked out …";
  if (solid.curve.ready) {
    const e = solid.errorAt(solid.curve.largest, now.T);
    $("field-error").textContent = `Largest error of a share at T = ${Number(now.T.toPrecision(2))} radii: ${e < 5e-5 ? "below 0.01 %" : percent(e, e < 0.001 ? 3 : 2)}`;
    chart.setAttribute("aria-label", `Largest error of a share over T in radii: ${[1, 2, 5, 10, 40].map(T => `${percent(solid.errorAt(solid.curve.largest, T), 2)} at ${T}`).join(", ")}`);
  }
}
/* The scene has changed: lines are drawn anew, and the address follows. */
function changed() {
  showNumbers();
  save();
  touch();
}
let mainHash = ""; /* the main view's address, as it was left or as a run has set it since */
window.setMainHash = hash => {
  mainHash = hash;
  $("to-sample").href = hash || "#";
  link();
};
/* Browsers take only so many changes of the address in a row. */
function save() {
  clearTimeout(view.kept);
  view.kept = setTimeout(keep, 250);
}
/* Unless it leads elsewhere by now. */
function keep() {
  if (!view.shown || location.hash !== view.hash) return;
  history.replaceState(null, "", scene.address());
  view.hash = location.hash;
  link();
}
function link() {
  for (const a of $("field-steps").querySelectorAll("a")) a.href = scene.address(a.dataset.step);
  for (const [id, by] of [["field-next", 1], ["field-before", -1]]) { const s = scene.stepAt(by); if (s) $(id).href = scene.address(s.key); }
  if (!scene.stepAt(1)) $("field-next").href = mainHash || "#";
  $("to-field").href = scene.address();
}

/* ---- which view ---- */
/* Shows what the address names. Returns "field" if that is this view, "back" if it is the main view as it was left, else "other". */
window.showView = event => {
  const shown = isField(), came = shown && !view.shown, back = view.shown && location.hash === mainHash;
  if (came && event) mainHash = new URL(event.oldURL).hash;
  view.shown = shown; view.hash = location.hash;
  $("form").hidden = $("stage").hidden = shown; $("field").hidden = !shown;
  $("to-sample").href = mainHash || "#";
  $(shown ? "to-field" : "to-sample").setAttribute("aria-current", "page"); $(shown ? "to-sample" : "to-field").removeAttribute("aria-current");
  document.title = shown ? "The field · pfgmd" : "pfgmd";
  if (!shown) return back ? "back" : "other";
  const solidBefore = isSolid() && !came, told = scene.read(location.hash);
  view.playing = hasTour() && !told && !still.matches;
  now.at = told || still.matches ? now.at : hasTour() ? 0 : 1;
  if (now.step === "afar" && !new URLSearchParams(location.hash.slice(1)).has("zoom") && !still.matches) { now.zoom = 1; view.zoom = scene.NUMBERS.zoom[2]; } else view.zoom = null;
  if (isSolid() && (told || (now.step === "fall" && !solidBefore))) view.turn = { yaw: now.yaw, tilt: now.tilt };
  if (!isSolid()) view.turn = { yaw: 0, tilt: 90 };
  readColours();
  showStep();
  link();
  showNumbers();
  paintChart();
  if (now.step === "fall" && solid.fall.lines.length) showShares();
  touch();
  return "field";
};

/* ---- controls ---- */
$("field-steps").replaceChildren(...scene.STEPS.map(s => {
  const a = element("a", { textContent: s.name });
  a.dataset.step = s.key;
  return element("li", {}, a);
}));
const slide = (id, take) => $(id).addEventListener("input", () => { take(Number($(id).value)); changed(); });
slide("field-weight", v => { now.masses[now.picked].w = v; nameHandles(); });
slide("field-zoom", v => { view.zoom = null; now.zoom = Math.exp(v); });
slide("field-shell", v => { now.shell = Math.round(Math.exp(v)); });
slide("field-spread", v => { now.spread = v; });
slide("field-T", v => { now.T = clamp(Math.exp(v), 0.5, 40); if (solid.curve.ready) showShares(); paintChart(); });
slide("field-at", v => { view.playing = false; now.at = v; });
$("field-place").addEventListener("change", () => {
  now.masses = scene.massesOf(scene.PLACES[$("field-place").value]); now.picked = 0;
  newHandles();
  again();
});
$("field-add").addEventListener("click", () => { const angle = now.masses.length * 2.4; addMass(1.6 * Math.cos(angle), 1.6 * Math.sin(angle)); });
$("field-remove").addEventListener("click", removeMass);
/* From the start, where motion is welcome. */
function again() {
  if (hasTour() && !still.matches) { now.at = 0; view.playing = true; }
  changed();
}
$("field-play").addEventListener("click", () => {
  if (!hasTour()) view.tracing = !view.tracing;
  else if (view.playing) view.playing = false;
  else { if (now.at === 1) now.at = 0; view.playing = true; }
  changed();
});
$("field-draw").addEventListener("click", () => { now.seed = Number(drawSeed()); again(); });
$("field-copy").addEventListener("click", async () => {
  keep();
  if (!await copy(new URL(scene.address(), location.href).href, "The link is copied. It shows this picture.", "field-said"))
    say("This browser lets no page copy: the address of this page is the link.", false, "field-said");
});
$("field-save").addEventListener("click", () => {
  const a = element("a", { href: canvas.toDataURL("image/png"), download: `field-${now.step}.png` });
  a.click();
});
for (const id of ["field-next", "field-before"]) $(id).addEventListener("click", () => $("field-title").focus({ preventScroll: true }));
document.addEventListener("visibilitychange", wake);
new ResizeObserver(() => { if (view.shown) { touch(); paintChart(); } }).observe(stage);
new MutationObserver(() => { if (view.shown) { readColours(); touch(); paintChart(); } }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
still.addEventListener("change", touch);
}
