// What code written for the Node SDK's `client.videos` does: every operation, errors as typed exceptions, webhooks.
//
//     node check_sdk.mjs BASE_URL KEY OTHER_KEY SAMPLES WEBHOOK_SECRET DELIVERIES
//
// Prints what it did as JSON; any surprise ends it.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

// The SDK lies where the tests installed it, which is where they run this.
const require = createRequire(path.join(process.cwd(), "package.json"));
const { default: OpenAI, toFile } = await import(pathToFileURL(require.resolve("openai")).href).then((module) =>
  module.default?.default ? { ...module.default, default: module.default.default } : module,
);

const [baseURL, apiKey, otherKey, samples, webhookSecret, deliveries] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, webhookSecret });
const other = new OpenAI({ baseURL, apiKey: otherKey, maxRetries: 0 });
const stranger = new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 });
const short = { seconds: "1", size: "48x32" };
const sample = (name) => fs.createReadStream(path.join(samples, name));

async function poll(id) {
  for (;;) {
    const { data, response } = await client.videos.retrieve(id).withResponse();
    if (data.status === "completed" || data.status === "failed") return data;
    const wait = Number(response.headers.get("openai-poll-after-ms"));
    assert(Number.isInteger(wait) && wait > 0);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

async function expectError(kind, call, { code, param, words = [] } = {}) {
  await assert.rejects(call, (error) => {
    assert.equal(error.constructor, kind, String(error));
    assert(error.requestID && error.error.message && error.type, String(error));
    if (code) assert.equal(error.code, code);
    if (param) assert.equal(error.param, param);
    for (const word of words) assert(error.message.includes(word), error.message);
    return true;
  });
}

const first = await client.videos.create({ prompt: "a red ball falls", ...short, seed: 7 });
assert.equal(first.object, "video");
assert(["queued", "in_progress"].includes(first.status));
const video = await poll(first.id);
assert.equal(video.status, "completed");
assert.equal(video.progress, 100);
assert.equal(video.seconds, "1");

const pictured = await client.videos.create({ prompt: "it moves", input_reference: sample("first.png"), ...short });
assert.equal((await poll(pictured.id)).status, "completed");
const dataURL = `data:image/png;base64,${fs.readFileSync(path.join(samples, "first.png")).toString("base64")}`;
const named = await client.videos.create({ prompt: "it moves", input_reference: { image_url: dataURL }, ...short });
assert.equal((await poll(named.id)).status, "completed");
await expectError(
  OpenAI.BadRequestError,
  () => client.videos.create({ prompt: "x", input_reference: sample("wide.png"), ...short }),
  { param: "input_reference", words: ["64x32", "48x32"] },
);

const starts = { video: [4, "ftyp"], thumbnail: [8, "WEBP"], spritesheet: [0, "\xff\xd8\xff"] };
for (const [variant, [start, magic]] of Object.entries(starts)) {
  const response = await client.videos.downloadContent(video.id, { variant });
  const data = Buffer.from(await response.arrayBuffer());
  assert.equal(data.subarray(start, start + magic.length).toString("latin1"), magic);
}

const made = [
  await client.videos.remix(video.id, { prompt: "a green ball falls" }),
  await client.videos.edit({ prompt: "at night", video: sample("clip.mp4") }),
  await client.videos.edit({ prompt: "at night", video: { id: video.id } }),
  await client.videos.extend({ prompt: "it rolls on", seconds: "1", video: await toFile(sample("clip.mp4"), "x") }),
  await client.videos.extend({ prompt: "it rolls on", seconds: "2", video: { id: video.id } }),
];
assert.equal(made[0].remixed_from_video_id, video.id);
assert.deepEqual([made[3].seconds, made[4].seconds], ["2", "3"]);
for (const one of made) assert.equal((await poll(one.id)).status, "completed");

const character = await client.videos.createCharacter({ name: "Bo", video: sample("clip.mp4") });
assert.equal((await client.videos.getCharacter(character.id)).name, "Bo");

const ids = [];
for await (const one of client.videos.list({ limit: 2 })) ids.push(one.id);
assert(ids.length >= 8 && new Set(ids).size === ids.length);
const rising = [];
for await (const one of client.videos.list({ limit: 3, order: "asc" })) rising.push(one.id);
assert.deepEqual(rising.reverse(), ids);

await expectError(OpenAI.AuthenticationError, () => stranger.videos.retrieve(video.id));
await expectError(OpenAI.NotFoundError, () => other.videos.retrieve(video.id));
await expectError(OpenAI.BadRequestError, () => client.videos.create({ prompt: "x", size: "huge" }), { param: "size" });
await expectError(OpenAI.BadRequestError, () => client.videos.create({ prompt: "" }), { param: "prompt" });

const gone = await client.videos.delete(pictured.id);
assert.deepEqual([gone.id, gone.deleted, gone.object], [pictured.id, true, "video.deleted"]);
await expectError(OpenAI.NotFoundError, () => client.videos.retrieve(pictured.id));

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert(models.includes("sora-2"));

const told = [];
for (const { headers, body } of JSON.parse(fs.readFileSync(deliveries, "utf8"))) {
  const event = await client.webhooks.unwrap(body, headers);
  told.push([event.type, event.data.id]);
  await assert.rejects(client.webhooks.unwrap(body.replace("video_", "video-"), headers));
}
console.log(JSON.stringify({ videos: [video.id, ...made.map((one) => one.id)], told }));
