"""The Python SDK before its second version."""

import asyncio
from importlib.metadata import version

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from steps import KEY, URL, walk


class Adapter:
    def __init__(self, session):
        self.session = session

    async def tools(self):
        return [tool.model_dump() for tool in (await self.session.list_tools()).tools]

    async def call(self, name, arguments):
        return (await self.session.call_tool(name, arguments)).model_dump(mode="json")

    async def prompts(self):
        return [prompt.model_dump() for prompt in (await self.session.list_prompts()).prompts]

    async def prompt(self, name, arguments):
        return (await self.session.get_prompt(name, arguments)).model_dump(mode="json")


async def connect(use):
    async with streamablehttp_client(URL, headers={"API_KEY": KEY}) as (read, write, _):
        async with ClientSession(read, write) as session:
            result = await session.initialize()
            await use(str(result.protocolVersion), Adapter(session))


asyncio.run(walk({"client": "Python SDK 1", "version": version("mcp"), "key": "API_KEY"}, connect))
