/* The images between two. */
let shown = null, walking = null, way = [], ends = { a: null, b: null };
function choose(end) {
  ends[end] = shown;
  const file = shown.facts.file;
  $(end + "_seed").value = file ? "" : shown.facts.seed; $(end + "_index").value = file ? "" : String(shown.image.index);
  $(end + "_seed").required = !file; $(end + "_seed").placeholder = file || "";
  $("big").close();
  $(ends.a && ends.b ? "walk" : (end === "a" ? "b" : "a") + "_seed").focus();
}
/* Images of a gallery that seed and index alone do not tell go as they are. */
function wayOrder() {
  const { a, b } = ends, body = { frames: Number($("frames").value), model: $("model").value };
  const { solver, class: picked } = order();
  const bySeed = (e, i) => ({ seed: $(i + "_seed").value.trim(), index: $(i + "_index").value.trim() || "0" });
  const both = a && b, same = ![a, b].some(e => e && e.facts.file) && (!both || a.image.class === b.image.class) && ![a, b].some(e => e && e.facts.body.temperature);
  body.between = ["a", "b"].map(i => ends[i] && !same ? { image: ends[i].image.b64 } : bySeed(ends[i], i));
  if (a || b) body.model = (a || b).facts.model;
  const made = a || b ? (a || b).facts.body.solver : solver;
  if (made) body.solver = made;
  /* Where the form or an end's own request names no class, the server takes the one that seed and index draw. */
  const known = (models[body.model] || {}).labels || [], label = both ? a.image.class : a || b ? (a || b).facts.body.class : picked;
  if (known.length && same && label !== undefined) body.class = label;
  return body;
}
function look() {
  const k = Number($("slider").value), frame = way[k];
  $("slider").setAttribute("aria-valuetext", `image ${k + 1} of ${way.length}`);
  $("way-image").src = frame ? "data:image/png;base64," + frame : BLANK;
  $("way-image").alt = `Image ${k + 1} of ${way.length} on the path` + (frame ? "" : ", not there yet");
}
const onTheWay = {
  queued(d) {
    way = Array(d.n).fill(null);
    $("slider").max = d.n - 1; $("slider").value = 0;
    $("way-empty").hidden = true; $("way-image").hidden = $("slider-row").hidden = false;
    look();
    say("waiting", false, "way-status");
  },
  progress(d) { say(`${d.images_done} of ${d.images_total} images`, false, "way-status"); },
  image(d) { way[Number(d.index)] = d.b64; look(); },
  done(d) { say(`${d.images} images in ${(d.timings.compute_ms / 1000).toFixed(2)} s: move the slider`, false, "way-status"); },
  failed(d) { say(inWords(d), true, "way-status"); },
  cancelled() { say("cancelled", false, "way-status"); },
};
async function walk(event) {
  event.preventDefault();
  if (walking) return;
  walking = new AbortController();
  $("walk").disabled = true; $("way-cancel").disabled = false;
  say("asking", false, "way-status");
  try {
    await listen(await post("v1/interpolate", wayOrder(), "text/event-stream", walking.signal), onTheWay);
  } catch (e) { say(e.name === "AbortError" ? "cancelled" : e.message, e.name !== "AbortError", "way-status"); }
  ended = Date.now(); watch();
  walking = null; $("walk").disabled = false; $("way-cancel").disabled = true;
  if (document.activeElement === document.body) $(way[0] ? "slider" : "walk").focus();
}
