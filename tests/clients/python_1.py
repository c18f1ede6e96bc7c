"""The Python SDK before its second version."""

import asyncio
from importlib.metadata import version

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from steps import KEY, URL, WAY, command, walk


class Adapter:
    def __init__(self, session):
        self.session = session

    async def tools(self):
        return [tool.model_dump() for tool in (await self.session.list_tools()).tools]

    async def call(self, name, arguments, progress=None):
        result = await self.session.call_tool(name, arguments, progress_callback=progress)
        return result.model_dump(mode="json")

    async def prompts(self):
        return [prompt.model_dump() for prompt in (await self.session.list_prompts()).prompts]

    async def prompt(self, name, arguments):
        return (await self.session.get_prompt(name, arguments)).model_dump(mode="json")


async def connect(use):
    if WAY == "http":
        transport = streamablehttp_client(URL, headers={"API_KEY": KEY})
    else:
        transport = stdio_client(StdioServerParameters(**command()))
    async with transport as (read, write, *_):
        async with ClientSession(read, write) as session:
            result = await session.initialize()
            await use(str(result.protocolVersion), Adapter(session))


asyncio.run(walk({"client": "Python SDK 1", "version": version("mcp"), "key": "API_KEY"}, connect))
