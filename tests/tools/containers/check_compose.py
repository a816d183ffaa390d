"""What compose.yaml brings up, with three replicas of the service, seen from outside."""

import json
import re
import textwrap
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.api import PASSWORD, Api, log_in
from tests.server import ROOT
from tests.tools.containers.docker import compose, docker, fails, inspect, run, wait_until_ready
from tests.waiting import wait_until

REPLICAS = [f"taskapi-api-{number}" for number in (1, 2, 3)]
SERVERS = [*REPLICAS, "taskapi-balancer-1", "taskapi-postgres-1", "taskapi-redis-1"]
WRITERS = 4
ONCE = ["taskapi-migrate-1", "taskapi-role-1", "taskapi-secrets-1"]


def test_a_session_works_through_the_balancer(client: TestClient, anna: Api) -> None:
    for status in ("новая", "в процессе", "завершена"):
        anna.create_task("Купить хлеб", status=status)
    found = anna.get("/tasks", params={"status": "в процессе"}).json()
    assert [task["title"] for task in found] == ["Купить хлеб"]
    done = anna.patch(f"/tasks/{found[0]['id']}", json={"status": "завершена"})
    assert done.json()["status"] == "завершена"
    assert client.post("/auth/revoke", data={"token": anna.token}).status_code == 200
    assert anna.get("/tasks").status_code == 401


def test_every_replica_answers(client: TestClient) -> None:
    ours = f"round-{uuid.uuid4()}"
    for _ in range(30):
        client.get("/livez", headers={"X-Request-ID": ours})
    counts = {name: docker("logs", name).count(ours) for name in REPLICAS}
    print(counts)
    assert sum(counts.values()) == 30
    assert min(counts.values()) > 0


def test_a_killed_replica_fails_no_request(anna: Api) -> None:
    statuses = []
    with ThreadPoolExecutor() as pool:
        kill = pool.submit(docker, "kill", REPLICAS[1])
        while not kill.done():
            statuses.append(anna.get("/tasks").status_code)
        kill.result()
        statuses += [anna.get("/tasks").status_code for _ in range(100)]
    docker("start", REPLICAS[1])
    assert set(statuses) == {200}


def fail_to_log_in(api: Api, forwarded_for: str) -> int:
    form = {"grant_type": "password", "username": api.email, "password": "wrong"}
    said = {"X-Forwarded-For": forwarded_for, "Forwarded": f"for={forwarded_for}"}
    return api.client.post("/auth/token", data=form, headers=said).status_code


def test_replicas_share_the_throttle_by_real_address(anna: Api) -> None:
    statuses = [fail_to_log_in(anna, f"192.0.2.{number}") for number in range(12)]
    assert statuses == [400] * 10 + [429] * 2

    # Another client, with an address of its own, is not kept out.
    login = (
        "from http.client import HTTPConnection as C; c = C('balancer', 8000);"
        f" c.request('POST', '/auth/token', 'grant_type=password&username={anna.email}"
        f"&password={PASSWORD.replace(' ', '+')}',"
        " {'Content-Type': 'application/x-www-form-urlencoded'}); print(c.getresponse().status)"
    )
    other = ["run", "--rm", "--network", "taskapi_edge", "taskapi", "python", "-c", login]
    assert docker(*other) == "200"


def test_a_trusted_proxy_names_the_client(monkeypatch: pytest.MonkeyPatch, anna: Api) -> None:
    networks = inspect("taskapi-balancer-1")["NetworkSettings"]["Networks"]
    start = ["up", "--detach", "--no-build", "--no-deps", "balancer"]
    with monkeypatch.context() as environment:
        environment.setenv("TRUSTED_PROXY", networks["taskapi_edge"]["Gateway"])
        compose(*start)
    wait_until_ready(anna.client)
    statuses = [fail_to_log_in(anna, f"192.0.2.{number}, 198.51.100.1") for number in range(11)]
    assert statuses == [400] * 10 + [429]
    assert fail_to_log_in(anna, "192.0.2.1, 198.51.100.2") == 400
    compose(*start)
    wait_until_ready(anna.client)


def test_common_passwords_are_refused(client: TestClient) -> None:
    user = {"name": "Anna", "email": f"{uuid.uuid4()}@example.com", "password": "password1"}
    assert client.post("/users", json=user).status_code == 422


