/* A run: images as the events bring them, and the same images once more as a file. */
const handlers = {
  queued(d, part) {
    part.facts.seed = d.seed; part.facts.model = d.model.name;
    if (models[d.model.name]) models[d.model.name].sha256 = d.model.sha256; /* a reload may have brought another file */
    const s = d.parameters.solver;
    part.facts.solver = s.method + (s.steps ? ", " + s.steps + " steps, " + s.schedule : ", rtol " + s.rtol);
    say("waiting");
  },
  started() { say("sampling"); watch(); },
  progress(d, part) {
    part.fraction = d.fraction; part.made = d.images_done;
    const total = what => run.parts.reduce((sum, p) => sum + p[what], 0);
    $("progress").value = total("fraction") / run.parts.length;
    say(`${total("made")} of ${total("n")} images` + (run.parts.length === 1 && d.eta_s > 1 ? `, ${Math.ceil(d.eta_s)} s left` : ""));
  },
  preview(d, part) {
    const t = at(d, part);
    if (t.button.disabled) t.img.src = "data:image/png;base64," + d.b64;
    addState(t, d.b64);
  },
  image(d, part) { fill(at(d, part), d, part.facts); },
  done(d, part) { part.whole = true; },
  failed(d) { throw fault(d); },
  cancelled() { throw new DOMException("", "AbortError"); },
};
const at = (d, part) => part.tiles[Number(BigInt(d.index) - part.first)];
/* One request of a run and its tiles, which are there at once. */
function newPart(body) {
  const labels = (models[body.model] || {}).labels, first = BigInt(body.first_index || 0);
  const caption = i => labels && body.class != null ? labels[body.class] : labels ? "…" : "#" + (first + BigInt(i));
  return { n: body.n, first, fraction: 0, made: 0, whole: false, facts: { body, labels, seed: body.seed, model: body.model },
    tiles: Array.from({ length: body.n }, (_, i) => tile(caption(i))) };
}
/* A browser has six connections to a server: one is left for the state of the server. */
const LANES = 5;
async function listenToAll(parts) {
  const left = [...parts];
  const lane = async () => {
    for (let part; (part = left.shift());) {
      const its = Object.fromEntries(Object.keys(handlers).map(k => [k, d => handlers[k](d, part)]));
      await listen(await post("v1/images", part.facts.body, "text/event-stream", running.signal), its);
    }
  };
  await Promise.all(Array.from({ length: Math.min(LANES, parts.length) }, lane));
}
let ending = null; /* settles when the run has ended */
/* Runs these requests as one. The row that greets gives way to whatever is asked for. */
async function start(bodies, { columns = 0, greeting = false, each = columns > 0 } = {}) {
  if (running) {
    if (!run.greeting) return;
    running.abort();
    await ending;
  }
  await (ending = follow(bodies, columns, greeting, each));
}
async function follow(bodies, columns, greeting, each) {
  const vector = isVector(models[bodies[0].model] || {}), begun = performance.now(), parts = vector ? [] : bodies.map(newPart);
  const hold = holdFocus(), takeBack = keep();
  let wrong = {};
  running = new AbortController();
  run = { greeting, parts };
  run.facts = vector ? { body: bodies[0], seed: "", model: bodies[0].model } : run.parts[0].facts;
  $("now").style.gridTemplateColumns = columns ? `repeat(${columns}, minmax(0, 11rem))` : "";
  $("now").replaceChildren(...run.parts.flatMap(p => p.tiles.map(t => t.li)));
  $("now-empty").hidden = $("take").hidden = $("copy").hidden = true; $("progress").value = 0; $("go").disabled = $("each").disabled = !greeting; $("cancel").disabled = false;
  say("asking");
  try {
    if (vector) await scatter(bodies[0], models[bodies[0].model]);
    else {
      await listenToAll(run.parts);
      const n = run.parts.reduce((sum, p) => sum + p.n, 0);
      $("progress").value = 1;
      say(`${n} image${n === 1 ? "" : "s"} in ${((performance.now() - begun) / 1000).toFixed(2)} s, seed ${run.facts.seed}`);
    }
  } catch (e) {
    running.abort(); /* the others of this run */
    say(e.name === "AbortError" ? "cancelled" : e.message, e.name !== "AbortError");
    if (!greeting) wrong = e;
  }
  const tiles = run.parts.flatMap(p => p.tiles), empty = t => t.button.disabled, failed = wrong.message !== undefined && tiles.every(empty);
  for (const t of tiles.filter(empty)) t.li.remove();
  $("now-empty").hidden = $("now").children.length > 0;
  const made = !greeting && !tiles.every(empty);
  if (made) run.link = remember(bodies[0], each);
  $("copy").hidden = !made;
  $("take").hidden = run.parts.length > 1 || !run.facts.seed || $("progress").value < 1;
  if (failed && takeBack) takeBack(); /* a mistake costs nobody the images that stood there */
  else if (made) forgetStates();
  running = null; $("go").disabled = $("each").disabled = false; $("cancel").disabled = true;
  hold($("go"));
  showField(wrong);
  ended = Date.now(); watch();
}
function sample(event) {
  event.preventDefault();
  return start([order()]);
}
/* A row for each class, all from one seed. */
function eachClass(n, options) {
  const body = order(), labels = models[body.model].labels;
  return start(labels.map((_, i) => ({ ...body, n, class: i })), options);
}
function sheet() {
  const n = Math.min(Number($("n").value), 10);
  return isSound() ? eachClass(n, { columns: n }) : null;
}
/* What a visitor sees first, unless the address leads elsewhere, also in vain, or the browser is to save data. */
async function greet() {
  if (isField() || /^#jobs?(=|$)/.test(location.hash)) return;
  if (running || run || await followLink() || new URLSearchParams(location.hash.slice(1)).has("model") || navigator.connection?.saveData) return;
  const m = models[$("model").value];
  if (!m || m.state !== "ready") return;
  if (!$("each").hidden) eachClass(1, { greeting: true });
  else start([order()], { greeting: true });
}
/* The same images once more, as a file. */
async function download() {
  const format = $("format").value, facts = run.facts;
  const body = Object.assign({}, facts.body, { seed: facts.seed, format });
  delete body.preview_every;
  if (isVector(models[body.model])) body.dtype = "float32";
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await whole(await post("v1/images", body), "blob"));
    link.download = `pfgm-${facts.seed}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (e) { say(e.message, true); }
}
