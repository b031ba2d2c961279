"""Client of pfgmd. See README.md; the contract is the server's /openapi.json."""
from ._answers import Event, Image, Job, Latent, Likelihood
from ._client import Client
from ._async import AsyncClient
from ._errors import (DeadlineExceeded, Forbidden, InvalidParameter, NotFound, NumericalFailure, PfgmdError,
                      QuotaExceeded, Unauthenticated, Unavailable)

__version__ = "0.1.0"  # as in pyproject.toml
__all__ = ["AsyncClient", "Client", "DeadlineExceeded", "Event", "Forbidden", "Image", "InvalidParameter", "Job",
           "Latent", "Likelihood", "NotFound", "NumericalFailure", "PfgmdError", "QuotaExceeded", "Unauthenticated", "Unavailable"]
