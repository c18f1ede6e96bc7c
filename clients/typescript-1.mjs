// The TypeScript SDK before its second version.

import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { key, url, walk } from "./steps.mjs";

const about = new URL("./node_modules/@modelcontextprotocol/sdk/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(about, "utf8"));
const client = new Client({ name: "planexe-clients", version: "1.0.0" });
const complaints = [];
client.onerror = (error) => complaints.push(error.message);
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${key}` } },
});

await walk(
  { client: "TypeScript SDK 1", version, key: "Authorization" },
  {
    async connect() {
      await client.connect(transport);
      return transport.protocolVersion;
    },
    tools: async () => (await client.listTools()).tools,
    call: (name, args) => client.callTool({ name, arguments: args }),
    prompts: async () => (await client.listPrompts()).prompts,
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    async close() {
      await client.close();
      // Such as the answer to its GET, which it otherwise keeps to itself.
      if (complaints.length > 0) throw new Error(complaints[0]);
    },
  },
);
