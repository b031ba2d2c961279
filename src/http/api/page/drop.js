/* A PNG of the visitor's own. One of ours says in a chunk what made it; any other is encoded, to be measured or an end of a path. */
const MOST = 16 << 20; /* bytes of a file that is looked into */
/* The text of the chunk `pfgm`, "" without one, or null for what is no PNG. */
function chunkOf(bytes) {
  const latin = new TextDecoder("latin1"), view = new DataView(bytes.buffer);
  if (latin.decode(bytes.subarray(1, 4)) !== "PNG") return null;
  for (let at = 8, size; at + 12 <= bytes.length; at += 12 + size) {
    size = view.getUint32(at);
    if (at + 12 + size > bytes.length) return null;
    const text = latin.decode(bytes.subarray(at + 4, at + 8 + size));
    if (text.startsWith("tEXtpfgm\0")) return text.slice(9);
  }
  return "";
}
/* Fills the form, and returns in words what it cannot hold, "" for nothing. Null where a seed alone does not make the image: it was
   edited, made from a given latent, or is a sheet of several. */
function fillFrom(text) {
  let made;
  try { made = JSON.parse(text); } catch { return null; }
  const model = made && Object.values(models).find(m => m.sha256 === made.model);
  if (!model || made.edit || made.latents || made.n) return null;
  readLink(linkOf({ model: model.name, n: 1, seed: made.seed, first_index: made.index, temperature: made.temperature, solver: made.solver,
    ...((model.labels || []).length && { class: made.class ?? null }) }, false));
  return Object.keys(made.solver || {}).filter(field => !SOLVER_FIELDS.includes(field) || !$(field).value).join(", ");
}
async function takeFile(file) {
  if (!caps) return;
  if (file.size > MOST) { say("This file is larger than 16 MiB.", true); return; }
  const bytes = new Uint8Array(await file.arrayBuffer()), text = chunkOf(bytes);
  if (text === null) { say("This file is not a whole PNG.", true); return; }
  const lost = text ? fillFrom(text) : null;
  if (lost !== null) {
    say(lost ? `The form holds what this image was made with, except ${lost}: Sample makes another image.` : "The form holds what this image was made with: Sample makes it again.", lost !== "");
    $("go").focus();
    return;
  }
  await measure(file.name, await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  }));
}
async function measure(name, b64) {
  const { model, class: picked } = order(), body = { model, images: [b64], ...(picked !== undefined && { class: picked }) };
  say("the image goes up to its latent");
  let bits;
  try {
    bits = (await whole(await post("v1/likelihood", body, "application/json"), "json")).images[0].bits_per_dimension;
  } catch (e) { say(e.message, true); return; }
  say(`${name}: ${bits.toFixed(3)} bits per dimension`);
  enlarge({ b64, index: 0, class: null }, { model, body: { model }, file: name }, name);
  showFacts(shown.rows = { Model: model, File: name, "Bits per dimension": bits.toFixed(3) });
}
