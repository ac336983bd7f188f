"""The metric gate: which version may become a candidate."""

from dataclasses import dataclass

from workflow.definition import Gate


@dataclass(frozen=True)
class Verdict:
    """Whether a version may become a candidate, and why; its text is the version's tag ``gate``."""

    accepted: bool
    reason: str

    def __str__(self) -> str:
        """Put both into one line."""
        return f"{'accepted' if self.accepted else 'refused'}: {self.reason}"

    @classmethod
    def parse(cls, text: str) -> "Verdict":
        """Read the text of a verdict again."""
        word, _, reason = text.partition(": ")
        return cls(word == "accepted", reason)


@dataclass(frozen=True)
class Champion:
    """The champion's metric on the same rows, or why there is none."""

    version: str
    value: float | None
    why_none: str = ""


def judge(gate: Gate, value: float, champion: Champion | None) -> Verdict:
    """Compare a version's metric with the threshold and with the champion's; NaN never passes."""
    found = f"{gate.metric} {value:.6g}"
    bound = "at least" if gate.greater_is_better else "at most"
    if not _as_good(gate, value, gate.threshold, 0):
        return Verdict(False, f"{found}, expected {bound} {gate.threshold:.6g}")
    if champion is None:
        return Verdict(True, f"{found}, {bound} {gate.threshold:.6g}; there is no champion to compare with")
    name = f"the champion, version {champion.version}"
    if champion.value is None:
        return Verdict(False, f"{found}, but it can't be compared with {name}: {champion.why_none}")
    reason = f"{found}; {name}, has {champion.value:.6g} on the same rows"
    if not _as_good(gate, value, champion.value, gate.tolerance):
        return Verdict(False, f"{reason}; at most {gate.tolerance:.6g} worse is allowed")
    return Verdict(True, reason)


def _as_good(gate: Gate, value: float, other: float, tolerance: float) -> bool:
    # Rounding errors in the last digits must not decide.
    slack = tolerance + 1e-9 * abs(other)
    return value >= other - slack if gate.greater_is_better else value <= other + slack
