/* Jobs: filed with the form as it stands, followed while the page is looked at, fetched as archives. The server keeps them;
   this page holds what it has heard, so a reload or another browser shows the same. */
const FINISHED = ["succeeded", "failed", "cancelled"], PAGE = 20;
const isLive = job => !FINISHED.includes(job.state);
let jobs = [], moreJobs = null, nextJobs = 0, lookingAtJobs = false, listed = 0;

/* ---- words ---- */
const count = n => n.toLocaleString("en");
function duration(s) {
  const of = (n, unit) => `${n} ${unit}`;
  if (s < 100) return of(Math.max(1, Math.round(s)), "s");
  if (s < 5400) return of(Math.round(s / 60), "min");
  return s < 172800 ? `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min` : of(Math.round(s / 86400), "days");
}
function titleOf(job) {
  const p = job.parameters, label = ((models[p.model] || {}).labels || [])[p.class];
  return `${count(p.n)} ${label ? "× " + label : p.n === 1 ? "image" : "images"}, seed ${p.seed}` +
    (caps.models.length > 1 || !models[p.model] ? ", " + p.model : "") + (job.label ? `: ${job.label}` : "");
}
/* Images per second as this page has seen them, over the last ten seconds or so; null until it has. */
function rateOf(entry) {
  const [first] = entry.seen, last = entry.seen[entry.seen.length - 1], s = (last.at - first.at) / 1000;
  return s >= 2 && last.images > first.images ? (last.images - first.images) / s : null;
}
function saidOf(entry) {
  const { job } = entry, p = job.progress, done = `${count(p.images_done)} of ${count(p.images_total)}`, rate = rateOf(entry);
  if (job.detail) return job.state + ": " + job.detail;
  if (job.state === "queued") return job.queue_position === 1 ? "queued, the next to be begun" : `queued, number ${count(job.queue_position)} of those that wait`;
  if (job.state === "running") {
    const left = rate ? p.images_total * (1 - p.fraction) / rate : p.eta_s;
    const [unit, its] = rate < 1 / 60 ? ["hour", 3600] : rate < 1 ? ["minute", 60] : ["second", 1], per = rate * its;
    return done + (rate ? `, ${per < 10 ? per.toFixed(1) : count(Math.round(per))} per ${unit}` : "") + (left ? `, about ${duration(left)} left` : "");
  }
  if (job.state === "succeeded") return `${done} in ${duration((new Date(job.finished_at) - new Date(job.started_at)) / 1000)}`;
  return `${job.state}, ${done}` + (job.error ? `: ${job.error.pointer.replace(/^[/]images[/]/, "image ")}: ${job.error.detail}` : "");
}

