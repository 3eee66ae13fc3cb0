// SPDX-License-Identifier: Apache-2.0
// encode.mjs FOLDER: a JSON array of texts on standard input; for each a line with the ids that the
// tokenizer.json of the folder gives, and the text that they give back. No special tokens are added.
import { TokenizerLoader } from "@lenml/tokenizers";
import { readFileSync } from "node:fs";

const read = (name) => JSON.parse(readFileSync(`${process.argv[2]}/${name}`, "utf8"));
const tokenizer = TokenizerLoader.fromPreTrained({
  tokenizerJSON: read("tokenizer.json"),
  tokenizerConfig: read("tokenizer_config.json"),
});
const lines = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  const ids = tokenizer.encode(text, { add_special_tokens: false });
  const back = tokenizer.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  lines.push(JSON.stringify({ ids: Array.from(ids, Number), back }));
}
process.stdout.write(lines.join("\n") + "\n");
