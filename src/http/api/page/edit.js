/* Editing: an image of the viewer's, varied as a whole or, where the pointer has drawn, made anew. */
const FRESH = [214, 60, 40, 150]; /* what covers the drawn part: red, green, blue, alpha */
const editing = { from: null, pixels: null, drawn: null, at: 0, busy: null };
/* Takes the image that the viewer shows, and gives up an edit of the one before. Returns whether it is still the one that was picked last. */
async function pickForEdit() {
  const picture = new Image(), canvas = $("edit-canvas"), from = editing.from = shown;
  if (editing.busy) { editing.busy.abort(); endEdit(); }
  picture.src = "data:image/png;base64," + shown.image.b64;
  $("big").close();
  await picture.decode();
  if (editing.from !== from) return false;
  canvas.width = picture.naturalWidth; canvas.height = picture.naturalHeight;
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  editing.pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
  $("edit-empty").hidden = true; $("edit-view").hidden = false;
  $("edited").replaceChildren();
  say("", false, "edit-status");
  clearMask();
  canvas.focus();
  return true;
}
function clearMask() {
  editing.drawn = new Uint8Array(editing.pixels.width * editing.pixels.height);
  editing.at = Math.floor(editing.drawn.length / 2) + Math.floor(editing.pixels.width / 2);
  paint();
}
/* The image, with the drawn part under its colour and a mark where the keys stand. */
function paint() {
  const canvas = $("edit-canvas"), pen = canvas.getContext("2d"), { width, data } = editing.pixels, cover = pen.createImageData(width, canvas.height);
  editing.drawn.forEach((on, i) => { for (let c = 0; c < 4; c++) cover.data[4 * i + c] = !on || c === 3 ? data[4 * i + c] : (data[4 * i + c] * (255 - FRESH[3]) + FRESH[c] * FRESH[3]) / 255; });
  if (document.activeElement === canvas) cover.data.set([64, 160, 255, 255], 4 * editing.at);
  pen.putImageData(cover, 0, 0);
  const part = editing.drawn.reduce((a, b) => a + b, 0) / editing.drawn.length;
  canvas.setAttribute("aria-label", `The image to edit; ${Math.round(100 * part)} per cent of it is drawn over`);
  $("edit-clear").disabled = part === 0;
  $("edit-go").textContent = part ? "Make this part anew" : "Make variations";
  $("strength").value = $("strength").dataset.touched ?? (part ? 1 : 0.5);
  showStrength();
}
function showStrength() { $("strength-said").textContent = Number($("strength").value).toFixed(2); }
/* A dot about the pixel x, y. */
function dot(x, y) {
  const { width, height } = editing.pixels, radius = width / 12;
  for (let j = 0; j < height; j++) for (let i = 0; i < width; i++)
    if (Math.hypot(i - x, j - y) <= radius) editing.drawn[j * width + i] = 1;
  paint();
}
function drawAt(event) {
  if (event.buttons !== 1 || !editing.pixels) return;
  const box = $("edit-canvas").getBoundingClientRect(), side = editing.pixels.width / box.width;
  $("edit-canvas").setPointerCapture(event.pointerId);
  dot(Math.floor((event.clientX - box.left) * side), Math.floor((event.clientY - box.top) * side));
}
/* By the keyboard: the arrows move a mark, the space bar draws about it. */
function drawByKeys(event) {
  const { width, height } = editing.pixels, x = editing.at % width, y = Math.floor(editing.at / width);
  const to = { ArrowLeft: [x - 1, y], ArrowRight: [x + 1, y], ArrowUp: [x, y - 1], ArrowDown: [x, y + 1], " ": [x, y] }[event.key];
  if (!to) return;
  event.preventDefault();
  if (to[0] >= 0 && to[1] >= 0 && to[0] < width && to[1] < height) editing.at = to[1] * width + to[0];
  if (event.key === " ") dot(x, y); else paint();
}
/* White where the image is kept; null where nothing is drawn. */
async function maskOf() {
  const { width, height } = editing.pixels;
  if (!editing.drawn.includes(1)) return null;
  const canvas = Object.assign(document.createElement("canvas"), { width, height }), pen = canvas.getContext("2d");
  const mask = pen.createImageData(width, height);
  editing.drawn.forEach((on, i) => mask.data.set(on ? [0, 0, 0, 255] : [255, 255, 255, 255], 4 * i));
  pen.putImageData(mask, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}
async function editOrder() {
  const { image, facts: made } = editing.from, mask = await maskOf(), { class: picked, solver } = order();
  return { model: made.model, image: image.b64, seed: drawSeed(), n: Number($("edit-n").value), strength: Number($("strength").value), embed_metadata: true,
    ...(mask && { mask }), ...(solver && { solver }), ...(picked !== undefined ? { class: picked } : image.class != null && { class: image.class }) };
}
async function edit(event) {
  if (event) event.preventDefault();
  if (editing.busy || !isSound(...SAMPLES_ONLY) || !$("edit-form").reportValidity()) return;
  const its = editing.busy = new AbortController(), { from } = editing, hold = holdFocus();
  $("edit-go").disabled = true; $("edit-cancel").disabled = false;
  say("asking", false, "edit-status");
  try {
    const body = await editOrder();
    const answer = parse(await whole(await post("v1/edit", body, "application/json", its.signal), "text"));
    if (editing.busy !== its) return; /* another image stands there by now */
    $("edited").replaceChildren(...answer.images.map(image => {
      const t = tile("#" + image.index), name = `edit-${answer.seed}-${image.index}.png`;
      t.img.src = "data:image/png;base64," + image.b64; t.img.alt = `edited image ${image.index}`;
      t.button.disabled = false;
      t.button.addEventListener("click", () => enlarge(image, { model: body.model, seed: answer.seed, solver: from.facts.solver, body: { model: body.model }, file: name }, name));
      return t.li;
    }));
    say(`${answer.images.length} images in ${(answer.timings.compute_ms / 1000).toFixed(2)} s, seed ${answer.seed}`, false, "edit-status");
  } catch (e) {
    if (editing.busy !== its) return;
    say(e.name === "AbortError" ? "cancelled" : e.message, e.name !== "AbortError", "edit-status");
    showField(e);
  }
  endEdit();
  hold($("edit-go"));
}
function endEdit() {
  ended = Date.now(); watch();
  editing.busy = null; $("edit-go").disabled = false; $("edit-cancel").disabled = true;
}
$("big-edit").addEventListener("click", pickForEdit);
$("big-vary").addEventListener("click", () => pickForEdit().then(last => { if (last) edit(); }));
$("edit-form").addEventListener("submit", edit);
$("edit-cancel").addEventListener("click", () => editing.busy && editing.busy.abort());
$("edit-clear").addEventListener("click", () => { $("edit-canvas").focus(); clearMask(); });
$("strength").addEventListener("input", () => { $("strength").dataset.touched = $("strength").value; showStrength(); });
for (const kind of ["pointerdown", "pointermove"]) $("edit-canvas").addEventListener(kind, drawAt);
$("edit-canvas").addEventListener("keydown", drawByKeys);
for (const kind of ["focus", "blur"]) $("edit-canvas").addEventListener(kind, () => editing.pixels && paint());
