"""A scripted engine: speaks the envoy protocol to a host under test, in memory or over real sockets."""

from rivetkit_core.testing.engine.actors import ActorState as ActorState
from rivetkit_core.testing.engine.actors import ScriptedActor as ScriptedActor
from rivetkit_core.testing.engine.client_sockets import ScriptedClientSocket as ScriptedClientSocket
from rivetkit_core.testing.engine.engine import RecordedEvent as RecordedEvent
from rivetkit_core.testing.engine.engine import ScriptedEngine as ScriptedEngine
from rivetkit_core.testing.engine.links import ScriptedDialer as ScriptedDialer
from rivetkit_core.testing.engine.links import ScriptedEnvoyLink as ScriptedEnvoyLink
from rivetkit_core.testing.engine.response import ProtocolViolation as ProtocolViolation
from rivetkit_core.testing.engine.response import ResponseCut as ResponseCut
from rivetkit_core.testing.engine.response import ScriptedResponse as ScriptedResponse
from rivetkit_core.testing.engine.server import ScriptedEngineServer as ScriptedEngineServer
from rivetkit_core.testing.engine.settings import EngineSettings as EngineSettings
from rivetkit_core.testing.engine.traffic import Traffic as Traffic

__all__ = [
    "ActorState",
    "EngineSettings",
    "ProtocolViolation",
    "RecordedEvent",
    "ResponseCut",
    "ScriptedActor",
    "ScriptedClientSocket",
    "ScriptedDialer",
    "ScriptedEngine",
    "ScriptedEngineServer",
    "ScriptedEnvoyLink",
    "ScriptedResponse",
    "Traffic",
]
