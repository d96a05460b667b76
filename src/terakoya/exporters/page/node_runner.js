"use strict";
// Opens a page in Node as a browser would: its own script and its own data, taken out of the HTML file. Reads lines of
// JSON texts and writes one line with predictions and the milliseconds that they took.
const fs = require("fs"), readline = require("readline"), vm = require("vm");

const html = fs.readFileSync(process.argv[2], "utf8");
const block = (opening) => {
  const start = html.indexOf(opening) + opening.length;
  return html.slice(start, html.indexOf("</script>", start));
};
const context = vm.createContext({ TextEncoder });
vm.runInContext(`${block("<script>")};globalThis.opened = (skill, weights) => openSkill(skill, weights, DIGEST);`, context);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
let skill = null;
try {
  skill = context.opened(block('<script type="application/json" id="skill">'), block('<script type="text/plain" id="weights">'));
  say({ version: process.version.slice(1) });
} catch (error) {
  say({ error: error.message });
  process.exit(0);
}
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const started = performance.now(), predictions = JSON.parse(line).map((text) => skill.predict(text));
  say({ predictions, milliseconds: performance.now() - started });
});
