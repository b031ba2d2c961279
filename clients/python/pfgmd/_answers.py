"""What a server answers, as values."""
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple, Union


@dataclass(frozen=True)
class Image:
    """One image: the PNG file and how it came about."""
    index: int
    seed: int
    png: bytes = field(repr=False)
    sha256: str
    nfe: int
    label: Optional[int] = None  #: its class, where the model knows classes
    url: Optional[str] = None    #: where the server gives it again
    warnings: Tuple[str, ...] = ()  #: what is wrong with the solver that was asked for, such as too few steps
    class_name: Optional[str] = None  #: the name of that class; None where it has none, or is of all data

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.png

    def save(self, path: "os.PathLike[str] | str") -> None:
        with open(path, "wb") as f:
            f.write(self.png)

    def to_pil(self) -> Any:
        """A PIL.Image.Image; needs Pillow."""
        import io
        import PIL.Image
        return PIL.Image.open(io.BytesIO(self.png))


@dataclass(frozen=True)
class Latent:
    """A point on the plane where the flow begins."""
    index: int
    npy: bytes = field(repr=False)  #: an NPY file, float32 [1,C,H,W]
    nfe: int

    def to_numpy(self) -> Any:
        """A numpy array float32 [C,H,W]; needs numpy."""
        import io
        import numpy
        return numpy.load(io.BytesIO(self.npy), allow_pickle=False)[0]


@dataclass(frozen=True)
class Likelihood:
    """How likely a model holds one image to be."""
    index: int
    bits_per_dimension: float
    log_likelihood: float  #: natural logarithm of the density in data scale
    nfe: int
    seed: int              #: of the probes, and of the noise that bytes get


#: An end of an interpolation: (seed, index), the bytes of a PNG, a Latent or the bytes of an NPY.
End = Union[Tuple[int, int], bytes, Latent]


@dataclass(frozen=True)
class Event:
    """A server-sent event: queued, started, progress, preview, image, done, failed or cancelled."""
    kind: str
    data: Dict[str, Any]
    id: Optional[int] = None  #: by which a reader of a job goes on


@dataclass(frozen=True)
class Job:
    """Work that a server keeps, as it was when it was asked for."""
    id: str
    state: str  #: queued, running, cancelling, succeeded, failed or cancelled
    images_done: int
    images_total: int
    data: Dict[str, Any] = field(repr=False)  #: the whole answer

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled")
