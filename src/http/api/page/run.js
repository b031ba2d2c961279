/* A run: images as the events bring them, and the same images once more as a file. */
const handlers = {
  queued(d) {
    run.facts.seed = d.seed; run.facts.model = d.model.name;
    const s = d.parameters.solver;
    run.facts.solver = s.method + (s.steps ? ", " + s.steps + " steps, " + s.schedule : ", rtol " + s.rtol);
    const first = BigInt(d.parameters.first_index);
    run.tiles = Array.from({ length: d.n }, (_, i) => tile(first + BigInt(i)));
    run.first = first;
    $("now").replaceChildren(...run.tiles.map(t => t.li));
    say("waiting");
  },
  started() { say("sampling"); watch(); },
  progress(d) {
    $("progress").value = d.fraction;
    say(`${d.images_done} of ${d.images_total} images` + (d.eta_s > 1 ? `, ${Math.ceil(d.eta_s)} s left` : ""));
  },
  preview(d) { if (at(d).button.disabled) at(d).img.src = "data:image/png;base64," + d.b64; },
  image(d) { fill(at(d), d, run.facts); },
  done(d) {
    $("progress").value = 1;
    say(`${d.images} image${d.images === 1 ? "" : "s"} in ${(d.timings.compute_ms / 1000).toFixed(2)} s, seed ${run.facts.seed}`);
  },
  failed(d) { say(inWords(d), true); },
  cancelled() { say("cancelled"); },
};
const at = d => run.tiles[Number(BigInt(d.index) - run.first)];
async function sample(event) {
  event.preventDefault();
  if (running) return;
  keep();
  const body = order(), m = models[body.model] || {};
  running = new AbortController();
  run = { facts: { body, labels: m.labels, seed: "", model: body.model }, tiles: [], first: 0n };
  $("now-empty").hidden = $("take").hidden = true; $("progress").value = 0; $("go").disabled = true; $("cancel").disabled = false;
  say("asking");
  try {
    if (isVector(m)) await scatter(body, m);
    else await listen(await post("v1/images", body, "text/event-stream", running.signal), handlers);
  } catch (e) { say(e.name === "AbortError" ? "cancelled" : e.message, e.name !== "AbortError"); }
  $("now-empty").hidden = $("now").children.length > 0;
  $("take").hidden = !run.facts.seed || $("progress").value < 1;
  running = null; $("go").disabled = false; $("cancel").disabled = true;
  ended = Date.now(); watch();
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
