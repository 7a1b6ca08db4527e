"""The proof: whether the result that is here is the one whose hash the service put on the chain.

One answer convicts nobody. A text that does not match may have been spoilt on its way, and so may a hash. A
mismatch is believed when the service gave no matching text at a later read and the node shows the hash again,
or when waiting on would miss the last moment to ask the money back.
"""

from __future__ import annotations

from masumi_tools.hire.purchase import MISMATCH, Purchase, State
from masumi_tools.hire.steps import NO_TEXT_MS, Ways, given_up
from masumi_tools.models import NodePurchase
from masumi_tools.proof.hashing import output_candidates, which

DOUBT = "the result that was read does not match the hash on the chain; the service is asked for it once more"


def compared(p: Purchase, node: NodePurchase, now: int, ways: Ways) -> Purchase:
    """The record after its result was compared with the hash that the node shows, once there are both."""
    if p.verified is True or node.result_hash is None or p.result is None:
        return p
    form = which(output_candidates(p.nonce, p.result), node.result_hash)
    if form is not None:  # also after a mismatch: a seller may put another hash on the chain in time
        return _proved(p, p.result, form)
    if p.verified is False:
        return p
    if not p.mismatch_ms:
        doubted = p.but(mismatch_ms=now, next_job_ms=now + ways.pace.job_ms, quiet_polls=0)
        return doubted.but(reason=DOUBT) if p.state is State.DELIVERED else doubted
    if not (p.mismatch_again or _too_late_to_doubt(p, now, ways)):
        return p
    wanted = MISMATCH if p.on_mismatch == "refund" else p.refund_wanted
    return _undoubted(p).but(verified=False, refund_wanted=wanted)


def given_again(p: Purchase, result: str, now: int) -> Purchase:
    """The record after the service gave the result that is in doubt once more."""
    form = which(output_candidates(p.nonce, result), p.node.result_hash if p.node else None)
    proved = _proved(p, result, form) if form is not None else p.but(mismatch_again=True)
    # Another text than the one that was here is given only now: for so long equal calls are answered with it.
    return proved.but(next_node_ms=now, result_ms=p.result_ms if proved.result == p.result else now)


def _proved(p: Purchase, result: str, form: str) -> Purchase:
    wanted = "" if p.refund_wanted == MISMATCH else p.refund_wanted
    return _undoubted(p).but(result=result, verified=True, result_hash_form=form, refund_wanted=wanted)


def _undoubted(p: Purchase) -> Purchase:
    return p.but(mismatch_ms=0, mismatch_again=False, reason="" if p.reason == DOUBT else p.reason)


def _too_late_to_doubt(p: Purchase, now: int, ways: Ways) -> bool:
    """Whether a service that gives nothing more has had its time: the money is asked back before it is too late."""
    assert p.terms is not None
    if p.paid_out_ms:
        return given_up(p, now)
    unlock = p.terms.times.unlock_time
    return now >= unlock - NO_TEXT_MS and now - p.mismatch_ms >= _patience_ms(p, unlock, ways)


def _patience_ms(p: Purchase, unlock: int, ways: Ways) -> int:
    """Where the doubt came late itself, a service that has forgotten the job for minutes has a share of the rest."""
    return max((unlock - p.mismatch_ms) // 4, ways.pace.failure_ms)
