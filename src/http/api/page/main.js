/* What each control does; the last of the modules. */
document.addEventListener("visibilitychange", () => { if (!document.hidden) { watch(); watchJobs(); } });
for (const id of ["form", "way-form", "jobs-form", "edit-form"]) {
  $(id).addEventListener("invalid", e => showFault(e), true);
  $(id).addEventListener("click", () => checkDigits($(id)), true);
}
$("form").addEventListener("submit", sample);
$("each").addEventListener("click", sheet);
$("chips").addEventListener("click", e => { const b = e.target.closest("button"); if (b) { chooseClass(b.dataset.class); keepSettings(); } });
for (const id of ["form", "theme"]) $(id).addEventListener("change", () => { if (caps) keepSettings(); showSettings(); });
dark.addEventListener("change", showSettings);
addEventListener("hashchange", event => {
  const view = showView(event);
  if (view === "field" || (run && view === "back")) return;
  if (run && location.hash === run.link) { readLink(); say(""); return; } /* what was made stands there still */
  linked = ""; watchJobs();
  followLink().then(followed => { if (!followed && caps) greet(); });
});
$("jobs-form").addEventListener("submit", fileJob);
$("jobs-more").addEventListener("click", showMoreJobs);
$("copy").addEventListener("click", copyLink);
for (const event of ["input", "change", "click"]) $("form").addEventListener(event, () => setTimeout(showCode)); /* after what the event does */
$("file").addEventListener("change", () => { if ($("file").files[0]) takeFile($("file").files[0]).finally(() => { $("file").value = ""; }); });
addEventListener("dragover", e => e.preventDefault());
addEventListener("drop", e => {
  e.preventDefault();
  const [file] = e.dataTransfer.files;
  if (file && !$("file-row").hidden) takeFile(file);
});
$("code-box").addEventListener("toggle", showCode);
$("to-code").addEventListener("click", showApi);
$("code-copy").addEventListener("click", copyCode);
showFoot();
$("forget").addEventListener("click", () => { $("version").focus(); store.set("runs", []); showRuns(); }); /* what follows it has the focus */
$("enlarge").value = store.get("settings", {}).enlarge ?? "";
$("theme").value = store.get("settings", {}).theme ?? "";
showSettings();
showRuns();
showView();
$("cancel").addEventListener("click", () => running && running.abort());
$("model").addEventListener("change", chooseModel);
$("method").addEventListener("change", chooseMethod);
$("download").addEventListener("click", download);
$("way-form").addEventListener("submit", walk);
$("way-cancel").addEventListener("click", () => walking && walking.abort());
$("slider").addEventListener("input", () => { pause(); look(); });
$("play").addEventListener("click", playWay);
$("film").addEventListener("click", saveFilm);
for (const end of ["a", "b"]) {
  $("big-" + end).addEventListener("click", () => choose(end));
  for (const field of ["_seed", "_index"]) $(end + field).addEventListener("input", () => unchoose(end));
  $(end + "_face").src = BLANK;
}
$("big-again").addEventListener("click", sampleAgain);
$("big-before").addEventListener("click", () => step(-1));
$("big-after").addEventListener("click", () => step(1));
$("big").addEventListener("keydown", e => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
  if (by && e.target.type !== "range") step(by);
});
$("moment").addEventListener("input", scrub);
$("nfe").addEventListener("input", () => { $("nfe-said").textContent = $("nfe").value; });
$("nfe").addEventListener("change", compare);
$("big-use").addEventListener("click", useSettings);
$("big-close").addEventListener("click", () => $("big").close());
$("key").addEventListener("change", () => { caps = null; jobs = []; listed = 0; learn().then(() => { say(""); watchJobs(); }).catch(e => say(e.message, true)); });
watch();
