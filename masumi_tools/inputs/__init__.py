"""MIP-003 input: what a service wants, whether values fit, how to send and to describe them."""

from masumi_tools.inputs.check import check
from masumi_tools.inputs.derive import (
    fields_from_model,
    fields_from_placeholders,
    fields_from_signature,
    served,
)
from masumi_tools.inputs.describe import describe, describe_field
from masumi_tools.inputs.fields import InputField, InputSpec
from masumi_tools.inputs.layout import Layout, alternative, layouts
from masumi_tools.inputs.model import arg_names, args_model
from masumi_tools.inputs.read import read_input_schema

__all__ = [
    "InputField",
    "InputSpec",
    "read_input_schema",
    "check",
    "Layout",
    "layouts",
    "alternative",
    "describe",
    "describe_field",
    "arg_names",
    "args_model",
    "fields_from_model",
    "fields_from_signature",
    "fields_from_placeholders",
    "served",
]
