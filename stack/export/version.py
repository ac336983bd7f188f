"""Which image of a version has passed the replay, and by what name a cluster gets it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stack.errors import StackError
from stack.modes.docker import Docker, image
from stack.modes.engine import Image, find_image

if TYPE_CHECKING:
    from stack.release.registry import Registry

# Name, tag, digest: https://github.com/distribution/reference says what each may be.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"({_LABEL}(\.{_LABEL})*|\[[0-9a-fA-F:]+\])(:[0-9]+)?"
_PART = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>({_HOST}/)?{_PART}(/{_PART})*)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Reference:
    """By what name a cluster gets an image.

    ``tagged`` is that by which a registry is to get it; "" if the image is not to leave this machine.
    ``may_change`` is whether the name may come to stand for another image.
    """

    name: str
    tagged: str = ""
    may_change: bool = False

    @property
    def is_pinned(self) -> bool:
        """Whether it holds the image's digest."""
        return "@" in self.name


@dataclass(frozen=True)
class Version:
    """A version whose image has passed: the image's id and platform, and ``replay``, what was found."""

    model: str
    number: str
    run_id: str
    replay: str
    image_id: str
    platform: str
    image: Reference


def checked_version(
    registry: "Registry", docker: Docker, named: str | None, reference: str | None
) -> Version:
    """Return the version of that number, by default the champion; ``reference`` names its image elsewhere.

    Raises:
        StackError: if there is none, no image of it has passed, or ``reference`` names another image.

    """
    number = registry.aliases().get("champion") if named is None else named
    if number is None:
        raise StackError(f"no version of {registry.model_name} is champion; run: ./scripts/deploy")
    if not (number.isascii() and number.isdigit()):
        raise StackError(
            f"no version to export: expected its number, as the MLflow UI shows it, found {number!r}"
        )
    found = registry.version(number)
    own = image(docker.config, str(found.version))
    passed = check_passed(registry.model_name, str(found.version), found.tags, docker.image_id(found.version))
    baked = find_image(own)
    if baked is None or baked.identity != passed:
        raise StackError(f"the image {own} has been replaced or removed meanwhile; run this again")
    return Version(
        model=registry.model_name,
        number=str(found.version),
        run_id=found.run_id or "",
        replay=found.tags["replay"],
        image_id=passed,
        platform=baked.platform,
        image=reference_in_cluster(reference, str(found.version), baked, own),
    )


def check_passed(model: str, version: str, tags: dict[str, str], image_id: str) -> str:
    """Return the image's id; StackError unless the version's tags say that this very image has passed."""
    replay = tags.get("replay", "")
    if replay.startswith("failed"):
        raise StackError(
            f"version {version} of {model} is not exported: it has failed the replay, as its tag `replay`"
            " says; name another version"
        )
    if not image_id or tags.get("image_id") != image_id or not replay.startswith(("passed", "unchecked")):
        raise StackError(
            f"version {version} of {model} is not exported: no image of it on this machine, as the stack is"
            f" now, has passed the replay; to bake, check and serve it: ./scripts/promote {version}"
        )
    return image_id


def reference_in_cluster(reference: str | None, version: str, baked: Image, own: str) -> Reference:
    """Return the name by which a cluster gets the image.

    Without a ``reference``, it is its ``own`` here. With one, it has the digest, if Docker knows that.
    Without a tag, the tag is the version and a part of the image's id: a version may be baked again.

    Raises:
        StackError: if it is no name of an image, or names another one.

    """
    if reference is None:
        return Reference(own)
    parts = _REFERENCE.fullmatch(reference)
    if not parts:
        raise StackError(
            "--image names no image: expected one such as registry.example.com/team/iris:3, found"
            f" {reference!r}"
        )
    name, digest = parts["name"], parts["digest"]
    tagged = f"{name}:{parts['tag'] or f'{version}-{_short(baked.identity)}'}"
    known = [each for each in baked.digests if each.partition("@")[0] == name.removeprefix("docker.io/")]
    if digest and f"{name.removeprefix('docker.io/')}@{digest}" not in known:
        raise StackError(
            f"{reference} is not known to be the image that has passed: Docker has no such digest of {own};"
            " name it by its tag"
        )
    local = find_image(tagged)
    if not digest and local and local.identity != baked.identity:
        raise StackError(
            f"{tagged} is another image on this machine than {own}, which has passed; run: docker tag {own}"
            f" {tagged}"
        )
    if known:
        return Reference(f"{name}@{digest or known[-1].partition('@')[2]}", tagged)
    return Reference(tagged, tagged, may_change=parts["tag"] is not None)


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
