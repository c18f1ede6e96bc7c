"""The Python SDK from its second version on. The mode is auto, legacy, or a revision to hold on to."""

import asyncio
from importlib.metadata import version

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from steps import KEY, MODE, URL, WAY, command, walk


def wire(model):
    return model.model_dump(mode="json", by_alias=True)


class Adapter:
    def __init__(self, client):
        self.client = client

    async def tools(self):
        return [wire(tool) for tool in (await self.client.list_tools()).tools]

    async def call(self, name, arguments, progress=None):
        return wire(await self.client.call_tool(name, arguments, progress_callback=progress))

    async def prompts(self):
        return [wire(prompt) for prompt in (await self.client.list_prompts()).prompts]

    async def prompt(self, name, arguments):
        return wire(await self.client.get_prompt(name, arguments))


async def connect(use):
    async with create_mcp_http_client(headers={"Authorization": f"Bearer {KEY}"}) as http:
        if WAY == "http":
            transport = streamable_http_client(URL, http_client=http)
        else:
            transport = stdio_client(StdioServerParameters(**command()))
        async with Client(transport, mode=MODE) as client:
            await use(client.protocol_version, Adapter(client))


asyncio.run(walk({"client": "Python SDK 2", "version": version("mcp"), "key": "Authorization"}, connect))
