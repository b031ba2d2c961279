"""The same as coroutines: each call runs in a thread of the loop's executor, so the loop never waits. Cancelling a
coroutine stops its call: the connection is shut down, the thread comes free, and the server drops the work."""
import asyncio
import contextvars
import ssl
from typing import Any, AsyncIterator, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, TypeVar, Union

from ._answers import End, Event, Image, Job, Latent, Likelihood
from ._client import CALL, Call, Client

_END = object()
_T = TypeVar("_T")


async def _threaded(call: Call, work: Callable[..., _T], *args: Any, **fields: Any) -> _T:
    """What `work` returns, in a thread whose call is `call`."""
    context = contextvars.copy_context()
    context.run(CALL.set, call)
    try:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: context.run(work, *args, **fields))
    except asyncio.CancelledError:
        call.stop()
        raise


async def _each(source: Iterator[_T]) -> AsyncIterator[_T]:
    call = Call()
    try:
        while True:
            item = await _threaded(call, next, source, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]
    finally:
        call.stop()  # not source.close(): after a cancellation a thread may still be inside of it, and closes it


class AsyncClient:
    """As Client, with coroutines."""

    def __init__(self, address: str = "http://127.0.0.1:8080", key: Optional[str] = None, timeout: float = 300.0,
                 retries: int = 3, context: Optional[ssl.SSLContext] = None, patience: float = 60.0) -> None:
        self._client = Client(address, key, timeout, retries, context, patience)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: Any) -> None:
        """Nothing is kept open between calls."""

    async def images(self, n: int = 1, **fields: Any) -> List[Image]:
        return await _threaded(Call(), self._client.images, n, **fields)

    async def image(self, seed: int, index: int = 0, **query: Any) -> bytes:
        return await _threaded(Call(), self._client.image, seed, index, **query)

    async def array(self, n: int = 1, **fields: Any) -> Any:
        return await _threaded(Call(), self._client.array, n, **fields)

    async def save(self, path: str, n: int = 1, **fields: Any) -> None:
        await _threaded(Call(), self._client.save, path, n, **fields)

    def events(self, n: int = 1, **fields: Any) -> AsyncIterator[Event]:
        return _each(self._client.events(n, **fields))

    async def submit(self, n: int = 1, id: Optional[str] = None, **fields: Any) -> Job:
        return await _threaded(Call(), self._client.submit, n, id, **fields)

    async def job(self, id: str) -> Job:
        return await _threaded(Call(), self._client.job, id)

    def jobs(self, state: Optional[str] = None) -> AsyncIterator[Job]:
        return _each(self._client.jobs(state))

    async def wait(self, id: str, timeout: Optional[float] = None) -> Job:
        return await _threaded(Call(), self._client.wait, id, timeout)

    def job_events(self, id: str, after: int = 0) -> AsyncIterator[Event]:
        return _each(self._client.job_events(id, after))

    async def job_image(self, id: str, place: int, kind: str = "") -> bytes:
        return await _threaded(Call(), self._client.job_image, id, place, kind)

    async def archive(self, id: str, path: str) -> None:
        await _threaded(Call(), self._client.archive, id, path)

    async def cancel(self, id: str) -> Job:
        return await _threaded(Call(), self._client.cancel, id)

    async def forget(self, id: str) -> None:
        await _threaded(Call(), self._client.forget, id)

    async def encode(self, images: Union[bytes, Sequence[bytes]], **fields: Any) -> List[Latent]:
        return await _threaded(Call(), self._client.encode, images, **fields)

    async def encode_array(self, images: Any, **query: Any) -> Any:
        return await _threaded(Call(), self._client.encode_array, images, **query)

    async def decode(self, latents: Union[bytes, Latent, Sequence[Union[bytes, Latent]]], **fields: Any) -> List[Image]:
        return await _threaded(Call(), self._client.decode, latents, **fields)

    async def decode_array(self, latents: Any, **query: Any) -> Any:
        return await _threaded(Call(), self._client.decode_array, latents, **query)

    async def interpolate(self, a: End, b: End, frames: int = 10, **fields: Any) -> List[Image]:
        return await _threaded(Call(), self._client.interpolate, a, b, frames, **fields)

    async def edit(self, image: Union[bytes, Tuple[int, int]], n: int = 1, strength: Optional[float] = None,
                   mask: Optional[bytes] = None, **fields: Any) -> List[Image]:
        return await _threaded(Call(), self._client.edit, image, n, strength, mask, **fields)

    async def likelihood(self, images: Union[bytes, Sequence[bytes]], **fields: Any) -> List[Likelihood]:
        return await _threaded(Call(), self._client.likelihood, images, **fields)

    async def models(self) -> List[Dict[str, Any]]:
        return await _threaded(Call(), self._client.models)

    async def model(self, name: str) -> Dict[str, Any]:
        return await _threaded(Call(), self._client.model, name)

    async def capabilities(self) -> Dict[str, Any]:
        return await _threaded(Call(), self._client.capabilities)

    async def live(self) -> bool:
        return await _threaded(Call(), self._client.live)

    async def ready(self) -> bool:
        return await _threaded(Call(), self._client.ready)

    async def wait_ready(self, timeout: float = 60.0) -> None:
        await _threaded(Call(), self._client.wait_ready, timeout)
