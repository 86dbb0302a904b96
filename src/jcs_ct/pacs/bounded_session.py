"""HTTP with peers that may answer anything: no redirects, which may lead anywhere, and no answer without end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import requests

_LONGEST_S = 3600.0


class BoundedSession(requests.Session):
    """A session that goes where it was sent, and reads what it can bear.

    Args:
        most: Bytes of an answer, unpacked.
        longest_s: That an answer may take.
    """

    def __init__(self, most: int, longest_s: float = _LONGEST_S) -> None:
        super().__init__()
        self.trust_env = False  # no proxy and no password of the environment, either
        self._most = most
        self._longest_s = longest_s

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads.

        Raises:
            TooManyRedirects: Elsewhere.
        """
        if super().get_redirect_target(resp) is not None:
            raise requests.TooManyRedirects("the peer leads elsewhere; expected its answer: give the URL itself")
        return None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request; the answer is read piece by piece."""
        streamed = kwargs.pop("stream", False)
        response = super().send(request, stream=True, **kwargs)
        response.raw = _Bounded(response.raw, self._most, time.monotonic() + self._longest_s)
        if not streamed:
            _ = response.content
        return response


class _Bounded:
    """The body of an answer, up to a limit."""

    def __init__(self, raw: Any, most: int, deadline: float) -> None:
        self._raw = raw
        self._most = most
        self._deadline = deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, size: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """Pieces of the body.

        Raises:
            ChunkedEncodingError: It is too long, or takes too long.
        """
        left = self._most
        for chunk in self._raw.stream(size, decode_content=decode_content):
            left -= len(chunk)
            if left < 0 or time.monotonic() > self._deadline:
                self._raw.close()
                raise requests.exceptions.ChunkedEncodingError("the answer has no end, or takes too long")
            yield chunk
