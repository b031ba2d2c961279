/* The form, drawn from what the server says of itself, and the request that it stands for. */
function options(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
}
async function learn() {
  const first = !caps;
  [caps, models] = [await json("v1/capabilities"),
    Object.fromEntries((await json("v1/models")).data.map(m => [m.name, m]))];
  if (!first) return;
  options($("model"), caps.models.map(m => [m, m]));
  options($("method"), [["", "the model's own"], ...caps.solvers.map(s => [s.method, s.method])]);
  options($("format"), caps.formats.filter(f => !["json", "events", "png"].includes(f.format)).map(f => [f.format, f.format]));
  $("n").max = $("frames").max = caps.limits.n;
  $("frames").value = Math.min($("frames").value, caps.limits.n);
  $("job_n").max = caps.limits.job_images || 1;
  restoreSettings();
}
function chooseModel() {
  const m = models[$("model").value] || {}, labels = m.labels || [];
  const classes = labels.length ? [["", "any class"], ...labels.map((l, i) => [String(i), l]), ["none", "no class"]] : [["", "any class"]];
  options($("class"), classes);
  /* A chip each where the eye can still take them in, else a list. */
  const chips = labels.length > 0 && labels.length <= CHIPS;
  $("class-row").hidden = chips || labels.length === 0;
  $("chips").hidden = !chips;
  $("each").hidden = labels.length < 2 || labels.length > caps.limits.n || isVector(m);
  $("chips").replaceChildren(...(chips ? classes.map(c => chip(...c)) : []));
  $("plane-box").hidden = !isPlane(m);
  for (const label of $("form").querySelectorAll("[data-guided]")) {
    label.hidden = !m.null_class;
    label.querySelector("input").disabled = label.hidden;
  }
  for (const id of ["now-box", "past-box", "way-box", "edit-box", "preview-row", "file-row"]) $(id).hidden = Boolean(isVector(m));
  if (isPlane(m)) $("n").value = Math.min(PATHS, caps.limits.n);
  const s = m.shape, d = m.default_solver;
  $("about").textContent = m.state === "ready"
    ? `${m.name}: ${isVector(m) ? s.width + " numbers" : s.width + " × " + s.height + (s.channels > 1 ? ", colour" : "")}, ` +
      `${m.family}, ${d.method}${d.steps ? " in " + d.steps + " steps" : ""}, ${m.kernel}`
    : "Images from a Poisson flow";
  chooseMethod();
}
const CHIPS = 32;
function chip(value, text) {
  const button = document.createElement("button");
  button.type = "button"; button.textContent = text; button.dataset.class = value;
  button.setAttribute("aria-pressed", String(value === $("class").value));
  if (value !== "" && value !== "none") button.prepend(Object.assign(document.createElement("img"), { src: BLANK, alt: "" }));
  return button;
}
function chooseClass(value) {
  $("class").value = value;
  for (const b of $("chips").children) b.setAttribute("aria-pressed", String(b.dataset.class === value));
}
/* The newest image of a class stands on its chip. */
function showOnChip(image) {
  const face = image.class != null && $("chips").querySelector(`[data-class="${image.class}"] img`);
  if (face) face.src = "data:image/png;base64," + image.b64;
}
const isVector = m => m.shape && m.shape.channels === 1 && m.shape.height === 1;
const isPlane = m => isVector(m) && m.shape.width === 2;
/* What the method takes, or the model's own where none is chosen. What is hidden is disabled too: it is neither sent nor in the way of the form. */
function chooseMethod() {
  const own = (models[$("model").value] || {}).default_solver || {};
  const method = $("method").value, solver = caps && caps.solvers.find(s => s.method === (method || own.method));
  for (const label of document.querySelectorAll("[data-of]"))
    label.hidden = solver ? !solver.parameters.includes(label.dataset.of) : false;
  for (const label of $("form").querySelectorAll("[data-of]")) label.querySelector("input, select").disabled = label.hidden;
  const tuned = ((models[$("model").value] || {}).tuned || []).filter(w => !method || w.method === method);
  const kept = $("schedule").value, schedules = ((caps || {}).schedules || []).filter(s => s !== "tuned" || tuned.length);
  options($("schedule"), [["", "default"], ...schedules.map(s =>
    [s, s === "tuned" ? `tuned, ${tuned.map(w => w.steps).join(" or ")} steps` : s])]);
  $("schedule").value = schedules.includes(kept) ? kept : "";
}
/* A field that is wrong is shown, also where it lies folded away: the browser names no other reason why nothing happens. */
function showFault({ target: field }, first = field.form.querySelector(":invalid")) {
  const fold = field.closest("details");
  if (fold) fold.open = true;
  const where = { form: "status", "way-form": "way-status", "jobs-form": "jobs-status", "edit-form": "edit-status" }[field.form.id];
  if (field === first)
    say(field.closest("label").firstChild.textContent.trim() + ": " + field.validationMessage, true, where);
}
/* Numbers of 64 bits, before the form is sent: of a pattern, a browser would say only that it is not met. */
const LARGEST = 2n ** 64n - 1n;
function checkDigits(form) {
  for (const field of form.querySelectorAll("[inputmode=numeric]")) {
    const v = field.value.trim(), whole = /^[0-9]*$/.test(v) && BigInt(v) <= LARGEST;
    field.setCustomValidity(whole ? "" : `must be a whole number from 0 to ${LARGEST}`);
  }
}
/* A control that is disabled, hidden or removed loses the focus. Returns what gives it to another one, if it was somewhere now and is lost. */
function holdFocus() {
  const before = document.activeElement, kinds = ["pointerdown", "keydown"];
  let left = false, over = false; /* whoever goes elsewhere meanwhile is not fetched back */
  const leave = e => { left ||= e.type === "pointerdown" || e.target === document.body; };
  setTimeout(() => { for (const kind of over ? [] : kinds) addEventListener(kind, leave, true); }); /* not for what it begins with */
  return next => {
    const at = document.activeElement;
    over = true;
    for (const kind of kinds) removeEventListener(kind, leave, true);
    if (next && (at === document.body ? before !== at && !left : at.disabled || at.closest("[hidden]"))) next.focus({ preventScroll: true });
  };
}
/* Whether the form can be sent, apart from the fields that a request does not take; else the first fault is shown. A browser asks
   this for the form's own button only. */
