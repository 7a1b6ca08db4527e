"""A notice (a person is asked, a hire has ended): one POST to the user's own address, signed as Standard Webhooks are."""

from __future__ import annotations

import base64
import hashlib
import hmac

from masumi_tools.calls.call import Call, encode
from masumi_tools.text import Secret

NOTICE_S = 10.0
_CAP_BYTES = 100_000


def post(
    url: str,
    key: Secret | None,
    *,
    kind: str,
    notice_id: str,
    at_s: int,
    title: str,
    text: str,
    link: str = "",
    facts: dict[str, str],
) -> Call:
    """The notice of this `kind`. `text` is what Slack shows, and `title`, `text`, `link` what ntfy does.

    The signature is "v1," and base64 of HMAC-SHA256 over "id.timestamp.body", as Standard Webhooks has it.
    """
    document = {"type": kind, "title": title, "text": f"{text} {link}".strip(), "link": link}
    body = encode(document | facts)
    headers = [("webhook-id", notice_id), ("webhook-timestamp", str(at_s))]
    if link:
        headers.append(("click", link))
    if key is not None:
        signed = f"{notice_id}.{at_s}.".encode() + body
        mac = hmac.new(key.reveal().encode(), signed, hashlib.sha256).digest()
        headers.append(("webhook-signature", f"v1,{base64.b64encode(mac).decode()}"))
    return Call("POST notice", "notice", url, body, NOTICE_S, _CAP_BYTES, tuple(headers))