/* ---- rows ---- */
function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
function newEntry(job) {
  const entry = { job, tag: "", seen: [], face: element("img", { src: BLANK, alt: "" }), hasFace: false,
    title: element("a", { href: "#job=" + job.id }), said: element("small"), bar: element("progress", { max: 1 }), acts: element("span", { className: "row" }) };
  entry.li = element("li", { id: "job-" + job.id }, entry.face, element("div", {}, entry.title, entry.bar, entry.said), entry.acts);
  entry.bar.setAttribute("aria-label", "Progress of the job");
  return take(entry, job);
}
function take(entry, job) {
  const images = job.progress.fraction * job.progress.images_total, changed = job.state !== entry.shownState;
  entry.job = job;
  entry.seen = [...entry.seen, { at: performance.now(), images }].slice(-12);
  entry.title.textContent = titleOf(job);
  entry.said.textContent = saidOf(entry);
  entry.bar.value = job.state === "succeeded" ? 1 : job.progress.fraction;
  entry.li.dataset.state = entry.shownState = job.state;
  if (changed) showActs(entry);
  /* Images end in about their order; once a shard's worth is made, the first is surely there. */
  if (!entry.hasFace && job.progress.images_done >= Math.min(64, job.progress.images_total) && job.parameters.dtype === "uint8") showFace(entry);
  return entry;
}
/* What can be done with it; whoever stands on a button that goes is not left in the void. */
function showActs(entry) {
  const { job, acts } = entry, had = acts.contains(document.activeElement) || (entry.holds && document.activeElement === entry.title), button = (text, does) => element("button", { type: "button", textContent: text, onclick: does });
  acts.replaceChildren();
  if (job.state === "succeeded") {
    const formats = job.parameters.dtype === "uint8" ? ["zip", "npz"] : ["npz"];
    for (const format of formats) {
      const link = element("a", { href: url(`v1/jobs/${job.id}/archive?format=${format}`), download: `pfgm-job-${job.id.slice(0, 8)}.${format}`, textContent: format });
      link.setAttribute("aria-label", `Fetch ${titleOf(job)} as ${format}`);
      link.addEventListener("click", e => { if ($("key").value.trim()) { e.preventDefault(); fetchArchive(link); } });
      acts.append(link);
    }
  }
  if (job.state === "queued" || job.state === "running") acts.append(button("Cancel", () => removeJob(entry)));
  if (FINISHED.includes(job.state)) acts.append(button("Forget", () => removeJob(entry)));
  for (const b of acts.querySelectorAll("button")) b.setAttribute("aria-label", `${b.textContent} ${titleOf(job)}`);
  entry.holds = had && !acts.firstElementChild; /* the focus, for what comes */
  if (had) (acts.firstElementChild || entry.title).focus();
}
/* Bytes as the string that btoa takes; a call has no more than some ten thousand arguments. */
function binary(bytes) {
  const pieces = [];
  for (let i = 0; i < bytes.length; i += 32768) pieces.push(String.fromCharCode(...bytes.subarray(i, i + 32768)));
  return pieces.join("");
}
/* The first image, which a browser asks for once: it may be kept for ever. */
async function showFace(entry) {
  entry.hasFace = true;
  try {
    const bytes = new Uint8Array(await whole(await ask(`v1/jobs/${entry.job.id}/images/0`, { headers: headers({ Accept: "image/png" }) }), "arrayBuffer"));
    entry.face.src = "data:image/png;base64," + btoa(binary(bytes));
  } catch { entry.hasFace = false; /* it is not there yet */ }
}
/* With a key the browser cannot follow a link by itself. */
async function fetchArchive(link) {
  say("the archive is being fetched", false, "jobs-status");
  try {
    const held = URL.createObjectURL(await whole(await ask(link.href.slice(url("").length), { headers: headers() }), "blob"));
    element("a", { href: held, download: link.download }).click();
    setTimeout(() => URL.revokeObjectURL(held), 60000);
    say("the archive is fetched", false, "jobs-status");
  } catch (e) { say(e.message, true, "jobs-status"); }
}

