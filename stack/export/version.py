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
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+|[a-z0-9]+([._-]+[a-z0-9]+)*)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Version:
    """A version whose image has passed: the image's id and platform, and ``replay``, what was found.

    ``image`` is the name by which a cluster gets it.
    """

    model: str
    number: str
    run_id: str
    replay: str
    image_id: str
    platform: str
    image: str

    @property
    def is_pinned(self) -> bool:
        """Whether the image is named by its digest."""
        return "@" in self.image


def checked_version(
    registry: "Registry", docker: Docker, named: str | None, reference: str | None
) -> Version:
    """Return the version of that number, by default the champion; ``reference`` names its image elsewhere.

    Raises:
        StackError: if there is none, no image of it has passed, or ``reference`` names another image.

    """
    number = named or registry.aliases().get("champion")
    if number is None:
        raise StackError(f"no version of {registry.model_name} is champion; run: ./scripts/deploy")
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
        image=reference_in_cluster(reference, str(found.version), baked, own) if reference else own,
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


def reference_in_cluster(reference: str, version: str, baked: Image, own: str) -> str:
    """Return the name by which a registry has the image: with its digest, if it was pushed from here.

    Without a tag, the tag is the version.

    Raises:
        StackError: if it is no name of an image, or names another one.

    """
    parts = _REFERENCE.fullmatch(reference)
    if not parts:
        raise StackError(
            "--image names no image: expected one such as registry.example.com/team/iris:3, found"
            f" {reference!r}"
        )
    name, digest = parts["name"], parts["digest"]
    tagged = f"{name}:{parts['tag'] or version}"
    pushed = [each for each in baked.digests if each.partition("@")[0] == name.removeprefix("docker.io/")]
    if digest and f"{name.removeprefix('docker.io/')}@{digest}" not in pushed:
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
    if pushed:
        return f"{name}@{digest or pushed[-1].partition('@')[2]}"
    return tagged