@pytest.mark.parametrize("end", ["kill", "restart"])
def test_without_the_database_requests_fail_with_503_and_lose_nothing(anna: Api, end: str) -> None:
    statuses: Counter[int] = Counter()
    longest = 0.0
    acknowledged: set[int] = set()

    def create() -> None:
        nonlocal longest
        asked = time.monotonic()
        answer = anna.post(
            "/tasks", json={"title": "Остаться"}, headers={"Idempotency-Key": str(uuid.uuid4())}
        )
        longest = max(longest, time.monotonic() - asked)
        statuses[answer.status_code] += 1
        if answer.status_code == 201:
            acknowledged.add(answer.json()["id"])
        else:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert int(answer.headers["Retry-After"]) > 0

    def away() -> None:
        compose(end, "postgres")
        if end == "kill":
            wait_until(lambda: statuses[503])
            docker("start", "taskapi-postgres-1")

    create()
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(away)
        while not ended.done():
            create()
    ended.result()
    restored = time.monotonic()
    wait_until_ready(anna.client)
    print(f"{dict(statuses)}, {longest:.1f} s at most,", end=" ")
    print(f"ready {time.monotonic() - restored:.1f} s after the database was started")
    create()
    assert statuses.keys() <= {201, 503}
    found: set[int] = set()
    path = "/tasks?limit=100"
    while path:
        page = anna.get(path)
        found |= {task["id"] for task in page.json()}
        path = page.links.get("next", {}).get("url", "")
    assert acknowledged <= found


@pytest.mark.parametrize("name", SERVERS + ONCE)
def test_each_container_is_hardened(name: str) -> None:
    container = inspect(name)
    host: dict[str, Any] = container["HostConfig"]
    user, _, group = container["Config"]["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Init"]
    published = [port["HostIp"] for ports in host["PortBindings"].values() for port in ports]
    assert published == (["127.0.0.1"] if name == "taskapi-balancer-1" else [])


def test_the_service_can_write_to_tmp_only() -> None:
    def touch(path: str) -> list[str]:
        return ["exec", REPLICAS[0], "touch", f"{path}/file"]

    docker(*touch("/tmp"))  # noqa: S108 -- in the container
    for path in ("/", "/app", "/app/taskapi", "/data", "/run/secrets", "/usr/bin", "/var/tmp"):  # noqa: S108
        assert fails(*touch(path)), path


def read_secrets(container: str, *names: str) -> str:
    return docker("exec", container, "cat", *(f"/run/secrets/{name}" for name in names))


def test_secrets_are_made_once_and_kept_apart() -> None:
    service = (REPLICAS[0], "taskapi_database_url", "taskapi_secret_keys")
    owner = ("taskapi-postgres-1", "postgres_password", "service_password")
    made = [read_secrets(*service), read_secrets(*owner)]
    compose("run", "--rm", "secrets")
    assert [read_secrets(*service), read_secrets(*owner)] == made
    assert docker("exec", REPLICAS[0], "ls", "/run/secrets").split() == list(service[1:])
    assert fails("exec", "taskapi-postgres-1", "cat", "/run/secrets/taskapi_database_url")
    shown = json.dumps([inspect(name) for name in SERVERS + ONCE])
    for secret in " ".join(made).split():
        assert secret not in shown


def test_the_service_cannot_change_the_schema(anna: Api) -> None:
    change = (
        "import psycopg; from taskapi.settings import Settings;"
        " psycopg.connect(Settings().database_url).execute('DROP TABLE tasks')"
    )
    answer = docker("exec", REPLICAS[0], "sh", "-c", f'python -c "{change}" 2>&1 || true')
    assert "must be owner of table tasks" in answer
    assert anna.get("/tasks").json() == []


def test_a_password_is_set_by_command(client: TestClient, anna: Api) -> None:
    command = f"echo another battery staple | python -m taskapi accounts set-password {anna.email}"
    said = compose("exec", "-T", "api", "sh", "-c", command)
    assert said == f"the password of {anna.email} was set; the sessions have ended"
    assert anna.get("/tasks").status_code == 401
    assert log_in(client, anna.email, "another battery staple")


