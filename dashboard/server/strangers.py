"""What a served application takes from a browser that is not Streamlit's own, or that opens page after page.

Whoever reaches the server may send it any message of Streamlit's protocol. One of them clears the caches of all users,
so that every model is read and made ready again; others ask for what no page has. Nothing but what the pages need
passes, and so many pages are open at once (:data:`dashboard.server.limits.SESSIONS`).
"""

from __future__ import annotations

import logging
from typing import Any

from starlette.websockets import WebSocketDisconnect
from streamlit import runtime

from dashboard.server.limits import SESSIONS
from dashboard.server.owner import is_served

__all__ = ["NEEDED", "OPERATIONS", "guard", "guard_messages"]

log = logging.getLogger(__name__)

NEEDED = {"rerun_script", "stop_script", "app_heartbeat", "file_urls_request", "backend_operation_request"}
"""Messages that the pages send."""
OPERATIONS = {"deferred_file", "dataframe_chunk"}
"""What the pages ask of Streamlit's server: a file to save, rows of a table. Another one writes files on the server."""
TRY_AGAIN_LATER = 1013
"""Why a connection is closed, as RFC 6455's registry numbers it."""


def guard(server: Any, most: int = SESSIONS) -> None:
    """Bounds what Streamlit's runtime takes.

    Args:
        server: Has ``handle_backmsg(session, message, ...)``, ``connect_session(...)`` and ``_session_mgr``.
        most: Sessions at once.
    """
    handle, connect = server.handle_backmsg, server.connect_session

    def handle_backmsg(session_id: str, msg: Any, **more: Any) -> None:
        kind = msg.WhichOneof("type")
        if (
            kind == "backend_operation_request"
            and msg.backend_operation_request.WhichOneof("payload") not in OPERATIONS
        ):
            kind = f"{kind} {msg.backend_operation_request.WhichOneof('payload')}"
        if kind in NEEDED:
            handle(session_id, msg, **more)
        else:
            log.warning("a message %s is not allowed and was left aside", kind)

    def connect_session(*given: Any, **named: Any) -> Any:
        if server._session_mgr.num_active_sessions() >= most:
            log.warning("more than %d pages at once are not allowed: one more was refused", most)
            raise WebSocketDisconnect(TRY_AGAIN_LATER)
        return connect(*given, **named)

    server.handle_backmsg, server.connect_session = handle_backmsg, connect_session


def guard_messages() -> None:
    """Bounds what this server takes from strangers, once; on one's own machine nothing is bounded."""
    if is_served() and runtime.exists():
        server: Any = runtime.get_instance()
        if not getattr(server, "is_guarded", False):
            server.is_guarded = True
            guard(server)
