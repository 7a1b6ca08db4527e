"""Before the money: what listing, input schema and start_job say, and every refusal that costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from masumi_tools import inputs
from masumi_tools.calls import node
from masumi_tools.calls.call import Reply
from masumi_tools.errors import InputError, WireError
from masumi_tools.hire.acceptance import Accepted, above, check_offer
from masumi_tools.hire.purchase import Event, Layout, Purchase
from masumi_tools.hire.replies.words import said
from masumi_tools.hire.steps import Ways
from masumi_tools.models import (
    Listing,
    PricingType,
    read_agent_metadata,
    read_availability,
    read_payment_information,
    read_registry_entries,
    read_started,
)
from masumi_tools.money import total
from masumi_tools.target import Target
from masumi_tools.text import quoted, redact

MOST_STARTS = 3
IDENTIFIED = "identified"
UNREADABLE = "the service's payment information cannot be read"


def listing(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """payment-information of the registry, or of the service itself where a URL was given."""
    by_url = p.whom.is_url
    if reply.fault == "refused-address":
        return _refused(p, now, f"the service's URL is refused: {said(reply)}")
    try:
        found = read_payment_information(reply.body, network=ways.network) if reply.ok else None
    except WireError as error:
        unread = f"{UNREADABLE}: {quoted(error)}"
        if by_url and (p.asked_registry or not ways.registry):
            return _refused(p, now, unread)
        if by_url:  # the registry may list this URL, whatever form the service's own answer has
            return p.but(asked_registry=True, notes=(*p.notes, unread))
        found = None
    if found is not None:
        return _listed(p, found.at(p.target) if by_url else found, now, ways)
    if not p.asked_registry and (ways.registry or not by_url):
        # A registry that is down or does not know the agent is no end: the node reads the chain itself.
        note = f"{'the service' if by_url else 'the registry'} gave no payment information: {said(reply)}"
        return p.but(asked_registry=True, notes=(*p.notes, note))
    return _refused(p, now, f"no payment information: {said(reply)}", reply.passing)


def node_listing(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """The node's own registry route: what the chain says, without the seller's key."""
    if reply.ok:
        try:
            return _listed(p, read_agent_metadata(reply.body, network=ways.network), now, ways)
        except WireError as error:
            return _refused(p, now, f"the agent's registry entry cannot be read: {quoted(error)}")
    if reply.status == 404 or reply.status == 400:
        return _refused(
            p, now, f"unknown agent {p.target}: neither the registry nor the node lists it ({said(reply)})"
        )
    return _refused(
        p,
        now,
        f"neither the registry nor the node could be asked about the agent: {said(reply)}",
        reply.passing,
    )


def search(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """The registry's entries for a service URL that tells no price itself."""
    url = p.whom
    try:
        entries = read_registry_entries(reply.body) if reply.ok else []
    except WireError:
        entries = []
    here = [entry for entry in entries if Target.kept(entry.api_base_url) == url]
    if len(here) > 1:  # leftovers beside the one that holds
        here = [
            entry
            for entry in here
            if entry.obstacle(sandbox=ways.sandbox) is None and not entry.superseded_by
        ]
    if len(here) == 1:
        return _listed(p, here[0], now, ways)
    many = f"{len(here)} agents are registered" if here else "no agent is registered"
    why = next((note for note in p.notes if note.startswith(UNREADABLE)), "the service publishes no price")
    return _refused(p, now, f"{why}, and {many} for {url}; hire it by its agent identifier")


def _listed(p: Purchase, found: Listing, now: int, ways: Ways) -> Purchase:
    """Take the listing, or say why this service cannot be hired at its price."""
    if not p.whom.is_url and Target.kept(found.agent_identifier) != p.whom:
        return _refused(p, now, "the registry answered for another agent")
    if (obstacle := found.obstacle(sandbox=ways.sandbox)) is not None:
        return _refused(p, now, f"the registry entry cannot be used: {quoted(obstacle)}")
    try:
        Target.read(found.api_base_url)
    except InputError as error:  # no list of services could name it, and servers may read it in two ways
        return _refused(p, now, f"the registry entry cannot be used: apiBaseUrl: {error}")
    if found.status.lower() == "deregistered":
        return _refused(p, now, "the agent is deregistered")
    if found.network and found.network != ways.network:
        return _refused(p, now, f"the agent is on {found.network}, this node on {ways.network}")
    price = total(found.price.amounts)
    free = found.price.is_free
    if found.price.pricing is PricingType.DYNAMIC:
        price = p.max_price or ()
    elif not free and (reason := above(price, p.max_price)):
        return _refused(p, now, reason)
    return p.move(Event.LISTED, now, listing=found, price=() if free else price, free=free)


