// What every client in JavaScript is put through: the same steps as in steps.py and rmcp_client.rs.
// Each step prints one line of JSON.

import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

/** How long a client may take for everything. */
const LIMIT = 120_000;
/** How often a client asks for the state of a task. */
const POLL = 100;
/** Those that are listed where mcp_tools is not set. */
const TOOLS = ["prompt_examples", "task_create", "task_status", "task_stop", "task_file_info"];

/** What the program was called with: its server, the server's key, and the way there with the mode of the client. */
const [given] = process.argv.slice(3);
export const [url] = process.argv.slice(2);
export const key = process.env.MCP_KEY;
/** The way: over HTTP, or through a process, which is the server or a bridge to it. */
const [, way = "http", rest] = /^(?:(stdio|bridge)(?:-|$))?(.*)$/.exec(given);
export const mode = rest;
/** The process to start, where the way is one. */
export const command =
  way === "http"
    ? undefined
    : {
        command: process.env.STDIO,
        args: way === "bridge" ? ["--url", url] : ["--project", process.env.PROJECT, "--step", "10"],
        env: { PLANEXE_PATH: process.env.PLANS, ...(way === "bridge" ? { PLANEXE_MCP_API_KEY: key } : {}) },
        stderr: "inherit",
      };

const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

function check(holds, what) {
  if (!holds) throw new Error(what);
}

function say(line) {
  console.log(JSON.stringify(line));
}

/** Prints what a step comes to; whether it went well. */
async function step(name, work) {
  try {
    say({ step: name, ok: true, ...(await work()) });
    return true;
  } catch (error) {
    say({ step: name, ok: false, why: String(error?.message ?? error) });
    return false;
  }
}

/** The result of a call that went well: text and structure say the same. */
function good(result) {
  check(result.isError !== true, `the call failed: ${JSON.stringify(result.content)}`);
  const structured = result.structuredContent;
  const text = result.content.find((part) => part.type === "text")?.text;
  check(structured && typeof structured === "object", "no structuredContent");
  check(isDeepStrictEqual(JSON.parse(text), structured), "text and structuredContent differ");
  return structured;
}

/** Fetches a file as a browser does, without the key, and compares it with its description. */
async function download({ ready, download_url, download_size, sha256 }) {
  check(ready, "the file of a completed task is not ready");
  const response = await fetch(download_url);
  check(response.status === 200, `the download answers ${response.status}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  check(bytes.length === download_size, "the download has another size");
  check(createHash("sha256").update(bytes).digest("hex") === sha256, "the download has another SHA-256");
}

/** Compares a file that was saved with its description. */
function check_saved({ saved_path, download_size, sha256 }) {
  const bytes = readFileSync(saved_path);
  check(bytes.length === download_size, "the saved file has another size");
  check(createHash("sha256").update(bytes).digest("hex") === sha256, "the saved file has another SHA-256");
}

/**
 * Puts a client through all steps. `about` names it: client, version, and the header that it sends the key in.
 * `client` can connect() (the revision that was agreed on), tools(), call(name, arguments, progress), prompts(),
 * prompt(name, arguments) and close(); `progress` is called with the percentage. A client
 * that `isBrief` starts a process for each request, and tells no progress.
 */
export async function walk(about, client) {
  const limit = setTimeout(() => {
    say({ step: "end", ok: false, why: `not done after ${LIMIT / 1000} seconds` });
    process.exit(1);
  }, LIMIT);
  const place = { http: about.key, stdio: "none", bridge: "environment" }[way];
  say({ step: "start", ok: true, ...about, mode: given, key: place });
  if (await step("connect", async () => ({ revision: await client.connect() }))) {
    await step("list", async () => {
      const tools = await client.tools();
      const names = tools.map((tool) => tool.name);
      for (const name of command ? [...TOOLS, "task_download"] : TOOLS) check(names.includes(name), `${name} is not listed`);
      for (const tool of tools) {
        const types = [tool.inputSchema?.type, tool.outputSchema?.type];
        check(types.every((type) => type === "object"), `${tool.name} lacks a schema`);
      }
    });
    await step("good", async () => {
      check(good(await client.call("prompt_examples", {})).samples.length > 0, "no examples");
    });
    await step("bad", async () => {
      const result = await client.call("task_create", { speed_vs_detail: "slow" });
      check(result.isError === true, "wrong arguments are not seen as an error");
      check(result.structuredContent?.error?.code === "INVALID_ARGUMENT", "the error has another code");
    });
    await step("prompt", async () => {
      const names = (await client.prompts()).map((prompt) => prompt.name);
      check(names.includes("plan_project"), "plan_project is not listed");
      const { messages } = await client.prompt("plan_project", { goal: "Open a bakery in Lyon" });
      check(messages[0].content.text.includes("bakery"), "the prompt does not have its argument");
    });
    const prompt = `Open a bakery. ${randomUUID()}`;
    const request = { prompt, speed_vs_detail: "ping", client_request_id: randomUUID() };
    let task_id;
    await step("plan", async () => {
      ({ task_id } = good(await client.call("task_create", request)));
      let state = "pending";
      while (state === "pending" || state === "running") {
        await sleep(POLL);
        ({ state } = good(await client.call("task_status", { task_id })));
      }
      check(state === "completed", `the task is ${state}`);
      for (const artifact of ["report", "zip"]) {
        const info = good(await client.call("task_file_info", { task_id, artifact }));
        // A link leads to its process, which has ended where each request has one of its own.
        if (way !== "stdio" || !client.isBrief) await download(info);
      }
    });
    await step("retry", async () => {
      const again = good(await client.call("task_create", request));
      check(task_id && again.task_id === task_id && again.repeated === true, "a repeated call made a second task");
    });
    if (command) {
      await step("save", async () => {
        const { task_id } = good(await client.call("task_create", { prompt: `Open a café. ${randomUUID()}` }));
        const told = [];
        const wait = { task_id, wait_seconds: LIMIT / 1000 };
        const saved = good(await client.call("task_download", wait, ({ progress }) => told.push(progress)));
        check_saved(saved);
        check(client.isBrief || told.length > 0, "no progress is told");
        check(told.every((value, at) => at === 0 || value > told[at - 1]), "the progress goes back");
        check(good(await client.call("task_download", { task_id })).already_saved, "the file is saved twice");
        check_saved(good(await client.call("task_download", { task_id, artifact: "zip" })));
      });
    }
    await step("end", () => client.close());
  }
  clearTimeout(limit);
}
