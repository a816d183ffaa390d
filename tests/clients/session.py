"""A session with a client that openapi-python-client generated as the package `client`.

Type-checked and run by tests/clients/test_generated_clients.py: `python session.py http://127.0.0.1:8000`
"""

import sys
from urllib.parse import parse_qs, urlsplit

from client import AuthenticatedClient, Client
from client.api.auth import create_token
from client.api.tasks import create_task, delete_task, list_tasks, read_task, update_task
from client.api.users import create_user
from client.models.grant_type import GrantType
from client.models.invalid_request import InvalidRequest
from client.models.password_grant import PasswordGrant
from client.models.problem import Problem
from client.models.task_create import TaskCreate
from client.models.task_patch import TaskPatch
from client.models.task_public import TaskPublic
from client.models.task_status import TaskStatus
from client.models.token_problem import TokenProblem
from client.models.token_response import TokenResponse
from client.models.user_create import UserCreate
from client.models.user_public import UserPublic

url = sys.argv[1]
anonymous = Client(base_url=url)

account = UserCreate(name="Anna", email="anna@example.com", password="correct horse battery")
user = create_user.sync(client=anonymous, body=account)
assert isinstance(user, UserPublic)
taken = create_user.sync(client=anonymous, body=account)
assert isinstance(taken, Problem)
assert taken.type_ == "/problems/email-taken"

wrong = create_token.sync(
    client=anonymous,
    body=PasswordGrant(grant_type=GrantType.PASSWORD, username=user.email, password="wrong"),
)
assert isinstance(wrong, TokenProblem)
assert wrong.error == "invalid_grant"
tokens = create_token.sync(
    client=anonymous,
    body=PasswordGrant(
        grant_type=GrantType.PASSWORD, username=user.email, password=account.password
    ),
)
assert isinstance(tokens, TokenResponse)
client = AuthenticatedClient(base_url=url, token=tokens.access_token)

for title in ("One", "Two", "Three"):
    task = create_task.sync(client=client, body=TaskCreate(title=title))
    assert isinstance(task, TaskPublic)
    assert task.status is TaskStatus.NEW
invalid = create_task.sync(client=client, body=TaskCreate(title=""))
assert isinstance(invalid, InvalidRequest)
assert invalid.errors[0].pointer == "/title"

titles: list[str] = []
after = ""
while True:
    page = list_tasks.sync_detailed(client=client, limit=2, after=after)
    assert isinstance(page.parsed, list)
    titles += [task.title for task in page.parsed]
    if "link" not in page.headers:
        break
    following = page.headers["link"].split("<")[1].split(">")[0]
    after = parse_qs(urlsplit(following).query)["after"][0]
assert titles == ["One", "Two", "Three"]

read = read_task.sync_detailed(1, client=client)
tag = read.headers["etag"]
change = TaskPatch(status=TaskStatus.IN_PROGRESS)
updated = update_task.sync(1, client=client, body=change, if_match=tag)
assert isinstance(updated, TaskPublic)
assert (updated.title, updated.status) == ("One", TaskStatus.IN_PROGRESS)
stale = update_task.sync(1, client=client, body=TaskPatch(title="Lost"), if_match=tag)
assert isinstance(stale, Problem)
assert stale.status == 412

found = list_tasks.sync(client=client, status=[TaskStatus.IN_PROGRESS])
assert isinstance(found, list)
assert [task.id for task in found] == [1]
assert delete_task.sync_detailed(1, client=client).status_code == 204
gone = read_task.sync(1, client=client)
assert isinstance(gone, Problem)
assert gone.status == 404
print("done")
