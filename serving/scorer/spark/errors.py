"""What Spark says when it fails, in a sentence: the first cause, and what to do."""

import re
import sys
from dataclasses import dataclass

from scorer.spark.cluster import Cluster

_OWN_PYTHON = "{}.{}".format(*sys.version_info)


@dataclass(frozen=True)
class _Cause:
    """A pattern of what Spark says; ``sentence`` may use its groups, ``master``, ``python`` and ``own``."""

    words: str
    sentence: str


# Said in the log while the application is not registered.
_REFUSED = (
    _Cause(
        r"SASL|Sasl|AuthEngine|AuthClientBootstrap|AuthRpcHandler|Authentication failed|AEADBadTag",
        "{master} refuses the application: the secrets don't agree; give spark.authenticate and"
        " spark.authenticate.secret in a file for --properties as the cluster has them, or leave them out if"
        " it has none",
    ),
    _Cause(
        r"InvalidClassException|local class incompatible|StreamCorruptedException",
        "{master} is not Spark {spark}, as this driver is; use a cluster of that release",
    ),
)
_UNRESPONSIVE = _Cause(
    r"All masters are unresponsive",
    "{master} does not take the application; see its log, and whether it is Spark {spark}",
)
_FAILED = (
    _Cause(
        r"No module named 'scorer'",
        "an executor does not see the directory of OUTPUT, or may not read it; all machines must see it under"
        " the same path: put OUTPUT on a file system that they share, where the executors' user may read",
    ),
    _Cause(
        r"PYTHON_VERSION_MISMATCH.*?different version: (?P<found>[0-9.]+)",
        "the executors' {python} is Python {found}, and the model runs on {own}; name a Python {own}"
        " of theirs by --python",
    ),
    _Cause(
        r'Cannot run program "(?P<found>[^"]+)"',
        "an executor has no {found}; install Python {own} there, or name one of its Pythons by --python",
    ),
    _UNRESPONSIVE,
    _Cause(
        r"Master removed our application|Executor.*killed.*application",
        "{master} has ended the application, because its executors fail to start; see their stderr in the"
        " workers' directories",
    ),
    _Cause(
        r"Python worker exited unexpectedly|ExecutorLostFailure|Python worker failed to connect back",
        "the process that scores a part was killed again and again; if memory is short there, give the"
        " executors fewer cores (spark.executor.cores), else correct the model",
    ),
    _Cause(
        r"UnsupportedClassVersionError|class file version",
        "this machine's Java is too old; install Java 17 or newer",
    ),
)
_NO_ERROR = re.compile(r"^(?:[0-9/]+ [0-9:]+ )?(?:WARNING:|WARN|INFO:?) .*\n?", re.MULTILINE)
# What spark-submit says when it does not start.
_NOT_STARTED = re.compile(r'^(?:Exception in thread "main" [\w.$]+|Error): (?P<why>[^\n]+)', re.MULTILINE)
_LINE = re.compile(r"(?:^|: )(?:[\w.$]+(?:Exception|Error)): (?P<why>[^\n]+)", re.MULTILINE)


def refusal(log: str, cluster: Cluster) -> str:
    """Return why the master refuses the application, by the driver's log; empty if it does not."""
    return _sentence(log, cluster, _REFUSED)


def told(text: str, cluster: Cluster, log: str = "") -> str:
    """Return what an error of Spark comes to. Of the cluster, its log may say more."""
    found = _sentence(text, cluster, (*_FAILED, *_REFUSED)) or _sentence(
        log, cluster, (_UNRESPONSIVE, *_REFUSED)
    )
    if found:
        return found
    text = _NO_ERROR.sub("", text)
    causes = (
        _NOT_STARTED.findall(text)
        or _LINE.findall(text)
        or text.strip().splitlines()[:1]
        or ["it says nothing"]
    )
    return f"Spark failed: {causes[-1].strip().rstrip('.')}"


def _sentence(text: str, cluster: Cluster, causes: tuple[_Cause, ...]) -> str:
    for cause in causes:
        if found := re.search(cause.words, text, re.DOTALL):
            known = {"master": cluster.master, "python": cluster.executors_python, "own": _OWN_PYTHON}
            return cause.sentence.format(**known, spark=_release(), **found.groupdict())
    return ""


def _release() -> str:
    from importlib.metadata import version

    return version("pyspark")
