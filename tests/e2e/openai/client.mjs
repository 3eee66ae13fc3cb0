// SPDX-License-Identifier: Apache-2.0
// Drives sluiced with the official OpenAI client: client.mjs BASE_URL API_KEY FOLDER, where FOLDER
// has the client in its node_modules. Prints one JSON object with what the client made of it all.
import { createRequire } from "node:module";
import { join } from "node:path";

const [baseURL, apiKey, folder] = process.argv.slice(2);
const { default: OpenAI } = createRequire(join(folder, "package.json"))("openai");
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const story = { prompt: "Once upon a time", max_tokens: 20, temperature: 0 };

// The name and the fields of the error that `work` fails with.
async function errorOf(work) {
  try {
    await work();
  } catch (error) {
    const { status, code, param, type, message } = error;
    return { name: error.constructor.name, status, code, param, type, message };
  }
  return null;
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const models = [];
for await (const model of client.models.list()) models.push(model);
const model = models[0].id;

const result = {
  models,
  model: await client.models.retrieve(model),
  completion: await client.completions.create({ model, ...story }),
  chunks: await collect(await client.completions.create({ model, ...story, stream: true })),
  chunksWithUsage: await collect(
    await client.completions.create({
      model,
      ...story,
      stream: true,
      stream_options: { include_usage: true },
    }),
  ),
  stopped: await client.completions.create({ model, ...story, max_tokens: 60, stop: ["."] }),
  badField: await errorOf(() => client.completions.create({ model, ...story, temperature: 9 })),
  badModel: await errorOf(() => client.completions.create({ ...story, model: "gpt-9" })),
  badKey: await errorOf(() =>
    new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list(),
  ),
  badPath: await errorOf(() =>
    client.chat.completions.create({ model, messages: [{ role: "user", content: "Hi" }] }),
  ),
};

// Leaving a stream early must not disturb the next request.
const early = await client.completions.create({ model, ...story, max_tokens: 400, stream: true });
for await (const chunk of early) {
  result.early = chunk.choices[0].text;
  break;
}
result.afterEarly = (await client.completions.create({ model, ...story })).choices[0].text;

console.log(JSON.stringify(result));
