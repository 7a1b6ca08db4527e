"""The wire's answers as frozen values: pure readers in which every oddity of the field is settled, once.

A reader takes the JSON value of an answer (None or its text where it was no JSON) and its HTTP status,
and gives a value that says what is wrong in words. None raises for what a service sends; readers of a
registry's and a node's answers raise WireError, naming the field, when there is nothing to read.
"""

from __future__ import annotations

from masumi_tools.models.listing import (
    Listing,
    read_agent_metadata,
    read_payment_information,
    read_registry_entries,
)
from masumi_tools.models.node import (
    KeyStatus,
    NodePayment,
    NodePurchase,
    OnChainState,
    Registration,
    read_key_status,
    read_payment,
    read_payments,
    read_purchase,
    read_purchases,
    read_registration,
    read_registrations,
)
from masumi_tools.models.price import Price, PricingType
from masumi_tools.models.rails import Rail, read_rails
from masumi_tools.models.service import Ack, Availability, Demo, read_ack, read_availability, read_demo
from masumi_tools.models.started import Started, read_started
from masumi_tools.models.status import JobState, JobStatus, read_status
from masumi_tools.models.terms import Terms
from masumi_tools.models.times import JobTimes, ReadTime, read_time
from masumi_tools.models.wire import read_error, read_error_code

__all__ = [
    "Ack",
    "Availability",
    "Demo",
    "JobState",
    "JobStatus",
    "JobTimes",
    "KeyStatus",
    "Listing",
    "NodePayment",
    "NodePurchase",
    "OnChainState",
    "Price",
    "PricingType",
    "Rail",
    "ReadTime",
    "Registration",
    "Started",
    "Terms",
    "read_error_code",
    "read_error",
    "read_ack",
    "read_agent_metadata",
    "read_availability",
    "read_demo",
    "read_key_status",
    "read_payment",
    "read_payment_information",
    "read_payments",
    "read_purchase",
    "read_purchases",
    "read_rails",
    "read_registration",
    "read_registrations",
    "read_registry_entries",
    "read_started",
    "read_status",
    "read_time",
]