def test_only_the_balancer_can_be_reached_from_its_network() -> None:
    places = [("taskapi-postgres-1", 5432), ("taskapi-redis-1", 6379), (REPLICAS[0], 8000)]
    addresses = [
        (network["IPAddress"], port)
        for name, port in places
        for network in inspect(name)["NetworkSettings"]["Networks"].values()
    ]
    reach = f"""if True:
        import socket
        for place in [("balancer", 8000), *{addresses}]:
            try:
                socket.create_connection(place, timeout=2).close()
                print(*place)
            except OSError:
                pass
    """
    network = ["run", "--rm", "--network=taskapi_edge", "taskapi"]
    assert len(addresses) == 4
    assert docker(*network, "python", "-c", reach) == "balancer 8000"


def test_the_service_cannot_reach_other_networks() -> None:
    connect = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"
    assert fails("exec", REPLICAS[0], "python", "-c", connect)


def test_replicas_can_be_added_and_removed(client: TestClient, anna: Api) -> None:
    for replicas in (4, 3):
        compose("up", "--detach", "--no-build", "--no-recreate", f"--scale=api={replicas}")
        wait_until(partial(_answer, client, replicas))
        assert anna.get("/tasks").status_code == 200


def _answer(client: httpx2.Client, replicas: int) -> bool:
    """Whether this many replicas answer 20 requests."""
    ours = f"round-{uuid.uuid4()}"
    for _ in range(20):
        client.get("/livez", headers={"X-Request-ID": ours})
    names = docker("ps", "--filter", "name=taskapi-api-", "--format", "{{.Names}}").split()
    return sum(ours in docker("logs", name) for name in names) == replicas


def test_the_documented_backup_and_key_change_work(client: TestClient, anna: Api) -> None:
    text = (ROOT / "docs/containers.md").read_text()
    (dump,) = re.findall(r"`docker compose (exec postgres .*) > backup.sql`", text)
    assert "CREATE TABLE public.tasks" in compose(*dump.replace("exec", "exec -T").split())

    (script,) = re.findall(r'run --rm secrets python -c "\n(.*?)"\n', text, re.DOTALL)
    compose("run", "--rm", "secrets", "python", "-c", textwrap.dedent(script))
    compose("restart", "api")
    wait_until_ready(client)
    assert anna.get("/tasks").status_code == 200
    keys = docker("exec", REPLICAS[0], "cat", "/run/secrets/taskapi_secret_keys")
    assert len(keys.split(",")) == 2


def test_requests_are_answered_during_the_documented_upgrade(anna: Api) -> None:
    """A request that meets a replica as it stops may be answered with 503, of each client one."""
    text = (ROOT / "docs/containers.md").read_text().partition("- **Upgrade**")[2]
    script = text.partition("docker compose build\n")[2].partition("```")[0]
    docker("build", "--tag", "taskapi", "--label", "release=next", "--target", "service", ".")
    statuses: Counter[int] = Counter()
    ended = Event()

    def write() -> None:
        while not ended.is_set():
            created = anna.post("/tasks", json={"title": "Обновить"})
            statuses[created.status_code] += 1
            if path := created.headers.get("Location"):
                changed = anna.patch(path, json={"status": "завершена"})
                answers = changed, anna.get(path), anna.delete(path)
                statuses.update(answer.status_code for answer in answers)

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write) for _ in range(WRITERS)]
        try:
            run("bash", "-exc", script)
        finally:
            ended.set()
        for writer in writers:
            writer.result()
    print(dict(statuses))
    assert set(statuses) <= {200, 201, 204, 503}
    assert statuses[503] <= WRITERS * len(REPLICAS)
    names = docker("ps", "--filter", "name=taskapi-api-", "--format", "{{.Names}}").split()
    releases = [inspect(name)["Config"]["Labels"]["release"] for name in names]
    assert releases == ["next"] * len(REPLICAS)


def test_sessions_outlive_all_containers(client: TestClient, anna: Api) -> None:
    task = anna.create_task("Пережить")
    compose("down", "--timeout", "15")
    compose("up", "--detach", "--no-build", "--scale=api=3")
    wait_until_ready(client)
    assert anna.get(f"/tasks/{task['id']}").json()["title"] == "Пережить"
    assert log_in(client, anna.email)
