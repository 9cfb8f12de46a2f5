// Turns a core WebAssembly module into a component of the world `caxton:tool/tool`, or of another one.
// Usage: node componentize.mjs <tool.wit> <core.wasm> <component.wasm> [world]
import { readFile, writeFile } from "node:fs/promises";
import { componentEmbed, componentNew } from "@bytecodealliance/jco-transpile/wasm-tools";

const [witPath, corePath, componentPath, world = "tool"] = process.argv.slice(2);
const embedded = await componentEmbed({
  binary: await readFile(corePath),
  witSource: await readFile(witPath, "utf8"),
  world,
});
await writeFile(componentPath, await componentNew(embedded));
