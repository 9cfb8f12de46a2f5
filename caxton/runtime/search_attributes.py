"""Registers Caxton's search attributes with a Temporal service that Caxton does not run itself."""

import logging

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from caxton.domain.errors import EngineUnavailable, Hint
from caxton.workflows.names import SEARCH_ATTRIBUTES

log = logging.getLogger(__name__)


async def register_search_attributes(client: Client) -> None:
    """Adds those that the namespace lacks.

    Raises:
        EngineUnavailable: they are missing, and may not be added by us (on Temporal Cloud, for instance).
    """
    namespace = client.namespace
    present = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
    missing = [key.name for key in SEARCH_ATTRIBUTES if key.name not in present.custom_attributes]
    if not missing:
        return
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=namespace,
                search_attributes=dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
            )
        )
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return  # another process was quicker
        options = " ".join(f"--name {name} --type Keyword" for name in missing)
        raise EngineUnavailable(
            f"namespace {namespace} lacks the search attributes {', '.join(missing)}",
            Hint(text="add them", command=f"temporal operator search-attribute create {options}"),
            reason=str(error)[:300],
        ) from error
    log.info("registered search attributes %s", ", ".join(missing))
