/* What each control does; the last of the modules. */
document.addEventListener("visibilitychange", () => document.hidden || watch());
for (const form of ["form", "way-form"]) $(form).addEventListener("invalid", showFault, true);
$("form").addEventListener("submit", sample);
$("each").addEventListener("click", sheet);
$("chips").addEventListener("click", e => { const b = e.target.closest("button"); if (b) chooseClass(b.dataset.class); });
$("enlarge").addEventListener("change", () => { document.documentElement.dataset.enlarge = $("enlarge").value; });
$("cancel").addEventListener("click", () => running && running.abort());
$("model").addEventListener("change", chooseModel);
$("method").addEventListener("change", chooseMethod);
$("download").addEventListener("click", download);
$("way-form").addEventListener("submit", walk);
$("way-cancel").addEventListener("click", () => walking && walking.abort());
$("slider").addEventListener("input", look);
for (const end of ["a", "b"]) {
  $("big-" + end).addEventListener("click", () => choose(end));
  for (const field of ["_seed", "_index"]) $(end + field).addEventListener("input", () => { ends[end] = null; });
}
$("big-again").addEventListener("click", sampleAgain);
$("big-close").addEventListener("click", () => $("big").close());
$("key").addEventListener("change", () => { caps = null; learn().then(() => say("")).catch(e => say(e.message, true)); });
watch();
