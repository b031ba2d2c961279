/* The images between two. */
let shown = null, walking = null, way = [], ends = { a: null, b: null };
function choose(end) {
  ends[end] = shown;
  const file = shown.facts.file;
  $(end + "_seed").value = file ? "" : shown.facts.seed; $(end + "_index").value = file ? "" : String(shown.image.index);
  $(end + "_face").src = "data:image/png;base64," + shown.image.b64;
  $(end + "_seed").required = !file; $(end + "_seed").placeholder = file || "";
  $("big").close();
  $(ends.a && ends.b ? "walk" : (end === "a" ? "b" : "a") + "_seed").focus();
}
/* Images that seed and index do not decide by one model and one solver for both are sent as they are. */
function wayOrder() {
  const { a, b } = ends, body = { frames: Number($("frames").value), model: $("model").value };
  const { solver, class: picked } = order();
  const bySeed = (e, i) => ({ seed: $(i + "_seed").value.trim(), index: $(i + "_index").value.trim() || "0" });
  const both = a && b, made = a || b ? (a || b).facts.body.solver : solver, madeBy = e => e.facts.model + JSON.stringify(e.facts.body.solver || {});
  const same = ![a, b].some(e => e && e.facts.file) && (!both || (a.image.class === b.image.class && madeBy(a) === madeBy(b))) && ![a, b].some(e => e && e.facts.body.temperature);
  body.between = ["a", "b"].map(i => ends[i] && !same ? { image: ends[i].image.b64 } : bySeed(ends[i], i));
  if (a || b) body.model = (a || b).facts.model;
  if (made) body.solver = made;
  /* Where the form or an end's own request names no class, the server takes the one that seed and index draw. */
  const known = (models[body.model] || {}).labels || [], label = both ? a.image.class : a || b ? (a || b).facts.body.class : picked;
  if (known.length && same && label !== undefined) body.class = label;
  return body;
}
/* Its seed and index were typed in: it is no image of the gallery any more. */
function unchoose(end) {
  ends[end] = null;
  $(end + "_face").src = BLANK;
  $(end + "_seed").required = true; $(end + "_seed").placeholder = "";
}
const sourceOf = frame => frame ? "data:image/png;base64," + frame : BLANK;
function look() {
  const k = Number($("slider").value), frame = way[k];
  for (const [i, b] of [...$("strip").querySelectorAll("button")].entries()) b.setAttribute("aria-current", String(i === k));
  $("slider").setAttribute("aria-valuetext", `image ${k + 1} of ${way.length}`);
  $("way-image").src = sourceOf(frame);
  $("way-image").alt = `Image ${k + 1} of ${way.length} on the path` + (frame ? "" : ", not there yet");
}
/* The path as a strip, for the eye and the mouse: the keyboard has the slider. */
function newStrip() {
  $("strip").replaceChildren(...way.map((_, i) => {
    const li = document.createElement("li"), button = document.createElement("button"), img = document.createElement("img");
    button.type = "button"; button.tabIndex = -1; button.setAttribute("aria-label", `Image ${i + 1} of ${way.length}`);
    button.addEventListener("click", () => { pause(); $("slider").value = i; look(); });
    img.alt = ""; img.src = BLANK;
    button.append(img); li.append(button);
    return li;
  }));
}
/* There and back again, until it is stopped. */
const FRAME_MS = 120;
let playing = 0;
function pause() {
  clearInterval(playing);
  playing = 0;
  $("play").textContent = "Play"; $("play").setAttribute("aria-pressed", "false");
}
function playWay() {
  if (playing) { pause(); return; }
  let by = Number($("slider").value) + 1 < way.length ? 1 : -1;
  $("play").textContent = "Stop"; $("play").setAttribute("aria-pressed", "true");
  playing = setInterval(() => {
    const k = Number($("slider").value);
    if (k + by < 0 || k + by >= way.length) by = -by;
    $("slider").value = k + by;
    look();
  }, FRAME_MS);
}
let walked = null; /* what the path was asked for by */
async function saveFilm() {
  say("the moving picture is being made", false, "way-status");
  try {
    const held = URL.createObjectURL(await whole(await post("v1/interpolate", walked, "image/apng"), "blob")), link = document.createElement("a");
    link.href = held; link.download = "pfgm-path.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(held), 60000);
    say("the moving picture is saved", false, "way-status");
  } catch (e) { say(e.message, true, "way-status"); }
}
const onTheWay = {
  queued(d) {
    way = Array(d.n).fill(null);
    $("slider").max = d.n - 1; $("slider").value = 0;
    newStrip();
    $("way-empty").hidden = true; $("way-image").hidden = $("slider-row").hidden = false;
    look();
    say("waiting", false, "way-status");
  },
  progress(d) { say(`${d.images_done} of ${d.images_total} images`, false, "way-status"); },
  image(d) {
    const i = Number(d.index), end = i === 0 ? "a" : i === way.length - 1 ? "b" : null;
    way[i] = d.b64;
    $("strip").children[i].querySelector("img").src = sourceOf(d.b64);
    if (end && !ends[end]) $(end + "_face").src = sourceOf(d.b64);
    look();
  },
  done(d) { $("film-row").hidden = false; say(`${d.images} images in ${(d.timings.compute_ms / 1000).toFixed(2)} s: move the slider`, false, "way-status"); },
  failed(d) { say(inWords(d), true, "way-status"); },
  cancelled() { say("cancelled", false, "way-status"); },
};
async function walk(event) {
  event.preventDefault();
  if (walking || !(ends.a || ends.b || isSound(...SAMPLES_ONLY))) return; /* an image of the gallery is an end as it was made */
  const hold = holdFocus();
  walking = new AbortController();
  pause();
  $("film-row").hidden = true;
  $("walk").disabled = true; $("way-cancel").disabled = false;
  say("asking", false, "way-status");
  try {
    await listen(await post("v1/interpolate", walked = wayOrder(), "text/event-stream", walking.signal), onTheWay);
  } catch (e) { say(e.name === "AbortError" ? "cancelled" : e.message, e.name !== "AbortError", "way-status"); }
  ended = Date.now(); watch();
  walking = null; $("walk").disabled = false; $("way-cancel").disabled = true;
  hold($(way[0] ? "slider" : "walk"));
}
