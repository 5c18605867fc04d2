"""Sans-IO codecs: bytes to messages and back. No await, no clock, no sockets, no logging of payloads.

Everything here raises ``ProtocolError`` and nothing else on malformed input, in time and memory bounded
by the input's length. Payloads (arguments, outputs, event arguments, metadata) are CBOR bytes throughout.
"""
