"""Make a registered model version the one that is served: bake it, replay, switch, move the aliases.

A deployment may be killed between any two steps: the version's tags say which checks it has passed, and
`champion` moves only when the version is served and has answered right. The next deployment goes on from
there.
"""

import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stack.errors import StackError, TrackingError, UndecidedError, WithdrawnError
from stack.modes.mode import Mode, Served

if TYPE_CHECKING:
    from stack.release.canary import Canary
    from stack.release.registry import Registry
    from stack.release.replay import Record

# So many seconds a canary that is withdrawn has for what it has begun.
_GRACE = 10
# Baked versions that are kept besides champion and previous.
KEPT_OTHERS = 2


def deploy(
    registry: "Registry",
    mode: Mode,
    version: str | None = None,
    check: Callable[[], None] = lambda: None,
    *,
    unchecked: bool = False,
    canary: "Canary | None" = None,
) -> str:
    """Make ``version`` the champion; by default the candidate or, if there is none, the champion again.

    ``check`` is called just before the version is served; an exception of it ends the deployment there. What
    the version answers is not compared with anything if ``unchecked``. As a ``canary`` it gets some of the
    requests first, and must do no worse than what is served. Returns the version.

    Raises:
        StackError: if there is nothing to deploy, or it can't be baked, gives a wrong answer or fails to
            start. Then the tag ``failure`` of the version says why. If something was served before, it is
            served, and a `champion` that somebody had moved to the version names it again.

    """
    mode.clean_up()
    aliases = registry.aliases()
    champion, candidate = aliases.get("champion"), aliases.get("candidate")
    before = _live(registry, mode) or champion
    moved_by_hand = champion is not None and before not in (champion, candidate)
    target = version or (champion if moved_by_hand else candidate or champion)
    if target is None:
        raise StackError(
            f"there is nothing to serve: no version of {registry.model_name} is a candidate or champion;"
            " run: ./scripts/train"
        )
    target = str(registry.version(target).version)
    if before is not None and before != target and version is None:
        _resume(registry, mode, before, check)
    try:
        _release(registry, mode, target, check, unchecked=unchecked, canary=canary)
    except TrackingError:
        if before not in (None, target) and mode.served() is None:  # it had to stop first
            with suppress(StackError):
                mode.serve(str(before))
        raise
    except StackError as error:
        # As the candidate, it would go live at the next `up`: it has passed all other checks.
        if isinstance(error, WithdrawnError) and candidate == target:
            registry.remove_alias("candidate")
        _put_back(registry, mode, before, target, error)
    _settle(registry, target, before, champion)
    _collect_garbage(registry, mode)
    return target


def serve_last(mode: Mode) -> None:
    """If nothing is served, serve what was served last. A failure is printed, not raised.

    This needs no tracking server, which may start at the same time.
    """
    mode.clean_up()
    version = mode.last_served() if mode.served() is None else None
    if version is None:
        return
    print(f"serving version {version} until a new version is ready", flush=True)
    try:
        mode.serve(version)
    except StackError as error:
        print(f"version {version} can't be served until then: {error}", file=sys.stderr, flush=True)


def resume(registry: "Registry", mode: Mode, check: Callable[[], None]) -> None:
    """If nothing is served, serve what was live last, until the new version is ready.

    An exception of ``check`` ends that before it is served.
    """
    before = _live(registry, mode)
    if before is not None:
        _resume(registry, mode, before, check)


def rollback_target(registry: "Registry", mode: Mode) -> str:
    """Return the version that `previous` names; StackError if there is none to go back to."""
    aliases = registry.aliases()
    champion, previous = aliases.get("champion"), aliases.get("previous")
    if previous == champion:  # a rollback was killed before it had moved the second alias
        previous = _live(registry, mode)
    if previous is None or previous == champion:
        raise StackError(
            f"there is nothing to go back to: {registry.model_name} has had no other champion;"
            " to serve another version: ./scripts/promote VERSION"
        )
    return previous


def _release(
    registry: "Registry",
    mode: Mode,
    version: str,
    check: Callable[[], None] = lambda: None,
    *,
    unchecked: bool = False,
    canary: "Canary | None" = None,
) -> None:
    """Bake, replay and serve the version, unless exactly that is served already."""
    record = _bake(registry, mode, version, check, unchecked=unchecked)
    if record is None and _is_served(registry, mode, version):
        print(f"version {version} is served already", flush=True)
    else:
        _serve(registry, mode, version, record, check, canary)
    mode.remember(version)


