// Classify images with the service, in Node 20 or newer: node examples/client.mjs serving/static/ship.png
// In a browser the same lines work, with the File of an <input type="file">.
import { openAsBlob } from "node:fs";
import { basename } from "node:path";

const service = process.env.SERVICE ?? "http://127.0.0.1:8000";
const headers = process.env.API_KEY ? { "X-API-Key": process.env.API_KEY } : {};

const body = new FormData();
for (const path of process.argv.slice(2)) {
  body.append("image", await openAsBlob(path), basename(path));
}
const response = await fetch(`${service}/predict`, { method: "POST", headers, body });
const answer = await response.json();
if (!response.ok) {
  console.error(answer.detail);
  process.exit(1);
}
for (const { filename, models } of answer.predictions) {
  for (const { model, class: found, confidence } of models) {
    console.log(`${filename}: ${found} (${(100 * confidence).toFixed(1)}%) by ${model}`);
  }
}