function isSound(...without) {
  checkDigits($("form"));
  const wrong = [...$("form").elements].find(f => f.willValidate && !f.validity.valid && !without.includes(f.id));
  if (!wrong) return true;
  showFault({ target: wrong }, wrong);
  wrong.reportValidity();
  return false;
}
const SAMPLES_ONLY = ["n", "seed", "first_index", "temperature", "preview_every"]; /* what an edit and a path do not take */
function number(id, out, key) { const v = $(id).value.trim(); if (v !== "" && !$(id).closest("label").hidden) out[key || id] = Number(v); }
/* Short enough to be read out, and exact as a number of any language. */
const drawSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0] % 1e9);
function order() {
  const body = { model: $("model").value, n: Number($("n").value), solver: {} };
  body.seed = $("seed").value.trim() || drawSeed();
  if ($("first_index").value.trim()) body.first_index = $("first_index").value.trim();
  const picked = $("class").value;
  if (picked !== "") body.class = picked === "none" ? null : Number(picked);
  if ($("method").value) body.solver.method = $("method").value;
  if ($("schedule").value && !$("schedule").closest("label").hidden) body.solver.schedule = $("schedule").value;
  for (const id of ["steps", "rtol", "atol", "t_max", "t_min", "max_nfe", "churn", "churn_noise", "churn_t_max", "churn_t_min",
    "guidance", "guidance_t_max", "guidance_t_min"]) number(id, body.solver);
  number("temperature", body);
  number("preview_every", body);
  if (Object.keys(body.solver).length === 0) delete body.solver;
  return body;
}
