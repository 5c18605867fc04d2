"""What this project uses of cbor2, with ``object`` where the published stubs say ``Any``."""

from collections.abc import Callable, Mapping
from typing import IO

class CBORError(Exception): ...
class CBOREncodeError(CBORError): ...
class CBORDecodeError(CBORError): ...

class CBORTag:
    tag: int
    value: object
    def __init__(self, tag: int, value: object) -> None: ...

class CBORDecoder:
    def __init__(
        self,
        fp: IO[bytes],
        *,
        tag_hook: Callable[[CBORTag, bool], object] | None = ...,
        object_hook: Callable[[Mapping[str, object], bool], object] | None = ...,
        semantic_decoders: Mapping[int, Callable[[object, bool], object]] | None = ...,
        max_depth: int = ...,
        allow_indefinite: bool = ...,
        strict_hashable_types: bool = ...,
    ) -> None: ...
    def decode(self) -> object: ...

def dumps(obj: object) -> bytes: ...
