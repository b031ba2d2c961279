"""The same as coroutines: each call runs in a thread of the loop's executor, so nothing waits."""
import asyncio
import ssl
from typing import Any, AsyncIterator, Dict, List, Optional

from ._client import Client, Event, Image

_END = object()


class AsyncClient:
    """As Client, with coroutines."""

    def __init__(self, address: str = "http://127.0.0.1:8080", key: Optional[str] = None, timeout: float = 300.0,
                 retries: int = 3, context: Optional[ssl.SSLContext] = None) -> None:
        self._client = Client(address, key, timeout, retries, context)

    async def images(self, n: int = 1, **fields: Any) -> List[Image]:
        return await asyncio.to_thread(self._client.images, n, **fields)

    async def image(self, seed: int, index: int = 0, **query: Any) -> bytes:
        return await asyncio.to_thread(self._client.image, seed, index, **query)

    async def array(self, n: int = 1, **fields: Any) -> Any:
        return await asyncio.to_thread(self._client.array, n, **fields)

    async def save(self, path: str, n: int = 1, **fields: Any) -> None:
        await asyncio.to_thread(self._client.save, path, n, **fields)

    async def events(self, n: int = 1, **fields: Any) -> AsyncIterator[Event]:
        source = self._client.events(n, **fields)
        try:
            while True:
                event = await asyncio.to_thread(next, source, _END)
                if event is _END:
                    return
                yield event  # type: ignore[misc]
        finally:
            source.close()  # type: ignore[attr-defined]

    async def models(self) -> List[Dict[str, Any]]:
        return await asyncio.to_thread(self._client.models)

    async def model(self, name: str) -> Dict[str, Any]:
        return await asyncio.to_thread(self._client.model, name)

    async def capabilities(self) -> Dict[str, Any]:
        return await asyncio.to_thread(self._client.capabilities)

    async def live(self) -> bool:
        return await asyncio.to_thread(self._client.live)

    async def ready(self) -> bool:
        return await asyncio.to_thread(self._client.ready)

    async def wait_ready(self, timeout: float = 60.0) -> None:
        await asyncio.to_thread(self._client.wait_ready, timeout)
