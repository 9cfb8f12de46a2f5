"""What clients of other protocols are given is kept over both stores."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from caxton.adapters.store.database import Database
from caxton.domain.ids import ExecutionId
from caxton.domain.records import ClientTask
from tests.conformance.test_records import BEGIN, ELSEWHERE, HERE, execution


def task(number: int, principal: str = "key:anna") -> ClientTask:
    return ClientTask(ExecutionId(f"x_{number}"), principal, BEGIN + timedelta(seconds=number))


def test_the_first_secret_counts_for_all_servers(database: Database) -> None:
    assert database.read_now(lambda transaction: transaction.server_secret("seals")) is None

    def offer(value: str) -> str:
        return database.write_now(lambda transaction: transaction.offer_server_secret("seals", value))

    with ThreadPoolExecutor(4) as servers:
        counted = set(servers.map(offer, ["a", "b", "c", "d"]))
    assert len(counted) == 1
    assert offer("e") in counted
    assert database.read_now(lambda transaction: transaction.server_secret("seals")) in counted
    assert database.read_now(lambda transaction: transaction.server_secret("other")) is None


def test_tasks_are_those_of_one_principal_the_latest_first(database: Database) -> None:
    for number in range(1, 6):
        database.write_now(lambda transaction, number=number: transaction.add_client_task(HERE, task(number)))
    database.write_now(lambda transaction: transaction.add_client_task(HERE, task(3, "key:berta")))
    database.write_now(lambda transaction: transaction.add_client_task(HERE, task(6, "key:berta")))

    def listed(principal: str, before: int | None = None, limit: int = 10) -> list[str]:
        moment = None if before is None else BEGIN + timedelta(seconds=before)
        found = database.read_now(
            lambda transaction: transaction.client_tasks(HERE, principal, before=moment, limit=limit)
        )
        return [each.execution_id for each in found]

    assert listed("key:anna", limit=2) == ["x_5", "x_4"]
    assert listed("key:anna", before=4) == ["x_3", "x_2", "x_1"]
    assert listed("key:berta") == ["x_6"]
    assert database.read_now(lambda transaction: transaction.client_task(HERE, ExecutionId("x_3"))) == task(3)
    for scope in ELSEWHERE:
        assert (
            database.read_now(lambda transaction, scope=scope: transaction.client_task(scope, ExecutionId("x_3")))
            is None
        )


def test_a_task_goes_with_its_execution(database: Database) -> None:
    database.write_now(lambda transaction: transaction.add_execution(HERE, execution(1)))
    database.write_now(lambda transaction: transaction.add_client_task(HERE, task(1)))
    database.write_now(lambda transaction: transaction.remove_executions(HERE, ["x_1"]))
    assert database.read_now(lambda transaction: transaction.client_task(HERE, ExecutionId("x_1"))) is None
