/* The form as it stands, as a request in the languages that people use; and the page's foot. */
const quoted = text => "'" + text.replace(/'/g, "'\\''") + "'"; /* for a shell */
const CODE = {
  curl({ body, address, key }) {
    const [accept, file] = body.n > 1 ? ["application/zip", "images.zip"] : ["image/png", "image.png"];
    return `curl -H 'Content-Type: application/json' -H 'Accept: ${accept}'` + (key ? ' -H "Authorization: Bearer $PFGM_KEY"' : "") +
      ` \\\n  -d ${quoted(JSON.stringify(body))} \\\n  -o ${file} ${quoted(address + "images")}`;
  },
  /* A text of JSON is also one of Python and of JavaScript. */
  Python({ body, address, key }) {
    return "import base64, json" + (key ? ", os" : "") + ", urllib.request\n\n" +
      `body = ${JSON.stringify(JSON.stringify(body))}\n` +
      `headers = {"Content-Type": "application/json"` + (key ? `, "Authorization": "Bearer " + os.environ["PFGM_KEY"]` : "") + "}\n" +
      `request = urllib.request.Request(${JSON.stringify(address + "images")}, body.encode(), headers)\n` +
      "for image in json.load(urllib.request.urlopen(request))[\"images\"]:\n" +
      "    with open(f\"{image['index']}.png\", \"wb\") as f:\n        f.write(base64.b64decode(image[\"b64\"]))\n";
  },
  JavaScript({ body, address, key }) {
    return `const answer = await fetch(${JSON.stringify(address + "images")}, {\n  method: "POST",\n` +
      `  headers: { "Content-Type": "application/json"` + (key ? ", Authorization: `Bearer ${key}`" : "") + " },\n" +
      `  body: JSON.stringify(${JSON.stringify(body)}),\n});\n` +
      "const { images } = await answer.json();\nconst sources = images.map(image => \"data:image/png;base64,\" + image.b64);\n";
  },
  /* This interface names the class by the prompt, makes ten images at most, and knows steps and no other part of a solver. */
  OpenAI({ body, address, key }) {
    const label = body.class != null ? models[body.model].labels[body.class] : "", steps = (body.solver || {}).steps;
    const more = { ...(body.seed && { seed: body.seed }), ...(steps && { steps }) };
    return "import base64" + (key ? ", os" : "") + "\nfrom openai import OpenAI\n\n" +
      `client = OpenAI(base_url=${JSON.stringify(address.replace(/\/$/, ""))}, api_key=${key ? 'os.environ["PFGM_KEY"]' : '"none"'})\n` +
      `answer = client.images.generate(model=${JSON.stringify(body.model)}, prompt=${JSON.stringify(label)}, n=${Math.min(body.n, 10)}, ` +
      `response_format="b64_json"${Object.keys(more).length ? ", extra_body=" + JSON.stringify(more) : ""})\n` +
      "for i, image in enumerate(answer.data):\n    with open(f\"{i}.png\", \"wb\") as f:\n        f.write(base64.b64decode(image.b64_json))\n";
  },
};
function showCode() {
  if (!caps || !$("code-box").open) return;
  const { preview_every: _, ...body } = order();
  if (!$("seed").value.trim()) delete body.seed; /* the server draws it */
  $("code").textContent = CODE[$("code-kind").value]({ body, address: url("v1/"), key: !$("key-row").hidden });
}
/* From the foot of the page, in either view. */
function showApi() {
  if (isField()) {
    addEventListener("hashchange", showApi, { once: true }); /* after the page's own */
    location.hash = $("to-sample").hash;
    return;
  }
  $("code-box").open = true;
  $("code-box").scrollIntoView({ block: "center" });
  $("code-kind").focus();
}
async function copy(text, said, where) {
  try {
    await navigator.clipboard.writeText(text);
    say(said, false, where);
    return true;
  } catch { return false; }
}
async function copyCode() {
  if (await copy($("code").textContent, "The code is copied.")) return;
  getSelection().selectAllChildren($("code"));
  say("This browser lets no page copy: the code is selected, and you can copy it yourself.");
}
async function showFoot() {
  for (const a of document.querySelectorAll("footer a")) a.href = url(a.dataset.path);
  const { version } = await json("version").catch(() => ({}));
  if (version) $("version").textContent = "pfgmd " + version;
}
