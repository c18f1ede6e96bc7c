// The TypeScript SDK before its second version.

import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { command, key, url, walk } from "./steps.mjs";

const about = new URL("./node_modules/@modelcontextprotocol/sdk/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(about, "utf8"));
const client = new Client({ name: "planexe-clients", version: "1.0.0" });
const complaints = [];
client.onerror = (error) => complaints.push(error.message);
const requestInit = { headers: { Authorization: `Bearer ${key}` } };
const transport = command
  ? new StdioClientTransport(command)
  : new StreamableHTTPClientTransport(new URL(url), { requestInit });
// The client tells it to its transport alone.
let revision;

await walk(
  { client: "TypeScript SDK 1", version, key: "Authorization" },
  {
    async connect() {
      const say = transport.setProtocolVersion?.bind(transport);
      transport.setProtocolVersion = (version) => {
        revision = version;
        say?.(version);
      };
      await client.connect(transport);
      return revision;
    },
    tools: async () => (await client.listTools()).tools,
    call: (name, args, onprogress) => client.callTool({ name, arguments: args }, undefined, { onprogress }),
    prompts: async () => (await client.listPrompts()).prompts,
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    async close() {
      await client.close();
      // Such as the answer to its GET, which it otherwise keeps to itself.
      if (complaints.length > 0) throw new Error(complaints[0]);
    },
  },
);
