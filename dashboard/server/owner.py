"""Whether the application is served to strangers, and who of its visitors is the owner.

By default it runs for whoever uses this machine: everybody is the owner. With ``TRIGGER_SERVED=1`` a visitor looks,
drags and measures within :mod:`dashboard.server.limits`; what trains, repairs, fetches, deletes or reads folders needs
the owner's token. It is made once for each server process and printed to its terminal, or given in
``TRIGGER_OWNER_TOKEN``, and is asked for once in each session. It is in no link and in no cookie, and the functions
that act ask for the owner themselves: a button that is not drawn is not what protects.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import sys
import threading
import time

import streamlit as st

__all__ = ["NotAllowed", "Owners", "ask_for_owner", "is_owner", "is_served", "owners", "require_owner"]

log = logging.getLogger(__name__)

SETTING, TOKEN = "TRIGGER_SERVED", "TRIGGER_OWNER_TOKEN"
SHORTEST = 16
"""Characters that a token given in the environment must have: too many to try, even from a new session each time."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""Seconds that a session waits after its first wrong token, and at most; every other one costs twice as much."""


class NotAllowed(ValueError):
    """What was asked for needs the owner; the text says so in one sentence."""


def is_served() -> bool:
    """Whether strangers are expected: any value of the setting but 0, no, off, false and nothing."""
    return os.environ.get(SETTING, "").strip().lower() not in ("", "0", "no", "off", "false")


class Owners:
    """The sessions that have given the owner's token.

    Args:
        token: The token; by default a new one.

    Raises:
        ValueError: If the token is too short to keep anybody out.
    """

    def __init__(self, token: str = "") -> None:
        if token and len(token) < SHORTEST:
            raise ValueError(f"{TOKEN} is too short: it needs at least {SHORTEST} characters")
        self.token = token or secrets.token_urlsafe()
        self._sessions: set[str] = set()
        self._wrong: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def offer(self, session: str, token: str) -> str:
        """Makes a session the owner's if the token is right.

        While a session waits after a wrong token, the right one is not looked at either. Nobody waits because of what
        others gave: they could keep the owner out. What they cannot do is guess it; it is long.

        Returns:
            Why not, in one sentence; nothing if it is right.
        """
        now = time.monotonic()
        with self._lock:
            times, until = self._wrong.get(session, (0, 0.0))
            if now < until:
                return f"That was wrong before: the next token is looked at in {until - now:.0f} seconds."
            if hmac.compare_digest(token.strip().encode(), self.token.encode()):
                self._sessions.add(session)
                self._wrong.pop(session, None)
                return ""
            self._wrong[session] = times + 1, now + min(FIRST_DELAY * 2.0**times, LONGEST_DELAY)
            while len(self._wrong) > 10_000:
                del self._wrong[next(iter(self._wrong))]
        log.warning("a wrong owner's token was given")
        return "This is not the owner's token."


_made: list[Owners] = []
_making = threading.Lock()


def owners() -> Owners:
    """The owners of this server process; its token is printed when it is made. No cache that a visitor can clear."""
    with _making:
        if not _made:
            given = os.environ.get(TOKEN, "").strip()
            _made.append(Owners(given))
            said = f"it is the one in {TOKEN}" if given else _made[0].token
            if is_served():
                print(f"\n  Served to visitors. The owner's token: {said}\n", file=sys.stderr, flush=True)
        return _made[0]


def is_owner(session: str) -> bool:
    """Whether a session may do everything: on one's own machine every one, else those that gave the token."""
    return not is_served() or session in owners()


def require_owner(session: str, what: str) -> None:
    """Refuses a session that is not the owner's.

    Args:
        session: Its identity.
        what: What it wanted, as in "starting a training".

    Raises:
        NotAllowed: If it is not.
    """
    if not is_owner(session):
        raise NotAllowed(f"{what[0].upper()}{what[1:]} needs the owner of this server.")


def ask_for_owner(session: str, what: str, key: str) -> bool:
    """Whether a session is the owner's; else says what needs the owner, with a field for the token.

    Args:
        session: Its identity.
        what: What needs the owner, as in "starting a training".
        key: Tells this place of the page from others.
    """
    if is_owner(session):
        return True
    field = f"owner-{key}"

    def given() -> None:
        token = str(st.session_state[field])
        st.session_state[field] = ""  # it stays in no widget
        if token.strip():
            st.session_state["owner-refused"] = owners().offer(session, token)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/lock: {what[0].upper()}{what[1:]} needs the owner of this server.")
        with st.popover("Owner's token", type="tertiary", icon=":material/key:"):
            st.text_input(
                "Owner's token", type="password", key=field, on_change=given, autocomplete="off",
                help="Printed to the terminal of the server. Asked for once, until the page is closed.",
            )  # fmt: skip
    if refused := st.session_state.pop("owner-refused", ""):
        st.error(refused)
    return False
