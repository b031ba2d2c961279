"""The same as coroutines: each call runs in a thread of the loop's executor, so nothing waits."""
import asyncio
import ssl
from typing import Any, AsyncIterator, Dict, List, Optional, Sequence, Union

from ._client import Client, End, Event, Image, Latent, Likelihood

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

    async def encode(self, images: Union[bytes, Sequence[bytes]], **fields: Any) -> List[Latent]:
        return await asyncio.to_thread(self._client.encode, images, **fields)

    async def encode_array(self, images: Any, **query: Any) -> Any:
        return await asyncio.to_thread(self._client.encode_array, images, **query)

    async def decode(self, latents: Union[bytes, Latent, Sequence[Union[bytes, Latent]]], **fields: Any) -> List[Image]:
        return await asyncio.to_thread(self._client.decode, latents, **fields)

    async def decode_array(self, latents: Any, **query: Any) -> Any:
        return await asyncio.to_thread(self._client.decode_array, latents, **query)

    async def interpolate(self, a: End, b: End, frames: int = 10, **fields: Any) -> List[Image]:
        return await asyncio.to_thread(self._client.interpolate, a, b, frames, **fields)

    async def likelihood(self, images: Union[bytes, Sequence[bytes]], **fields: Any) -> List[Likelihood]:
        return await asyncio.to_thread(self._client.likelihood, images, **fields)

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
