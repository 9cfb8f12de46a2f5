"""Who uses no MCP server pays nothing for those who do."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import caxton.runtime.wiring
from caxton.adapters.mcp.servers import McpServers
from caxton.adapters.sandbox.guard import Guard

McpServers(Guard(), 300).close()
print(sorted({name.partition(".")[0] for name in sys.modules} & {"mcp", "mcp_types", "sse_starlette"}))
"""


@pytest.mark.requirement("TOL-11")
def test_the_sdk_is_loaded_when_the_first_server_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
