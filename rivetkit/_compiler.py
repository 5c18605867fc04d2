"""From an annotated class to the core's ``ActorFactory``: the only place that knows both sides."""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from pydantic import ValidationError as Misfit

from rivetkit._actor import Actor
from rivetkit._authoring import InvalidActor
from rivetkit._checks import check
from rivetkit._connection import Conn
from rivetkit._context import ClientFactory
from rivetkit._instance import Blueprint, CompiledInstance, StateBlueprint
from rivetkit._members import (
    FoundInitial,
    actions,
    annotation,
    attribute,
    events,
    initials,
    queues,
    resources,
)
from rivetkit._queue import Queue
from rivetkit._signature import checked_adapter
from rivetkit._state import StateSlot
from rivetkit._state_versions import ladder_of
from rivetkit._validation import UNSET, Adapter
from rivetkit_core.actor.factory import ActionSpec, ActorFactory, ActorInstance, QueueSpec, RetrySpec
from rivetkit_core.config import ActorConfig

if typing.TYPE_CHECKING:
    from rivetkit_core.actor.context import ActorContext


def wire_name(cls: type[Actor]) -> str:
    """What clients call the actor: ``@actor(name=...)``, else the class name with a small first letter.

    A subclass does not inherit the name.
    """
    given: str | None = vars(cls).get("__rivet_name__")
    return given or cls.__name__[:1].lower() + cls.__name__[1:]


def compile_actor(cls: type[Actor], *, client_factory: ClientFactory | None = None) -> ActorFactory:
    """Check a class and make its factory. ``client_factory`` makes ``self.ctx.client`` on first use.

    Raises:
        InvalidActor: The class cannot work; the message says what to write instead.
    """
    check(cls)
    params, state = _connections(cls)
    blueprint = Blueprint(
        actor_class=cls,
        name=wire_name(cls),
        actions={found.name: found for found in actions(cls)},
        queues={queue.name: queue.reference() for queue in queues(cls)},
        events={event.name: event.reference() for event in events(cls)},
        state=_state(cls),
        conn_params=params,
        conn_state=state,
        default_vars=_default_vars(cls),
        resources=resources(cls),
        client_factory=client_factory,
    )

    def create(context: ActorContext) -> ActorInstance:
        return CompiledInstance(blueprint, context)

    specs = {name: ActionSpec(found.durability, found.timeout) for name, found in blueprint.actions.items()}
    config = ActorConfig.from_input(cls.__rivet_options__)
    declared = {queue.name: _queue_spec(queue) for queue in queues(cls)}
    return ActorFactory(name=blueprint.name, create=create, actions=specs, queues=declared, config=config)


def _queue_spec(queue: Queue[Any, Any]) -> QueueSpec:
    retries = queue.retries
    return QueueSpec(
        delay=queue.delay,
        retries=None if retries is None else RetrySpec(retries.attempts, retries.delay, retries.max_delay),
        dead_letter=None if queue.dead_letter is None else queue.dead_letter.name,
        deduplicate=None if queue.deduplicate is None else queue.deduplicate.window,
    )


def _state(cls: type[Actor]) -> StateBlueprint | None:
    declared = annotation(cls, "state")
    if declared is None:
        if attribute(cls, "state") is not UNSET:
            raise InvalidActor(f"{cls.__name__}.state has no type: write `state: int = 0`, with its own type")
        return None
    adapter = checked_adapter(declared, f"{cls.__name__}.state")
    initial = next(iter(initials(cls)), None)
    if initial is not None:
        _check_result(cls, declared, initial)
    make = _no_default if initial is not None else _maker(cls, declared, adapter)
    return StateBlueprint(_type_name(declared), adapter, ladder_of(declared), initial, make)


def _check_result(cls: type[Actor], declared: object, initial: FoundInitial) -> None:
    returned = initial.codec.signature.result_type
    if not (isinstance(declared, type) and isinstance(returned, type)):
        return
    if typing.get_origin(declared) or typing.get_origin(returned):
        return
    if not (issubclass(returned, declared) or issubclass(declared, returned)):
        raise InvalidActor(
            f"{initial.where} returns {returned.__name__}, but the state of "
            f"{cls.__name__} is {declared.__name__}: make them agree"
        )


def _maker(cls: type[Actor], declared: object, adapter: Adapter) -> Callable[[], object]:
    slot = attribute(cls, "state")
    default = slot.default if isinstance(slot, StateSlot) else UNSET
    if default is not UNSET:
        make: Callable[[], object] = partial(copy.deepcopy, default)
    else:
        make = cast("Callable[[], object]", typing.get_origin(declared) or declared)
    try:
        adapter.validate_python(make())
    except Exception as reason:
        raise InvalidActor(
            f"The runtime cannot make the first state of {cls.__name__}: "
            f"{_first_line(reason)}. Give `state: {_type_name(declared)}` a default that fits, give every "
            f"field of its type one, or write a @create_state method."
        ) from reason
    return make


def _no_default() -> object:
    return None


def _connections(cls: type[Actor]) -> tuple[Adapter, Adapter]:
    declared = annotation(cls, "conn")
    if declared is None:
        return checked_adapter(object, "conn"), checked_adapter(object, "conn")
    if (typing.get_origin(declared) or declared) is not Conn:
        raise InvalidActor(
            f"`conn` of {cls.__name__} is {_type_name(declared)}: write `conn: Conn[Params, State]`, with "
            f"the types of the connection's parameters and state, or None"
        )
    arguments: tuple[object, ...] = typing.get_args(declared)
    params, state = (*arguments, None, None)[:2]
    state_adapter = checked_adapter(state, f"the connection state of {cls.__name__}")
    if cls.create_conn_state is Actor.create_conn_state and not _accepts_none(state_adapter):
        raise InvalidActor(
            f"Connections of {cls.__name__} have a state, {_type_name(state)}, that nothing makes: write "
            f"`async def create_conn_state(self, params: ...) -> {_type_name(state)}`"
        )
    return checked_adapter(params, f"the connection parameters of {cls.__name__}"), state_adapter


def _default_vars(cls: type[Actor]) -> object:
    default = attribute(cls, "vars")
    made_by_hook = cls.create_vars is not Actor.create_vars
    if default is UNSET and not made_by_hook:
        declared = annotation(cls, "vars")
        if declared is not None and declared is not type(None):
            raise InvalidActor(
                f"Nothing makes the vars of {cls.__name__}: write `async def create_vars(self) -> "
                f"{_type_name(declared)}`, or give `vars` a default"
            )
    return default


def _accepts_none(adapter: Adapter) -> bool:
    try:
        adapter.validate_python(None)
    except Misfit:
        return False
    return True


def _type_name(declared: object) -> str:
    return declared.__name__ if isinstance(declared, type) else str(declared)


def _first_line(reason: Exception) -> str:
    if isinstance(reason, Misfit):
        return "; ".join(f"{'.'.join(map(str, found['loc']))} {found['msg']}" for found in reason.errors())
    return str(reason).splitlines()[0] if str(reason) else type(reason).__name__
