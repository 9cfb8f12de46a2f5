// Turns a core WebAssembly module into a component of the world caxton:agent/agent.
// Usage: node componentize.mjs <agent.wit> <core.wasm> <component.wasm>
import { readFile, writeFile } from "node:fs/promises";
import { componentEmbed, componentNew } from "@bytecodealliance/jco-transpile/wasm-tools";

const [witPath, corePath, componentPath] = process.argv.slice(2);
const embedded = await componentEmbed({
  binary: await readFile(corePath),
  witSource: await readFile(witPath, "utf8"),
  world: "agent",
});
await writeFile(componentPath, await componentNew(embedded));
