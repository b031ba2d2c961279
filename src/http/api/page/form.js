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
  chooseModel();
}
function chooseModel() {
  const m = models[$("model").value] || {}, labels = m.labels || [];
  options($("class"), [["", "drawn"], ...labels.map((l, i) => [String(i), l]), ["none", "none: all data"]]);
  $("class-row").hidden = labels.length === 0;
  $("plane-box").hidden = !isPlane(m);
  for (const id of ["now-box", "past-box", "way-box", "preview-row"]) $(id).hidden = Boolean(isVector(m));
  if (isPlane(m)) $("n").value = Math.min(PATHS, caps.limits.n);
  const s = m.shape, d = m.default_solver;
  $("about").textContent = m.state === "ready"
    ? `${m.name}: ${isVector(m) ? s.width + " numbers" : s.width + " × " + s.height + (s.channels > 1 ? ", colour" : "")}, ` +
      `${m.family}, ${d.method}${d.steps ? " in " + d.steps + " steps" : ""}, ${m.kernel}`
    : "Images from a Poisson flow";
  chooseMethod();
}
const isVector = m => m.shape && m.shape.channels === 1 && m.shape.height === 1;
const isPlane = m => isVector(m) && m.shape.width === 2;
/* What the method takes. What is hidden is disabled too: it is neither sent nor in the way of the form. */
function chooseMethod() {
  const method = $("method").value, solver = caps && caps.solvers.find(s => s.method === method);
  for (const label of document.querySelectorAll("[data-of]"))
    label.hidden = solver ? !solver.parameters.includes(label.dataset.of) : false;
  for (const label of $("form").querySelectorAll("label")) label.querySelector("input, select").disabled = label.hidden;
  const tuned = ((models[$("model").value] || {}).tuned || []).filter(w => !method || w.method === method);
  const kept = $("schedule").value, schedules = ((caps || {}).schedules || []).filter(s => s !== "tuned" || tuned.length);
  options($("schedule"), [["", "default"], ...schedules.map(s =>
    [s, s === "tuned" ? `tuned, ${tuned.map(w => w.steps).join(" or ")} steps` : s])]);
  $("schedule").value = schedules.includes(kept) ? kept : "";
}
/* A field that is wrong is shown, also where it lies folded away: the browser names no other reason why nothing happens. */
function showFault(event) {
  const field = event.target, fold = field.closest("details");
  if (fold) fold.open = true;
  const where = field.form.id === "form" ? "status" : "way-status";
  if (field === field.form.querySelector(":invalid"))
    say(field.closest("label").firstChild.textContent.trim() + ": " + field.validationMessage, true, where);
}
function number(id, out, key) { const v = $(id).value.trim(); if (v !== "" && !$(id).closest("label").hidden) out[key || id] = Number(v); }
function order() {
  const body = { model: $("model").value, n: Number($("n").value), solver: {} };
  for (const id of ["seed", "first_index"]) if ($(id).value.trim()) body[id] = $(id).value.trim();
  const picked = $("class").value;
  if (!$("class-row").hidden && picked !== "") body.class = picked === "none" ? null : Number(picked);
  if ($("method").value) body.solver.method = $("method").value;
  if ($("schedule").value && !$("schedule").closest("label").hidden) body.solver.schedule = $("schedule").value;
  for (const id of ["steps", "rtol", "atol", "t_max", "t_min", "max_nfe", "churn", "churn_noise", "churn_t_max", "churn_t_min"]) number(id, body.solver);
  number("temperature", body);
  number("preview_every", body);
  if (Object.keys(body.solver).length === 0) delete body.solver;
  return body;
}
