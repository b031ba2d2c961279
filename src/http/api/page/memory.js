/* Links that hold a request, and what the browser keeps: settings, theme and the links of earlier runs. */
const store = {
  get(name, otherwise) { try { return JSON.parse(localStorage.getItem("pfgmd." + name)) ?? otherwise; } catch { return otherwise; } },
  set(name, value) { try { localStorage.setItem("pfgmd." + name, JSON.stringify(value)); } catch { /* a browser that keeps nothing */ } },
};

/* ---- links: by the seed rule their fields decide every byte ---- */
const SOLVER_FIELDS = ["method", "schedule", "steps", "rtol", "atol", "t_max", "t_min", "max_nfe", "churn", "churn_noise", "churn_t_max", "churn_t_min",
  "guidance", "guidance_t_max", "guidance_t_min"];
const LINK_FIELDS = ["n", "seed", "first_index", "temperature", ...SOLVER_FIELDS];
function linkOf(body, each) {
  const its = { model: body.model, sha256: ((models[body.model] || {}).sha256 || "").slice(0, 12), ...body, ...body.solver };
  const link = new URLSearchParams();
  for (const field of ["model", "sha256", ...LINK_FIELDS]) if (its[field] != null && its[field] !== "") link.set(field, its[field]);
  if (each) link.set("each", "class");
  else if (body.class !== undefined) link.set("class", body.class ?? "none");
  return "#" + link;
}
/* Fills the form from the address. Returns whether the address holds a request. */
function readLink(hash = location.hash) {
  const link = new URLSearchParams(hash.slice(1)), model = link.get("model");
  if (model === null) return false;
  if (!models[model]) { say(`The link names the model "${model}", which this server does not have.`, true); return false; }
  $("model").value = model;
  chooseModel();
  for (const field of LINK_FIELDS) $(field).value = field === "schedule" ? "" : link.get(field) ?? (field === "n" ? 1 : "");
  if (!$("method").value && (link.has("rtol") || link.has("atol"))) $("method").value = "rk45"; /* as the server reads it */
  chooseMethod();
  $("schedule").value = link.get("schedule") ?? "";
  chooseClass(link.get("class") ?? "");
  return true;
}
/* Samples what the address holds, if anything. What the form cannot take as it stands would give other images. */
async function followLink() {
  if (!caps || !readLink()) return false;
  const link = new URLSearchParams(location.hash.slice(1)), sha = link.get("sha256");
  if (running) { running.abort(); await ending; } /* before anything is said that its end would write over */
  const lost = [...LINK_FIELDS, "class"].find(field => link.get(field) && (field === "class" ? link.get(field) !== $(field).value : !$(field).value));
  if (lost) say(`${fieldOf("/" + lost)}: the link says "${link.get(lost)}", which the form cannot take.`, true);
  if (lost || !isSound()) return true;
  await (link.get("each") === "class" && !$("each").hidden ? sheet() : start([order()]));
  if (sha && !(models[$("model").value].sha256 || "").startsWith(sha))
    say("These are not the images of the link: it was made with another file of this model.", true);
  return true;
}
/* The run's link goes into the address, without a step in the browser's own history, and into the list. While the field is
   shown the address is the field's. Returns the link. */
function remember(body, each) {
  const link = linkOf(body, each);
  setMainHash(link);
  if (!isField()) history.replaceState(null, "", link);
  const label = ((models[body.model] || {}).labels || [])[body.class];
  const text = `${body.n} ${each ? "of each class" : label ? "× " + label : body.n === 1 ? "image" : "images"}, seed ${body.seed}` + (caps.models.length > 1 ? ", " + body.model : "");
  store.set("runs", [{ link, text }, ...store.get("runs", []).filter(r => r.link !== link)].slice(0, RUNS));
  showRuns();
  return link;
}
const RUNS = 40;
function showRuns() {
  const runs = store.get("runs", []), at = $("runs").contains(document.activeElement) && document.activeElement.hash;
  $("runs-box").hidden = runs.length === 0;
  $("runs").replaceChildren(...runs.map(r => {
    const li = document.createElement("li"), a = document.createElement("a");
    a.href = r.link; a.textContent = r.text;
    li.append(a);
    return li;
  }));
  const links = [...$("runs").querySelectorAll("a")];
  if (at) (links.find(a => a.hash === at) || links[0])?.focus({ preventScroll: true });
}
/* Of the images that are shown: the address may lead to a job by now, or to a run that failed. */
async function copyLink() {
  const { link } = run;
  if (await copy(new URL(link, location.href).href, "The link is copied. It gives the same images, byte for byte.")) return;
  history.replaceState(null, "", link);
  say("This browser lets no page copy: the address of this page is the link.");
}

/* ---- settings ---- */
const SETTINGS = ["model", "n", "enlarge", "theme", "temperature", "preview_every", ...SOLVER_FIELDS];
function keepSettings() {
  store.set("settings", Object.fromEntries([...SETTINGS.map(id => [id, $(id).value]), ["class", $("class").value]]));
}
function restoreSettings() {
  const kept = store.get("settings", {});
  if (models[kept.model]) $("model").value = kept.model;
  chooseModel();
  for (const id of SETTINGS) if (id !== "model" && id !== "schedule" && kept[id] != null) $(id).value = kept[id];
  chooseMethod();
  if (kept.schedule && [...$("schedule").options].some(o => o.value === kept.schedule)) $("schedule").value = kept.schedule;
  if (kept.class && [...$("class").options].some(o => o.value === kept.class)) chooseClass(kept.class);
}
const dark = matchMedia("(prefers-color-scheme: dark)");
function showSettings() {
  document.documentElement.dataset.enlarge = $("enlarge").value;
  document.documentElement.dataset.theme = $("theme").value || (dark.matches ? "dark" : "light");
  if (drawn.length) draw(drawn);
}
