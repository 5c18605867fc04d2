"""Mistakes in an actor class that checkers cannot see or authors may not have run.

Each check raises ``InvalidActor`` saying what to write instead. They run at registration, so that a
mistake never waits for the first client.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from typing import Any, cast

from rivetkit._action import Action
from rivetkit._action_group import ActionGroup
from rivetkit._actor import Actor
from rivetkit._amounts import is_seconds
from rivetkit._authoring import InvalidActor
from rivetkit._connection import Conn
from rivetkit._contract import Contract
from rivetkit._event import Event
from rivetkit._members import (
    FoundAction,
    Member,
    actions,
    attribute,
    authored_bases,
    events,
    groups,
    initials,
    members,
    queues,
    raw_annotation,
)
from rivetkit._queue import Queue
from rivetkit._queue_options import Deduplicate, Retry
from rivetkit._resource import Resource
from rivetkit._signature import hints_of, nested_types, signature_of
from rivetkit._state import Initial, StateSlot
from rivetkit._stub import Stub
from rivetkit._validation import UNSET, resolve
from rivetkit_core.config import Durability

HOOK_ARGUMENTS = {
    "create_vars": 0,
    "create_conn_state": 1,
    "on_create": 0,
    "on_migrate": 1,
    "on_sleep": 0,
    "run": 0,
    "on_wake": 0,
    "on_destroy": 0,
    "on_state_change": 0,
    "on_before_connect": 1,
    "on_connect": 1,
    "on_disconnect": 1,
    "on_request": 1,
    "on_websocket": 1,
    "create_app": 0,
    "on_before_subscribe": 1,
    "can_subscribe": 1,
    "can_publish": 1,
    "on_before_action_response": 3,
}
RESERVED = frozenset({"ctx", "state", "vars", "conn", *HOOK_ARGUMENTS})
_DECLARATIONS = (Action, ActionGroup, Event, Queue, Initial, Resource)
_LIKENESS = {"on_": 0.75, "create_": 0.75, "can_": 0.85}
_LOOSE: tuple[object, ...] = (object, Any, Conn, Conn[Any, Any])


def check(cls: type[Actor]) -> None:
    """Refuse a class that cannot work.

    Raises:
        InvalidActor: The first mistake found.
    """
    _check_class(cls)
    for member in members(cls):
        _check_reserved(cls, member)
        _check_unmade(cls, member)
        _check_hook(cls, member)
        _check_override(cls, member)
    _check_annotated_declarations(cls)
    _check_raw_hooks(cls)
    _check_actions(cls)
    _check_events(cls)
    _check_queues(cls)
    _check_groups(cls)
    _check_initials(cls)
    if cls.create_vars is not Actor.create_vars:
        _check_one_maker(cls, "vars", "create_vars")
    if raw_annotation(cls, "conn") is None:
        _check_untyped_connections(cls)


def _check_class(cls: object) -> None:
    if not isinstance(cls, type):
        raise InvalidActor(_explain_no_class(cls))
    if not issubclass(cls, Actor):
        raise InvalidActor(f"{cls.__name__} is not an actor: write `class {cls.__name__}(Actor)`")
    if issubclass(cls, Stub):
        raise InvalidActor(f"{cls.__name__} is a stub, which stands for a remote actor; register the actor")
    try:
        inspect.signature(cls).bind()
    except TypeError as mismatch:
        raise InvalidActor(
            f"{cls.__name__} cannot be made without arguments ({mismatch}). The runtime makes one on every "
            f"start: take first values in @create_state, and make resources in `async def create_vars(self)`."
        ) from None


def _explain_no_class(given: object) -> str:
    if isinstance(given, Actor):
        name = type(given).__name__
        return f"a registry takes classes, and the runtime makes the actors: write {name}, not {name}()"
    if isinstance(given, list | tuple | set):
        return "a registry takes its classes one by one: write Registry(*actors), not Registry(actors)"
    return f"{given!r} is not an actor class"


def _check_reserved(cls: type[Actor], member: Member) -> None:
    name = member.attribute
    if name == "ctx" or (name in RESERVED and isinstance(member.value, _DECLARATIONS)):
        raise InvalidActor(
            f"{cls.__name__}.{name} takes a name the runtime uses. Rename the attribute; an action or event "
            f'keeps its name for clients with `name="{name}"`.'
        )


def _check_unmade(cls: type[Actor], member: Member) -> None:
    kind: object = typing.get_origin(member.value) or member.value
    if not isinstance(kind, type) or not issubclass(kind, Event | Queue | ActionGroup):
        return
    if kind.__name__ == member.attribute:  # a class written inside the actor's body
        return
    written = inspect.formatannotation(member.value).removeprefix(f"{kind.__module__}.")
    raise InvalidActor(
        f"{cls.__name__}.{member.attribute} is a type, not a declaration: write "
        f"`{member.attribute} = {written}()`, with parentheses"
    )


def _check_hook(cls: type[Actor], member: Member) -> None:
    name = member.attribute
    if not callable(member.value) or isinstance(member.value, _DECLARATIONS):
        return
    if name not in HOOK_ARGUMENTS:
        _check_near_miss(cls, name)
        return
    if inspect.isasyncgenfunction(member.value):
        raise InvalidActor(f"{cls.__name__}.{name} is a hook, and hooks do not yield: take the `yield` out")
    if not inspect.iscoroutinefunction(member.value):
        raise InvalidActor(f"{cls.__name__}.{name} is a hook, and hooks are async: write `async def {name}`")
    count = HOOK_ARGUMENTS[name]
    try:
        inspect.signature(member.value).bind(*[None] * (count + 1))
    except TypeError:
        noun = "argument" if count == 1 else "arguments"
        written = str(inspect.signature(getattr(Actor, name))).replace("'", "").replace(", /", "")
        raise InvalidActor(
            f"{cls.__name__}.{name} has to accept {count} {noun} after self: write "
            f"`async def {name}{written}`"
        ) from None


def _check_raw_hooks(cls: type[Actor]) -> None:
    hooks = [name for name in ("on_request", "on_websocket") if attribute(cls, name) is not UNSET]
    if hooks and attribute(cls, "create_app") is not UNSET:
        raise InvalidActor(
            f"{cls.__name__}.{hooks[0]} would never run, since create_app answers everything: declare one of "
            f"them, or add a route to the application"
        )


def _check_near_miss(cls: type[Actor], name: str) -> None:
    prefix = next((prefix for prefix in _LIKENESS if name.startswith(prefix)), None)
    if prefix is None:
        return
    if name == "create_state":
        raise InvalidActor(f"{cls.__name__}.create_state would never run: decorate it with @create_state")
    near = difflib.get_close_matches(name, HOOK_ARGUMENTS, n=1, cutoff=_LIKENESS[prefix])
    if near:
        raise InvalidActor(
            f"{cls.__name__}.{name} is not a hook, so it would never run: did you mean {near[0]}? If it is a "
            f"method of yours, give it a name that does not start with {prefix}."
        )


def _check_override(cls: type[Actor], member: Member) -> None:
    if isinstance(member.value, Action):
        if issubclass(member.owner, Contract) and not issubclass(member.owner, Actor):
            raise InvalidActor(
                f"{cls.__name__} does not implement the action {member.attribute!r} of its contract "
                f"{member.owner.__name__}"
            )
        return
    hidden = any(isinstance(vars(base).get(member.attribute), Action) for base in authored_bases(cls))
    if hidden:
        raise InvalidActor(
            f"{member.owner.__name__}.{member.attribute} overrides an action but is none itself, so clients "
            f"could no longer call it: decorate it with @action"
        )


def _check_annotated_declarations(cls: type[Actor]) -> None:
    for base in authored_bases(cls):
        for name, written in inspect.get_annotations(base).items():
            if name in RESERVED or attribute(cls, name) is not UNSET:
                continue
            kind = _declaration(written, base)
            if kind is not None:
                raise InvalidActor(
                    f"{base.__name__}.{name} is annotated but never made: write `{name} = {kind}()` "
                    f"in place of `{name}: {kind}`"
                )


def _declaration(written: object, owner: type[object]) -> str | None:
    text = written if isinstance(written, str) else inspect.formatannotation(written)
    try:
        found = resolve(written, owner.__module__, nested_types(owner))
    except NameError:
        return text if text.startswith(("Event[", "Queue[")) else None
    origin: object = typing.get_origin(found) or found
    if isinstance(origin, type) and issubclass(origin, Event | Queue | ActionGroup):
        return text.removeprefix(f"{origin.__module__}.").removeprefix(f"{owner.__module__}.")
    return None


def _check_actions(cls: type[Actor]) -> None:
    seen: dict[str, str] = {}
    for found in actions(cls):
        _check_name(found.name, found.where)
        if found.name in seen:
            raise InvalidActor(
                f"{seen[found.name]} and {found.where} are both called {found.name!r} by clients: give one "
                f"another name with `@action(name=...)`"
            )
        seen[found.name] = found.where
        signature_of(found.function)
        _check_options(found)


def _check_options(found: FoundAction) -> None:
    durability: object = found.durability
    if durability not in (None, *typing.get_args(Durability)):
        raise InvalidActor(f"{found.where} has durability={durability!r}; it is 'throttled' or 'strict'")
    timeout = cast("object", found.timeout)
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise InvalidActor(f"{found.where} has timeout={timeout!r}; it is a number of seconds above 0")


def _check_events(cls: type[Actor]) -> None:
    seen: set[str] = set()
    for event in events(cls):
        _check_name(event.name, f"an event of {cls.__name__}")
        if event.name in seen:
            raise InvalidActor(
                f"Two events of {cls.__name__} are called {event.name!r} by clients: give one another name "
                f"with `Event[...](name=...)`"
            )
        seen.add(event.name)
        _ = event.codec.adapter


def _check_queues(cls: type[Actor]) -> None:
    seen: set[str] = set()
    for queue in queues(cls):
        _check_name(queue.name, f"a queue of {cls.__name__}")
        if queue.name in seen:
            raise InvalidActor(
                f"Two queues of {cls.__name__} are called {queue.name!r} by clients: give one another name "
                f"with `Queue[...](name=...)`"
            )
        seen.add(queue.name)
        _check_queue_options(cls, queue)
        _check_dead_letter(cls, queue)
        _ = queue.codec.body
        if queue.codec.has_reply:
            _ = queue.codec.reply


def _check_queue_options(cls: type[Actor], queue: Queue[Any, Any]) -> None:
    where = f"{cls.__name__}.{queue.name}"
    delay, retries, deduplicate = (
        cast("object", given) for given in (queue.delay, queue.retries, queue.deduplicate)
    )
    if delay is not None and not is_seconds(delay):
        raise InvalidActor(f"{where} has delay={delay!r}; it is a number of seconds, at least 0")
    if retries is not None and not isinstance(retries, Retry):
        raise InvalidActor(f"{where} has retries={retries!r}; write `retries=Retry(attempts=3)`")
    if deduplicate is not None and not isinstance(deduplicate, Deduplicate):
        raise InvalidActor(
            f"{where} has deduplicate={deduplicate!r}; write `deduplicate=Deduplicate(by=...)`, with what "
            f"makes the key of a message"
        )


def _check_dead_letter(cls: type[Actor], queue: Queue[Any, Any]) -> None:
    where = f"{cls.__name__}.{queue.name}"
    dead = queue.dead_letter
    if dead is None:
        return
    if queue.retries is None:
        raise InvalidActor(f"{where} has dead letters but no retries: write `retries=Retry(attempts=1)`")
    declared = queues(cls)
    if not any(dead is other for other in declared) or dead is queue:
        raise InvalidActor(
            f"The dead letters of {where} need a queue of their own: declare it on {cls.__name__}"
        )
    if dead.codec.message_type != queue.codec.message_type:
        raise InvalidActor(
            f"The messages of {where} would not fit into {cls.__name__}.{dead.name}, its dead letters: "
            f"declare both with the same type"
        )
    if sum(dead is other.dead_letter for other in declared) > 1:
        raise InvalidActor(f"{where} shares its dead letters with another queue: redrive could not part them")


def _check_name(name: str, where: str) -> None:
    if not name.strip("."):
        raise InvalidActor(f"{where} has an empty name: leave `name=` out or give it one")


def _check_groups(cls: type[Actor]) -> None:
    for group in groups(cls):
        declared = events(group)
        if declared:
            raise InvalidActor(
                f"{group.__name__}.{declared[0].name} is an event in a group of actions: declare it on "
                f"{cls.__name__} and broadcast with `self.actor.{declared[0].name}`"
            )


def _check_initials(cls: type[Actor]) -> None:
    declared = initials(cls)
    if len(declared) > 1:
        names = " and ".join(initial.where for initial in declared)
        raise InvalidActor(
            f"{cls.__name__} has {len(declared)} @create_state methods, {names}; an actor has "
            f"one state: keep one"
        )
    if not declared:
        return
    where = declared[0].where
    _check_one_maker(cls, "state", declared[0].function.__name__)
    if raw_annotation(cls, "state") is None:
        raise InvalidActor(
            f"{where} makes a state, but {cls.__name__} does not say which: write `state: ...` with the type "
            f"it returns, at the top of the class"
        )
    signature_of(declared[0].function)


def _check_one_maker(cls: type[Actor], attribute: str, maker: str) -> None:
    """A default beside the method that makes a value, or below it, would be ignored without a word."""
    for base in authored_bases(cls):
        default = vars(base).get(attribute, UNSET)
        if default is not UNSET and not (isinstance(default, StateSlot) and default.default is UNSET):
            raise InvalidActor(
                f"{base.__name__}.{attribute} has a default, and {maker} of {cls.__name__} makes it as well: "
                f"keep one of them"
            )
        if maker in vars(base):
            return


def _check_untyped_connections(cls: type[Actor]) -> None:
    for name in ("on_before_connect", "create_conn_state", "on_connect", "on_disconnect"):
        hook = getattr(cls, name)
        if hook is getattr(Actor, name):
            continue
        hints = hints_of(hook)
        parameter = list(inspect.signature(hook).parameters)[1]
        expected: object = hints.get(parameter, object)
        if not any(expected == loose for loose in _LOOSE):
            raise InvalidActor(
                f"{cls.__name__}.{name} expects typed connections, but {cls.__name__} does not say how "
                f"clients connect: write `conn: Conn[Params, State]` at the top of the class, with None "
                f"for what there is not"
            )