def _serve(
    registry: "Registry",
    mode: Mode,
    version: str,
    record: "Record | None",
    check: Callable[[], None],
    canary: "Canary | None",
) -> None:
    """Replay the version, if there is a record, and serve it. While another serves, replay it as a trial."""
    served = mode.served()
    is_second = served is not None and (record is not None or mode.starts_beside)
    has_room = not is_second or mode.fits_beside()
    if canary:
        _check_canary(registry, served, has_room=has_room)
    if served is not None and not has_room:
        check()
        print(
            f"there is no memory for two model servers, so version {served.version} stops first", flush=True
        )
        mode.stop_serving()
    elif served is not None and (record is not None or canary):
        with _trial(registry, mode, version, record) as url:
            if canary:
                _compare(mode, (version, url), served.version, canary, check)
        record = None
    check()
    if record is None and _is_served(registry, mode, version):
        return  # a killed deployment had served it before it was noted as right
    print(f"starting to serve version {version}", flush=True)
    if record is None:
        mode.serve(version)
        return
    with _checking(registry, version):
        mode.serve(version, partial(_replay, registry, mode, version, record))


@contextmanager
def _trial(registry: "Registry", mode: Mode, version: str, record: "Record | None") -> Iterator[str]:
    """Run the version beside what is served; yield its URL when it has passed the replay of a record."""
    with ExitStack() as running:
        with _checking(registry, version):
            print(f"{'replaying' if record else 'starting'} version {version} as a trial", flush=True)
            url = running.enter_context(mode.trial(version))
            if record is not None:
                _replay(registry, mode, version, record, url)
        yield url


def _check_canary(registry: "Registry", served: Served | None, *, has_room: bool) -> None:
    """Raise UndecidedError if a version can't run beside what is served, or not be compared with that."""
    why = ""
    if served is None:
        why = "nothing is served to compare with"
    elif served.model_name != registry.model_name:
        why = f"what is served is a version of another model, {served.model_name}"
    elif not has_room:
        why = "there is no memory for two model servers"
    if why:
        raise UndecidedError(f"{why}, so there can be no canary; promote without --canary")


def _compare(
    mode: Mode, new: tuple[str, str], champion: str, canary: "Canary", check: Callable[[], None]
) -> None:
    """Let the trial, a version and its URL, answer some of the requests, beside the champion."""
    from stack.release.canary import Comparison

    print(f"for {canary.seconds:,} s, {canary.percent} of 100 requests go to version {new[0]}", flush=True)
    comparison = Comparison(new, (champion, mode.served_url()))
    patience = _GRACE
    try:
        with mode.split(canary.percent) as is_on:
            comparison.follow(is_on, canary.seconds, check)
        patience = mode.config.server_timeout
    finally:
        comparison.drain(patience)
    comparison.judge()


def _bake(
    registry: "Registry", mode: Mode, version: str, check: Callable[[], None], *, unchecked: bool
) -> "Record | None":
    """Bake the version; return the record to replay, or None if this very image has passed before.

    An exception of ``check`` ends what comes before the bake.

    Raises:
        StackError: if it can't be baked, or there is nothing to check it against.

    """
    from stack.release.checks import record_of

    tags = registry.version(version).tags
    baked, replay = mode.image_id(version), tags.get("replay", "")
    if baked and tags.get("image_id") == baked and replay.startswith(("passed", "unchecked")):
        return None
    # What is live unchecked, or was, goes on to be: somebody has decided so.
    unchecked = unchecked or (replay.startswith("unchecked") and version in registry.deployed())
    with mode.scratch() as directory:
        model = registry.fetch(version, Path(directory))
        record, environment = record_of(registry, mode, version, model, check, unchecked=unchecked)
        since = time.monotonic()
        print(f"baking version {version} of {registry.model_name}", flush=True)
        mode.bake(version, model, environment)
    print(f"baked in {time.monotonic() - since:.1f} s", flush=True)
    return record


def _replay(registry: "Registry", mode: Mode, version: str, record: "Record", url: str) -> None:
    """Check the answers at ``url``, and tag the version as passed; StackError if an answer is wrong."""
    from stack.release.client import Door
    from stack.release.replay import FailedInsideError, replay

    since = time.monotonic()
    config = mode.config
    # The server itself is asked, which may be behind a gateway.
    door = Door(headers=config.gateway.headers() if config.gateway and config.is_guarded else {})
    try:
        found = replay(url, record, timeout=config.server_timeout, queue=config.server_queue, door=door)
    except FailedInsideError as error:
        raise StackError(f"{error}. The end of its log:\n{mode.last_log()}") from error
    how = "passed" if record.exchanges else "unchecked"
    registry.tag(version, image_id=mode.image_id(version), replay=f"{how}: {found}")
    print(f"replayed in {time.monotonic() - since:.1f} s: {found}", flush=True)