def availability(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """Only a clear no stops before start_job; silence and strange answers forbid nothing (protocol S1)."""
    if (why := unavailable(reply)) is not None:
        return _refused(p, now, f"the service is not accepting jobs: {quoted(why)}", True)
    return p.but(available_ms=now)


def unavailable(reply: Reply) -> str | None:
    """Why the service says that it takes no jobs; None where it does not say so."""
    if reply.fault is not None or not (reply.ok or reply.status == 503):
        return None
    read = read_availability(reply.body, reply.status or 200)
    return (read.why or "no reason given") if read.available is False else None


def schema(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """The input schema: check the input against it and lay it out as the service wants it."""
    if reply.fault in ("unsent", "refused-address"):
        return _refused(p, now, f"the service did not answer: {said(reply)}", reply.passing)
    if reply.status is None:
        return _refused(p, now, f"the service did not answer: {said(reply)}", True)
    # A service without a readable schema still says itself what it does not take.
    return lay_out(p, inputs.read_input_schema(reply.content if reply.ok else None), now)


def lay_out(p: Purchase, spec: inputs.InputSpec, now: int) -> Purchase:
    """Check the input against the service's fields, and put it in the forms that start_job is tried with."""
    try:
        clean = inputs.check(spec, p.input_data)
        forms = inputs.layouts(spec, clean, None if p.free else p.nonce)
    except InputError as error:
        p = p.but(field_errors=_kept_errors(error.field_errors))
        return _refused(p, now, f"the input does not fit: {quoted(_fields(error), 1_000)}")
    declared = {field.id for field in spec.fields}
    if spec.fields and not spec.open_ended and (extra := [key for key in clean if key not in declared]):
        known = ", ".join(field.id for field in spec.asked)
        return _refused(
            p,
            now,
            f"the input does not fit: {quoted(', '.join(extra[:5]))}: unknown field; the service takes {quoted(known)}",
        )
    made = [Layout(form=form.form, body=form.body, hashed=form.hashed) for form in forms]
    if p.free:  # an identifier means "paid" to some services, but others insist on it (protocol S3)
        made.append(
            made[0].model_copy(update={"form": IDENTIFIED, "body": _identified(made[0].body, p.nonce)})
        )
    return p.but(layouts=tuple(made), start_attempts=0, next_job_ms=now)


def started(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """start_job: terms that we may pay, a free job, or the reason why not. An unpaid job lapses by itself."""
    if not reply.ok:
        return _not_started(p, reply, now, ways)
    job = read_started(reply.content, reply.status or 200, sent=None if p.free else p.nonce)
    if job.job_id is None and job.result is not None:
        done = {"result": job.result, "result_ms": now, "verified": None}
        if p.free:
            begun = p.move(Event.FREE, now, next_job_ms=now)
            return begun.move(Event.DELIVERED, now, reason="", **done)
        words = "the service gave a result at once, with neither job nor payment terms; the result is kept"
        return _refused(p.but(**done), now, f"{words}, nothing was paid")
    p = p.but(job_id=job.job_id)
    if not job.started or job.job_id is None:
        why = quoted(job.error) if job.error else "id: missing from the answer of start_job"
        return _refused(p, now, f"the service did not start the job: {why}")
    if p.free:
        token = job.continuation_token
        return p.move(Event.FREE, now, job_id=job.job_id, continuation_token=token, next_job_ms=now)
    if job.problems:
        return _refused(p, now, f"the service's offer cannot be paid: {quoted('; '.join(job.problems))}")
    p = p.but(notes=(*p.notes, *job.notes))
    if job.terms is None:
        return _refused(p, now, "the service gave no payment terms: blockchainIdentifier: missing")
    assert p.listing is not None
    fixed = p.listing.price.pricing is PricingType.FIXED
    verdict = check_offer(
        listing=p.listing,
        terms=job.terms,
        nonce=p.nonce,
        sent_input=p.layouts[p.layout].hashed,
        agreed=p.price if fixed else (),
        cap=None if fixed else p.price,
        now=now,
        horizon_ms=ways.horizon_ms,
    )
    if not isinstance(verdict, Accepted):
        repaired = f" ({'; '.join(job.notes)})" if job.notes else ""
        return _refused(p, now, f"the service's offer was rejected: {verdict}{repaired}")
    terms = verdict.terms
    body = node.purchase_body(
        terms, network=ways.network, nonce=p.nonce, amounts=verdict.price if fixed else terms.amounts or ()
    )
    return p.move(
        Event.OFFERED,
        now,
        job_id=job.job_id,
        continuation_token=job.continuation_token,
        terms=terms,
        price=verdict.price,
        input_hash_form=verdict.input_hash_form,
        purchase_body=body.decode(),
    )


def _not_started(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """Only a definite no may be asked again, in another form or later; after silence there may be a job."""
    if reply.status in (400, 422) and p.layout == 0 and (other := _other_form(p, reply)):
        return p.but(layout=other, next_job_ms=now)
    job = read_started(reply.content, reply.status) if reply.status is not None else None
    waits = (
        reply.status == 503 and job is not None and job.started is False and reply.retry_after_s is not None
    )
    if (waits or reply.status in (425, 429)) and p.start_attempts + 1 < MOST_STARTS:
        return _start_again(p, reply, now, ways)
    if job is not None and job.problems:
        return _refused(p, now, f"the service's offer cannot be paid: {quoted('; '.join(job.problems))}")
    if reply.sent and (job is None or job.started is None):
        unknown = "a job that it started lapses unpaid, and start_job is not repeated"
        return _refused(
            p, now, f"the service may or may not have started the job: {said(reply)}; {unknown}", True
        )
    fields = job.field_errors if job is not None else {}
    p = p.but(field_errors=_kept_errors(fields))
    about = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in list(fields.items())[:10])
    more = f" ({quoted(about)})" if about else ""
    return _refused(p, now, f"the service did not start the job: {said(reply)}{more}", reply.passing)


def _other_form(p: Purchase, reply: Reply) -> int | None:
    """The one other form of the body that this refusal asks for; at most one is ever tried."""
    forms = [layout.form for layout in p.layouts]
    sent = p.layouts[0].hashed
    names = list(sent) if isinstance(sent, dict) else []
    usual = [form for form in forms if form != IDENTIFIED]
    filled = next((one.hashed for one in p.layouts if one.form == "defaults"), None)
    defaults = [name for name in filled if name not in names] if isinstance(filled, dict) else []
    other = inputs.alternative(usual, reply.text, names, defaults)
    if other is None and IDENTIFIED in forms and "identifier" in reply.text.lower():
        return forms.index(IDENTIFIED)
    return other


def _identified(body: JsonValue, nonce: str) -> JsonValue:
    return {"identifier_from_purchaser": nonce, **body} if isinstance(body, dict) else body


def _start_again(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    wait = reply.retry_after_s
    pause = ways.pace.repeat_ms if wait is None else int(wait * 1000)
    return p.but(start_attempts=p.start_attempts + 1, next_job_ms=now + pause)


def _refused(p: Purchase, now: int, reason: str, passing: bool = False) -> Purchase:
    """Refused before any money; `passing` where the same call may do better later."""
    return p.move(Event.REFUSED, now, reason=reason, passing=passing)


def _kept_errors(errors: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """What was said of single fields, as far as it is kept: of 20 of them, a few sentences each, without secrets."""
    return {
        name[:200]: tuple(redact(text, 300) for text in texts[:5])
        for name, texts in list(errors.items())[:20]
    }


def _fields(error: InputError) -> str:
    if not error.field_errors:
        return str(error)
    return "; ".join(f"{name}: {', '.join(texts)}" for name, texts in error.field_errors.items())
