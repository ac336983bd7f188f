"""Which names this server answers to.

A page in a browser may ask whatever its own name leads to. If its owner lets that name lead to this machine,
the browser asks this server, and shows the page the answers: https://en.wikipedia.org/wiki/DNS_rebinding. The
Host of such a request is the name of the page, so one that is an address is nobody else's. By its address,
Kubernetes and Prometheus ask a server in a cluster.
"""

import ipaddress
from collections.abc import Callable
from functools import lru_cache


def known_host(names: frozenset[str]) -> Callable[[bytes | None], bool]:
    """Return whether a Host header is known: localhost, an address, or one of the ``names``; "*" is for all.

    A request without the header comes from no browser.
    """

    @lru_cache(64)
    def is_known(header: bytes | None) -> bool:
        if header is None or "*" in names:
            return True
        host = header.decode("latin-1").lower()
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return host == "localhost" or host in names or _is_address(host)

    return is_known


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