/* ---- asking the server ---- */
function showJobs() {
  const rows = jobs.map(e => e.li), at = document.activeElement;
  if (rows.some((li, i) => $("jobs").children[i] !== li) || rows.length !== $("jobs").children.length) $("jobs").replaceChildren(...rows);
  if ($("jobs").contains(at)) at.focus({ preventScroll: true }); /* which is lost where its row moves */
  $("jobs-empty").hidden = jobs.length > 0;
  $("jobs-more").hidden = moreJobs === null;
}
/* The newest ones; or, `after`, those before the last that is shown. */
async function listJobs(after = "") {
  const page = await json(`v1/jobs?limit=${PAGE}${after && "&after=" + after}`);
  const known = new Map(jobs.map(e => [e.job.id, e]));
  const got = page.jobs.map(job => known.has(job.id) ? take(known.get(job.id), job) : newEntry(job)), ids = new Set(page.jobs.map(j => j.id));
  /* what is older than this page stays as it is shown */
  const last = page.jobs.length ? page.jobs[page.jobs.length - 1].submitted_at : "";
  const others = jobs.filter(e => !ids.has(e.job.id) && (after || (page.next && e.job.submitted_at <= last)));
  jobs = after ? [...others, ...got] : [...got, ...others];
  if (after || others.length === 0) moreJobs = page.next;
  listed = Date.now();
  showJobs();
}
/* One job; a few bytes where nothing has changed. The tag does not count images in flight, so one that runs is always read. */
async function lookAt(entry) {
  const answer = await ask("v1/jobs/" + entry.job.id, { headers: headers(entry.tag && entry.job.state !== "running" ? { "If-None-Match": entry.tag } : {}) })
    .catch(e => { if (e.status !== 404 && e.status !== 410) throw e; jobs = jobs.filter(other => other !== entry); });
  if (!answer) { showJobs(); return; }
  entry.tag = answer.headers.get("ETag") || "";
  if (answer.status === 200) take(entry, await whole(answer, "json"));
}
async function watchJobs() {
  clearTimeout(nextJobs);
  if (lookingAtJobs || !caps) return;
  $("jobs-box").hidden = !caps.limits.job_images;
  if ($("jobs-box").hidden) return;
  lookingAtJobs = true;
  let live = 0;
  try {
    if (Date.now() - listed > 30000) await listJobs();
    await showLinked();
    for (const entry of jobs.filter(e => isLive(e.job))) { await lookAt(entry); live++; }
    if ($("jobs-status").dataset.away) { say("", false, "jobs-status"); delete $("jobs-status").dataset.away; }
  } catch (e) {
    say(e.message, true, "jobs-status");
    $("jobs-status").dataset.away = "yes";
    listed = 0;
  }
  lookingAtJobs = false;
  nextJobs = setTimeout(watchJobs, document.hidden ? 30000 : live ? 1000 : 5000);
}
/* The job that the address names is shown, also where newer ones have it off the list. */
let linked = "";
async function showLinked() {
  const id = new URLSearchParams(location.hash.slice(1)).get("job");
  if (!id || id === linked) return;
  linked = id;
  let entry = jobs.find(e => e.job.id === id);
  if (!entry) {
    const job = await json("v1/jobs/" + encodeURIComponent(id)).catch(e => { if (e.status !== 404 && e.status !== 410) throw e; });
    if (!job) { say("The link names a job that this server does not keep, or that is another key's.", true, "jobs-status"); return; }
    jobs.push(entry = newEntry(job));
    showJobs();
  }
  entry.li.scrollIntoView({ block: "center" });
  entry.title.focus();
}
async function fileJob(event) {
  event.preventDefault();
  if (!isSound("n", "preview_every")) return;
  const { preview_every: _, ...body } = order(), label = $("job_label").value.trim(), hold = holdFocus();
  $("file-job").disabled = true;
  say("asking", false, "jobs-status");
  try {
    const job = await whole(await post("v1/jobs", { ...body, n: Number($("job_n").value), ...(label && { label }) }), "json");
    jobs.unshift(newEntry(job));
    say(`filed: ${titleOf(job)}`, false, "jobs-status");
    showJobs();
    watchJobs();
  } catch (e) {
    say(e.message, true, "jobs-status");
    showField(e.field === "n" ? { field: "job_n" } : e);
  }
  $("file-job").disabled = false;
  hold($("file-job"));
}
async function removeJob(entry) {
  const live = isLive(entry.job), title = titleOf(entry.job), path = "v1/jobs/" + entry.job.id;
  try {
    const seen = await ask(path, { headers: headers() });
    take(entry, await whole(seen, "json"));
    if (live !== isLive(entry.job)) { // DELETE would forget what was to be cancelled
      showJobs();
      return say(`${entry.job.state} meanwhile: ${title}`, false, "jobs-status");
    }
    const answer = await ask(path, { method: "DELETE", headers: headers({ "If-Match": seen.headers.get("ETag") }) });
    if (answer.status === 202) take(entry, await whole(answer, "json"));
    else jobs = jobs.filter(e => e !== entry);
    say(live ? `cancelled: ${title}` : `forgotten: ${title}`, false, "jobs-status");
    showJobs();
    if (!live) $("job_n").focus();
    watchJobs();
  } catch (e) { say(e.message, true, "jobs-status"); }
}
async function showMoreJobs() {
  const shown = jobs.length, hold = holdFocus();
  try { await listJobs(moreJobs); } catch (e) { say(e.message, true, "jobs-status"); }
  hold((jobs[shown] || jobs[jobs.length - 1] || {}).title);
}
