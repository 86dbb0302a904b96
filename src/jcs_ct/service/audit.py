"""What the service writes into the audit trail: who did what to which study, and how it ended.

The queue writes into the same file what it removes by age or number.
"""

from __future__ import annotations

from typing import Any

from jcs_ct.jobs.audit import AuditTrail


class ServiceAudit:
    """The service's lines of an audit trail.

    Args:
        trail: The file.
        required: Whether to refuse requests while it cannot be written.
    """

    def __init__(self, trail: AuditTrail, required: bool) -> None:
        self._trail = trail
        self._required = required

    def write(
        self,
        who: str | None,
        what: str,
        job: str | None,
        status: int | None,
        address: str,
        *,
        named: str | None = None,
        lasting: bool = False,
    ) -> bool:
        """Add a line.

        Args:
            who: User; None where nobody was known.
            what: Method and route, without what is filled in.
            job: Its id.
            status: Of the response.
            address: Of the client.
            named: The user whose password was wrong.
            lasting: Whether to wait until it would outlast a loss of power.

        Returns:
            Whether the request may go on.
        """
        facts: dict[str, Any] = {"who": who, "what": what, "job": job, "status": status, "from": address}
        written = self._trail.append(lasting=lasting, **facts, **({} if named is None else {"named": named}))
        return written or not self._required

    def limit(self, what: str, who: str | None, address: str) -> None:
        """Note that a limit was met: once a minute for each user or address, with how often."""
        facts = {"who": who, "what": f"limit: {what}", "job": None, "status": None, "from": address}
        self._trail.append_limited((what, who or "", address), **facts)

    @property
    def closed(self) -> bool:
        """Whether nothing may be done, as it could not be written down."""
        if not (self._required and self._trail.broken):
            return False
        nobody: dict[str, Any] = {"who": None, "job": None, "status": None, "from": ""}
        return not self._trail.append(what="audit trail: tried again", **nobody)

    @property
    def broken(self) -> bool:
        """Whether the latest line was lost."""
        return self._trail.broken
