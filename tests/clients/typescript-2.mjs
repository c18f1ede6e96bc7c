// The TypeScript SDK from its second version on. The mode is legacy, auto, or a revision to hold on to.

import { readFileSync } from "node:fs";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { command, key, mode, url, walk } from "./steps.mjs";

const about = new URL("./node_modules/@modelcontextprotocol/client/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(about, "utf8"));
const client = new Client(
  { name: "planexe-clients", version: "1.0.0" },
  { versionNegotiation: { mode: ["legacy", "auto"].includes(mode) ? mode : { pin: mode } } },
);
const complaints = [];
client.onerror = (error) => complaints.push(error.message);
const requestInit = { headers: { "X-API-Key": key } };
const transport = command
  ? new StdioClientTransport(command)
  : new StreamableHTTPClientTransport(new URL(url), { requestInit });

await walk(
  { client: "TypeScript SDK 2", version, key: "X-API-Key" },
  {
    async connect() {
      await client.connect(transport);
      return client.getNegotiatedProtocolVersion();
    },
    tools: async () => (await client.listTools()).tools,
    call: (name, args, onprogress) => client.callTool({ name, arguments: args }, { onprogress }),
    prompts: async () => (await client.listPrompts()).prompts,
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    async close() {
      await client.close();
      // Such as the answer to its GET, which it otherwise keeps to itself.
      if (complaints.length > 0) throw new Error(complaints[0]);
    },
  },
);
