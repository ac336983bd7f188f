"""What runs, what is served, and whether the registry agrees."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from stack.config import Config
from stack.errors import StackError
from stack.modes.choice import choose_mode
from stack.modes.mode import Mode, Served, Service
from stack.release.registry import Registry
from stack.tracking import no_answer, stores_away
from stack.tracking import remedy as tracking_remedy

_NO_ANSWER = "the tracking server does not answer"
_AWAY = "the tracking server can't get at its data: "


@dataclass(frozen=True)
class Status:
    """The state of the stack; ``disagreements`` is empty if nothing is wrong."""

    services: list[Service]
    model_name: str
    served: Served | None
    run_id: str | None
    metric: str | None
    replay: str | None
    aliases: dict[str, str]
    disagreements: list[str]


def look(config: Config, mode: Mode, registry: Registry) -> Status:
    """Ask the machine and the tracking server; if one does not answer, that is a disagreement."""
    services, served = mode.services(), mode.served()
    found = [
        f"{service.name} is not up"
        for service in services
        if service.name in ("postgres", "s3", "tracking", "serving", "watch") and not service.is_up
    ]
    aliases: dict[str, str] = {}
    tags: dict[str, str] = {}
    run_id = None
    reason = no_answer(config)
    if config.elsewhere:
        services = [Service("tracking", reason is None, f"at {config.elsewhere}", None), *services]
    if reason:
        found.append(f"{_NO_ANSWER}: {reason}")
    elif away := stores_away(config):
        found += [f"{_AWAY}{what}" for what in away]
    else:
        try:
            aliases = registry.aliases()
            if served is not None and served.model_name == registry.model_name:
                version = registry.version(served.version)
                tags, run_id = version.tags, version.run_id
            found += disagreements(registry.model_name, served, aliases, tags)
        except StackError as error:
            found.append(str(error))
    return Status(
        services, registry.model_name, served, run_id, tags.get("metric"), tags.get("replay"), aliases, found
    )


def disagreements(
    model_name: str, served: Served | None, aliases: dict[str, str], tags: dict[str, str]
) -> list[str]:
    """Compare what is served with what the aliases and the served version's ``tags`` say."""
    champion = aliases.get("champion")
    if served is None:
        return [f"nothing is served, but version {champion} is champion"] if champion else []
    if served.model_name != model_name:
        return [f"a version of {served.model_name} is served, expected one of {model_name}"]
    found = []
    if not served.is_healthy:
        found.append(f"version {served.version} is served, but is not healthy")
    if champion != served.version:
        what = f"the champion is {champion}" if champion else "there is no champion"
        found.append(f"version {served.version} is served, but {what}")
    if tags.get("image_id") != served.image_id:
        found.append(
            f"image {served.image_id or '(none)'} is served, expected"
            f" {tags.get('image_id', '(none)')}, which passed the replay"
        )
    elif not tags.get("replay", "").startswith(("passed", "unchecked")):
        found.append(
            f"version {served.version} is served, but its replay {tags.get('replay', 'was not done')}"
        )
    return found


def as_text(status: Status) -> str:
    """Write it for a person."""
    lines = [
        f"{service.name:<9} {service.state:<12} {_since(service.since)}".rstrip()
        for service in status.services
    ]
    lines.append("")
    if served := status.served:
        lines += [
            f"served    version {served.version} of {served.model_name}",
            f"  run     {status.run_id or '-'}",
            f"  image   {served.image_id or '-'}",
            f"  metric  {status.metric or '-'}",
            f"  replay  {status.replay or '-'}",
        ]
    else:
        lines.append("served    nothing")
    names = ("champion", "previous", "candidate")
    aliases = [f"{name} {status.aliases[name]}" for name in names if name in status.aliases]
    lines.append(f"aliases   {', '.join(aliases) or '-'}")
    lines.append("all agree" if not status.disagreements else "these do not agree:")
    lines += [f"  {what}" for what in status.disagreements]
    return "\n".join(lines)


def _since(moment: datetime | None) -> str:
    return "" if moment is None else f"since {moment.astimezone().strftime('%Y-%m-%d %H:%M:%S')}"


def as_json(status: Status) -> str:
    """Write it for a program; times are ISO 8601, in UTC."""

    def write(value: Any) -> str:  # noqa: ANN401 - json gives whatever it can't write
        assert isinstance(value, datetime)  # noqa: S101
        return value.astimezone(UTC).isoformat(timespec="seconds")

    return json.dumps({**asdict(status), "agree": not status.disagreements}, default=write, indent=2)


def show(config: Config, registry: Registry, *, json_wanted: bool) -> None:
    """Print the status of the stack that runs here; StackError if something is wrong."""
    status = look(config, choose_mode(config), registry)
    print(as_json(status) if json_wanted else as_text(status), flush=True)
    if status.disagreements:
        mend = remedy(config, status)
        raise StackError("; ".join(status.disagreements) + (f"; to correct it, {mend}" if mend else ""))


def remedy(config: Config, status: Status) -> str:
    """Say what mends it, unless they say so; a deployment needs the tracking server."""
    if any(what.startswith(_AWAY) for what in status.disagreements):
        return "run ./scripts/up" if config.stores.services else ""
    if not any(what.startswith(_NO_ANSWER) for what in status.disagreements):
        return "run ./scripts/deploy or ./scripts/up"
    if not config.elsewhere:
        return "run ./scripts/up"
    return tracking_remedy(config)
