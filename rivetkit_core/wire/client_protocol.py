"""The client protocol: what crosses the wire between a client and an actor (client-protocol 2, 3, 4).

    json   text          envelope_json
    cbor   binary        envelope_cbor
    bare   binary        envelope_bare, versions 1 to 4

``Codec`` hides the difference. Payloads are CBOR bytes on the inside in every encoding; only JSON changes
them on the way. An absent metadata or response is None, a null one in BARE is ``NULL``.
"""

from __future__ import annotations

from typing import Protocol

from rivetkit_core.wire.envelope_bare import BareEnvelope
from rivetkit_core.wire.envelope_cbor import CborEnvelope
from rivetkit_core.wire.envelope_json import JsonEnvelope
from rivetkit_core.wire.messages import (
    PROTOCOL_VERSION,
    Encoding,
    HttpError,
    QueueSendRequest,
    QueueSendResponse,
    ToClient,
    ToServer,
)


class _Envelope(Protocol):
    def encode_to_client(self, message: ToClient) -> bytes: ...
    def decode_to_client(self, data: bytes) -> ToClient: ...
    def encode_to_server(self, message: ToServer) -> bytes: ...
    def decode_to_server(self, data: bytes) -> ToServer: ...
    def encode_action_request(self, args: bytes) -> bytes: ...
    def decode_action_request(self, data: bytes) -> bytes: ...
    def encode_action_response(self, output: bytes) -> bytes: ...
    def decode_action_response(self, data: bytes) -> bytes: ...
    def encode_queue_request(self, request: QueueSendRequest) -> bytes: ...
    def decode_queue_request(self, data: bytes) -> QueueSendRequest: ...
    def encode_queue_response(self, response: QueueSendResponse) -> bytes: ...
    def decode_queue_response(self, data: bytes) -> QueueSendResponse: ...
    def encode_http_error(self, failure: HttpError) -> bytes: ...
    def decode_http_error(self, data: bytes) -> HttpError: ...


class Codec:
    """Encodes and decodes the messages of one peer. Every method raises only ``ProtocolError``.

    Args:
        encoding: The peer's choice.
        version: Client protocol version BARE messages are written in. Having decoded a message of a lower
            version, the codec writes that one from then on; json and cbor carry no version.
    """

    def __init__(self, encoding: Encoding, version: int = PROTOCOL_VERSION) -> None:
        self.encoding = encoding
        self._envelope: _Envelope
        match encoding:
            case Encoding.JSON:
                self._envelope = JsonEnvelope()
            case Encoding.CBOR:
                self._envelope = CborEnvelope()
            case Encoding.BARE:
                self._envelope = BareEnvelope(version)

    @property
    def version(self) -> int:
        """The version messages are written in now; two codecs of one encoding and version write the same."""
        envelope = self._envelope
        return envelope.version if isinstance(envelope, BareEnvelope) else PROTOCOL_VERSION

    def encode_to_client(self, message: ToClient) -> bytes:
        """One connection message from the actor; JSON is UTF-8 to be sent as a text frame."""
        return self._envelope.encode_to_client(message)

    def decode_to_client(self, data: bytes) -> ToClient:
        return self._envelope.decode_to_client(data)

    def encode_to_server(self, message: ToServer) -> bytes:
        """One connection message from the client."""
        return self._envelope.encode_to_server(message)

    def decode_to_server(self, data: bytes) -> ToServer:
        """Read a connection message; the arguments of an action come back as an array, whatever was sent."""
        return self._envelope.decode_to_server(data)

    def encode_action_request(self, args: bytes) -> bytes:
        """Body of ``POST /action/{name}``; ``args`` is a CBOR array."""
        return self._envelope.encode_action_request(args)

    def decode_action_request(self, data: bytes) -> bytes:
        """The arguments as a CBOR array: empty for null or none, one element for anything but an array."""
        return self._envelope.decode_action_request(data)

    def encode_action_response(self, output: bytes) -> bytes:
        return self._envelope.encode_action_response(output)

    def decode_action_response(self, data: bytes) -> bytes:
        return self._envelope.decode_action_response(data)

    def encode_queue_request(self, request: QueueSendRequest) -> bytes:
        """Body of ``POST /queue/{name}``. BARE has it since version 3."""
        return self._envelope.encode_queue_request(request)

    def decode_queue_request(self, data: bytes) -> QueueSendRequest:
        return self._envelope.decode_queue_request(data)

    def encode_queue_response(self, response: QueueSendResponse) -> bytes:
        return self._envelope.encode_queue_response(response)

    def decode_queue_response(self, data: bytes) -> QueueSendResponse:
        return self._envelope.decode_queue_response(data)

    def encode_http_error(self, failure: HttpError) -> bytes:
        """Body of an error answer; BARE below version 4 leaves the actor out."""
        return self._envelope.encode_http_error(failure)

    def decode_http_error(self, data: bytes) -> HttpError:
        return self._envelope.decode_http_error(data)
