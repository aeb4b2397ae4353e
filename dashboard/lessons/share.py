"""The address of a step, for the students' own screens: as a link and as a QR code."""

from __future__ import annotations

import ipaddress
from html import escape
from urllib.parse import urlencode, urlsplit

import segno

__all__ = ["address_of", "is_local", "qr_code"]


def address_of(page: str, parameters: dict[str, str]) -> str:
    """The address of a page with parameters.

    >>> address_of("http://lab:8501/lesson", {"step": "3", "model": "a/b/c+"})
    'http://lab:8501/lesson?step=3&model=a/b/c%2B'
    """
    return f"{page.partition('?')[0]}?{urlencode(parameters, safe='/')}"


def is_local(address: str) -> bool:
    """Whether an address leads to the machine of whoever opens it, so that a telephone cannot use it.

    >>> is_local("http://localhost:8501/lesson"), is_local("http://[::1]:8501"), is_local("http://192.168.0.7:8501")
    (True, True, False)
    """
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def qr_code(address: str) -> str:
    """HTML of an address as a QR code, on white in every theme, as wide as there is room.

    >>> qr_code("http://lab:8501/lesson?step=3").startswith('<img src="data:image/svg+xml')
    True
    """
    url = segno.make(address, error="m", micro=False).svg_data_uri(border=3, dark="#000", light="#fff", scale=8)
    return (
        f'<img src="{escape(url)}" alt="QR code of {escape(address)}" style="width:100%;max-width:22rem;display:block;'
        'margin:auto">'
    )
