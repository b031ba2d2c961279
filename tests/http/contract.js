// Validates answers against the OpenAPI document with ajv: contract.js OPENAPI ANSWERS, where ANSWERS
// is a list of {method, path, status, type, body}, `path` as the document writes it.
const fs = require("fs");
const Ajv = require("ajv/dist/2020").default;
const [document, answers] = process.argv.slice(2).map((f) => JSON.parse(fs.readFileSync(f, "utf8")));
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema(document, "doc");
const step = (s) => s.replace(/~/g, "~0").replace(/\//g, "~1");
let failed = 0;
for (const a of answers) {
  let at = `doc#/paths/${step(a.path)}/${a.method}/responses/${a.status}`;
  let response = document.paths[a.path][a.method].responses[a.status];
  if (response && response.$ref) {
    at = "doc" + response.$ref;
    response = response.$ref.slice(2).split("/").reduce((o, k) => o[k], document);
  }
  const content = response && response.content && response.content[a.type];
  const name = `${a.method} ${a.path} ${a.status} ${a.type}`;
  if (!content || !content.schema) {
    console.error(`${name}: not in the document`);
    failed++;
    continue;
  }
  const check = ajv.compile({ $ref: encodeURI(`${at}/content/${step(a.type)}/schema`) });
  if (!check(a.body)) {
    console.error(`${name}: ${ajv.errorsText(check.errors)}`);
    failed++;
  }
}
console.log(`${answers.length} answers, ${failed} wrong`);
process.exit(failed || answers.length < 10 ? 1 : 0);