@contextmanager
def _checking(registry: "Registry", version: str) -> Iterator[None]:
    """Tag the version as failed if it fails to start or answers wrong while it is checked."""
    try:
        yield
    except TrackingError:
        raise
    except StackError as error:
        registry.tag(version, replay=f"failed: {error}")
        raise StackError(f"version {version} of {registry.model_name} failed the replay: {error}") from error


def _live(registry: "Registry", mode: Mode) -> str | None:
    """Return the version that went live last, whatever the alias says; None if there is none.

    It is served, or was served last. A served version that was never champion is what a killed deployment
    left.
    """
    deployed = registry.deployed()
    served = mode.served()
    if served is not None and served.model_name == registry.model_name and served.version in deployed:
        return served.version
    return max(deployed, key=lambda version: deployed[version], default=None)


def _is_served(registry: "Registry", mode: Mode, version: str) -> bool:
    """Whether exactly what is baked is served, is healthy, and has today's settings."""
    served = mode.served()
    wanted = (registry.model_name, version, mode.image_id(version))
    return (
        served is not None
        and served.is_healthy
        and (served.model_name, served.version, served.image_id) == wanted
        and mode.is_current()
    )


def _resume(registry: "Registry", mode: Mode, before: str, check: Callable[[], None]) -> None:
    served = mode.served()
    if served is not None and served.is_healthy:
        return
    print(f"serving version {before} until a new version is ready", flush=True)
    try:
        _release(registry, mode, before, check)
    except TrackingError:
        raise
    except StackError as error:
        print(f"version {before} can't be served until then: {error}", file=sys.stderr, flush=True)


def _put_back(registry: "Registry", mode: Mode, before: str | None, target: str, error: StackError) -> None:
    """Serve again what was served before, if it had to stop; set the new version's tag ``failure``.

    A version that was never champion is stopped.
    """
    told = str(error)
    served = mode.served()
    # What was right goes on: since then, the stores were changed, so this registry does not know it.
    if (
        before is None
        and served is not None
        and served.model_name == registry.model_name
        and mode.last_served() != served.version
    ):
        mode.stop_serving()
    if before is not None and before != target and not _is_served(registry, mode, before):
        print(f"serving version {before} again", flush=True)
        try:
            _serve_again(registry, mode, before)
        except StackError as second:
            told += f"\nand version {before}, which was served before, fails to start too: {second}"
    try:
        if before not in (None, target) and registry.aliases().get("champion") == target:  # moved by hand
            registry.set_alias("champion", str(before))
        if not isinstance(error, UndecidedError):
            registry.tag(target, failure=told)
    except StackError as second:
        told += f"\nand the tag `failure` could not be set: {second}"
    raise StackError(told) from error


def _serve_again(registry: "Registry", mode: Mode, version: str) -> None:
    try:
        _release(registry, mode, version)
    except TrackingError:  # its image is there, and has passed
        mode.serve(version)


def _settle(registry: "Registry", target: str, before: str | None, champion: str | None) -> None:
    """Set the aliases and tags to what is served now; ``champion`` is the one that this deployment found."""
    # If the target was already served, a deployment was killed before it had moved the aliases.
    replaced = champion if before == target else before
    # A champion that was set by hand and failed was never live.
    if replaced not in (None, target) and replaced in registry.deployed():
        registry.set_alias("previous", str(replaced))
    moved_to = registry.aliases().get("champion")
    if moved_to not in (None, champion, target):
        print(f"champion was moved to version {moved_to} meanwhile; ./scripts/deploy serves that", flush=True)
    elif moved_to != target:
        registry.set_alias("champion", target)
    if replaced != target or "deployed_at" not in registry.version(target).tags:
        registry.tag(target, deployed_at=datetime.now(UTC).isoformat(timespec="seconds"))
    registry.remove_tag(target, "failure")
    if registry.aliases().get("candidate") == target:
        registry.remove_alias("candidate")


def _collect_garbage(registry: "Registry", mode: Mode) -> None:
    for version in unneeded_versions(mode, registry.aliases().values()):
        mode.discard(version)
    mode.tidy()


def unneeded_versions(mode: Mode, needed: Collection[str]) -> list[str]:
    """Return the baked versions that nobody needs: but for those ``needed``, and the last of the others."""
    others = sorted((version for version in mode.baked_versions() if version not in needed), key=int)
    return others[:-KEPT_OTHERS]
