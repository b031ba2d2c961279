// OpenAI's own client, unchanged, against the daemon. ADDRESS and MODULES as in page.mjs.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(process.env.MODULES + "/");
const OpenAI = require("openai");
const client = new OpenAI({ apiKey: "unused", baseURL: process.env.ADDRESS + "/v1", maxRetries: 0 });
const png = bytes => assert.deepEqual([...bytes.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);

test("models are listed", async () => {
  const models = await client.models.list();
  assert.equal(models.data[0].object, "model");
  assert.ok(models.data[0].created > 1.6e9);
  assert.equal((await client.models.retrieve(models.data[0].id)).id, models.data[0].id);
});

test("images come as base64", async () => {
  const answer = await client.images.generate({ prompt: "", n: 2, response_format: "b64_json", size: "auto" });
  assert.equal(answer.data.length, 2);
  for (const image of answer.data) png(Buffer.from(image.b64_json, "base64"));
  assert.equal(answer.pfgm.prompt, "absent");
});

test("a prompt names a class, or its error says which there are", async () => {
  for (const [prompt, label] of [["two sneakers on a table", "Sneaker"], ["T-shirt", "T-shirt/top"], ["ANKLE BOOTS", "Ankle boot"]]) {
    const answer = await client.images.generate({ prompt, seed: 7 });
    assert.deepEqual([answer.pfgm.prompt, answer.data[0].revised_prompt], ["class", label]);
  }
  await assert.rejects(client.images.generate({ prompt: "a dragon" }),
    e => e instanceof OpenAI.UnprocessableEntityError && e.param === "prompt" && e.message.includes("T-shirt/top, Trouser"));
});

test("images come as links to the same bytes", async () => {
  const both = ["b64_json", "url"].map(response_format => client.images.generate({ prompt: "", seed: 7, first_index: 3, response_format }));
  const [inlined, linked] = await Promise.all(both);
  const bytes = Buffer.from(await (await fetch(linked.data[0].url)).arrayBuffer());
  png(bytes);
  assert.equal(bytes.toString("base64"), inlined.data[0].b64_json);
});

test("errors are of its classes", async () => {
  await assert.rejects(client.images.generate({ prompt: "bag", n: 11 }), e => e instanceof OpenAI.UnprocessableEntityError && e.param === "n");
  await assert.rejects(client.images.generate({ prompt: "bag", model: "dall-e-3" }), e => e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
  await assert.rejects(client.images.generate({ prompt: "bag", size: "1024x1024" }), e => e instanceof OpenAI.UnprocessableEntityError && e.param === "size");
  await assert.rejects(client.images.generate({ prompt: "bag", steps: 0 }), e => e instanceof OpenAI.UnprocessableEntityError && e.type === "invalid_request_error");
});

test("edits and variations begin with a picture", async () => {
  const [made] = (await client.images.generate({ prompt: "bag", seed: 7 })).data;
  const file = async name => OpenAI.toFile(Buffer.from(made.b64_json, "base64"), name, { type: "image/png" });
  const edited = await client.images.edit({ image: await file("image.png"), prompt: "a sneaker", n: 2, seed: 3 });
  assert.deepEqual(edited.data.map(d => d.revised_prompt), ["Sneaker", "Sneaker"]);
  const listed = await client.images.edit({ image: [await file("image.png")], prompt: "a sneaker", n: 2, seed: 3 });
  assert.deepEqual(listed.data.map(d => d.b64_json), edited.data.map(d => d.b64_json));
  const varied = await client.images.createVariation({ image: await file("image.png"), n: 2, size: "28x28", response_format: "b64_json" });
  for (const image of [...edited.data, ...varied.data]) png(Buffer.from(image.b64_json, "base64"));
  await assert.rejects(client.images.edit({ image: await file("image.png"), prompt: "a dragon" }),
    e => e instanceof OpenAI.UnprocessableEntityError && e.param === "prompt");
  await assert.rejects(client.images.edit({ image: await file("image.png"), mask: await file("mask.png"), prompt: "" }),
    e => e instanceof OpenAI.UnprocessableEntityError && e.param === "mask" && e.message.includes("transparency"));
});

test("a route that is not there says so", async () => {
  for (const ask of [() => client.files.list(), () => client.chat.completions.create({ model: "x", messages: [] })])
    await assert.rejects(ask(), e => e instanceof OpenAI.NotFoundError && e.message.includes("there is nothing at /v1/"));
});
