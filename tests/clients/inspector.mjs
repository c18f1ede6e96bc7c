// The command line of the MCP Inspector: a process for each request. The mode is its --protocol-era.

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { command, key, mode, url, walk } from "./steps.mjs";

const folder = fileURLToPath(new URL("./node_modules/@modelcontextprotocol/inspector", import.meta.url));
const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
// It keeps files in the home folder.
const home = mkdtempSync(join(tmpdir(), "inspector."));
process.on("exit", () => rmSync(home, { recursive: true, force: true }));

/** Its options for the server. */
const server = command
  ? ["--config", configuration(), "--server", "planexe"]
  : [url, "--transport", "http", "--header", `X-API-Key: ${key}`, "--stored-auth-only"];

/** A file that names the process to start, of the form that most clients share. */
function configuration() {
  const file = join(home, "mcp.json");
  const { stderr, ...planexe } = command;
  writeFileSync(file, JSON.stringify({ mcpServers: { planexe } }));
  return file;
}

/** Its exit status for a result with `isError`. */
const TOOL_ERROR = 5;

/** Runs it once; the result that it prints, and how it ended. */
function inspect(method, ...options) {
  const program = join(folder, "clients/launcher/build/index.js");
  const args = [program, "--cli", ...server, "--protocol-era", mode, "--format", "json", "--method", method, ...options];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { env: { ...process.env, HOME: home } }, (error, stdout, stderr) => {
      const status = error ? error.code : 0;
      if (status !== 0 && status !== TOOL_ERROR) {
        reject(new Error(`${method} ends with ${status}: ${stderr.trim() || stdout.trim()}`));
        return;
      }
      resolve({ status, result: JSON.parse(stdout).result });
    });
  });
}

await walk(
  { client: "Inspector CLI", version, key: "X-API-Key" },
  {
    connect: async () => (await inspect("initialize")).result.protocolVersion,
    // --strict: fails on schemas that some clients refuse.
    tools: async () => (await inspect("tools/list", "--strict")).result.tools,
    async call(name, args) {
      const options = ["--tool-name", name, "--tool-args-json", JSON.stringify(args)];
      const { status, result } = await inspect("tools/call", ...options);
      if ((status === TOOL_ERROR) !== (result.isError === true)) throw new Error(`isError, but it ends with ${status}`);
      return result;
    },
    prompts: async () => (await inspect("prompts/list")).result.prompts,
    async prompt(name, args) {
      const pairs = Object.entries(args).map(([argument, value]) => `${argument}=${value}`);
      return (await inspect("prompts/get", "--prompt-name", name, "--prompt-args", ...pairs)).result;
    },
    async close() {},
    isBrief: true,
  },
);
