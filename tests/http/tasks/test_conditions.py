"""Optimistic concurrency: ETag, If-None-Match and If-Match (RFC 9110, section 13)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api import Api, check_problem

BODY = {"title": "Sell bread", "description": "", "status": "завершена"}


@pytest.fixture
def path(anna: Api) -> str:
    return f"/tasks/{anna.create_task()['id']}"


def etag(api: Api, path: str) -> str:
    tag: str = api.get(path).headers["etag"]
    return tag


def test_the_etag_is_strong_and_changes_with_the_task(anna: Api) -> None:
    created = anna.post("/tasks", json={"title": "Buy bread"})
    path = created.headers["location"]
    assert created.headers["etag"] == etag(anna, path)
    assert created.headers["etag"].startswith('"')
    seen = {created.headers["etag"]}
    for method, body in (("PATCH", {"title": "x"}), ("PUT", BODY), ("PATCH", {"title": "y"})):
        changed = anna.request(method, path, json=body)
        assert changed.headers["etag"] == etag(anna, path)
        assert changed.headers["etag"] not in seen
        seen.add(changed.headers["etag"])
    same = anna.patch(path, json={"title": "y"})
    assert same.headers["etag"] in seen


@pytest.mark.one_database
@pytest.mark.parametrize("condition", ["{tag}", "W/{tag}", '"x", {tag}', "*", 'W/"x",W/{tag}'])
def test_a_matching_if_none_match_is_answered_304(anna: Api, path: str, condition: str) -> None:
    tag = etag(anna, path)
    answer = anna.get(path, headers={"If-None-Match": condition.format(tag=tag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag
    assert anna.request("HEAD", path, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.one_database
@pytest.mark.parametrize("condition", ['"x"', 'W/"x"', "", ","])
def test_another_if_none_match_is_answered_200(anna: Api, path: str, condition: str) -> None:
    answer = anna.get(path, headers={"If-None-Match": condition})
    assert answer.status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize("condition", ["{tag}", "*", '"x", {tag}', '"x",W/"y",{tag}'])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_write_with_the_current_etag_is_done(
    anna: Api, path: str, method: str, condition: str
) -> None:
    headers = {"If-Match": condition.format(tag=etag(anna, path))}
    body = None if method == "DELETE" else BODY
    assert anna.request(method, path, json=body, headers=headers).is_success


@pytest.mark.one_database
@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": '"x"'},
        {"If-Match": "W/{tag}"},
        {"If-Match": ""},
        {"If-None-Match": "*"},
        {"If-None-Match": "{tag}"},
        {"If-None-Match": '"x" , W/{tag}'},
        {"If-Match": "{tag}", "If-None-Match": "{tag}"},
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_write_whose_condition_is_false_is_answered_412(
    anna: Api, path: str, method: str, headers: dict[str, str]
) -> None:
    before = anna.get(path)
    tag = before.headers["etag"]
    headers = {name: value.format(tag=tag) for name, value in headers.items()}
    body = None if method == "DELETE" else BODY
    answer = anna.request(method, path, json=body, headers=headers)
    check_problem(answer, 412, "precondition-failed")
    assert anna.get(path).content == before.content


@pytest.mark.one_database
def test_a_write_whose_if_none_match_is_true_is_done(anna: Api, path: str) -> None:
    headers = {"If-None-Match": '"x"'}
    assert anna.patch(path, json={"title": "new"}, headers=headers).json()["title"] == "new"


@pytest.mark.one_database
def test_if_match_comes_before_if_none_match(anna: Api, path: str) -> None:
    headers = {"If-Match": '"x"', "If-None-Match": "*"}
    check_problem(anna.get(path, headers=headers), 412, "precondition-failed")


MALFORMED = ["x", '"', "{bare}", "x{tag}y", "w/{tag}", "{tag}{tag}", "{tag} {tag}", "*, {tag}"]
MALFORMED += ["{tag}, *", "W/ {tag}", '"a b"', "{tag};", "'x'", ", x" * 20]


@pytest.mark.one_database
@pytest.mark.parametrize("condition", MALFORMED)
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_a_malformed_condition_is_answered_400(
    anna: Api, path: str, name: str, condition: str
) -> None:
    before = anna.get(path)
    tag = before.headers["etag"]
    headers = {name: condition.format(tag=tag, bare=tag.strip('"'))}
    for method in ("GET", "PATCH", "DELETE"):
        body = {"title": "lost"} if method == "PATCH" else None
        answer = anna.request(method, path, json=body, headers=headers)
        assert name in check_problem(answer, 400, "invalid-condition")["detail"]
    assert anna.get(path).content == before.content


@pytest.mark.one_database
def test_a_list_of_many_lines_is_refused_as_a_whole(anna: Api, path: str) -> None:
    for lines in ([" " * 120 + "x"] * 15, ["*", "*"]):
        fields = [("Authorization", f"Bearer {anna.token}"), *(("If-Match", s) for s in lines)]
        answer = anna.client.patch(path, json={"title": "x"}, headers=fields)
        check_problem(answer, 400, "invalid-condition")


@pytest.mark.one_database
def test_the_lines_of_a_list_have_one_limit(anna: Api, path: str) -> None:
    fields = [("Authorization", f"Bearer {anna.token}"), *[("If-Match", '"1"' + " " * 500)] * 4]
    answer = anna.client.patch(path, json={"title": "x"}, headers=fields)
    [error] = check_problem(answer, 422, "invalid-request")["errors"]
    assert error["pointer"] == "/If-Match"


def test_an_outdated_etag_fails(anna: Api, path: str) -> None:
    outdated = etag(anna, path)
    anna.patch(path, json={"title": "new"})
    answer = anna.patch(path, json={"title": "lost"}, headers={"If-Match": outdated})
    check_problem(answer, 412, "precondition-failed")
    check_problem(anna.delete(path, headers={"If-Match": outdated}), 412, "precondition-failed")
    assert anna.get(path).json()["title"] == "new"


@pytest.mark.one_database
def test_header_lines_form_one_list(anna: Api, path: str) -> None:
    headers = [
        ("Authorization", f"Bearer {anna.token}"),
        ("If-Match", '"x"'),
        ("If-Match", etag(anna, path)),
    ]
    assert anna.client.patch(path, json={"title": "x"}, headers=headers).status_code == 200


def test_one_of_the_racing_writers_of_a_version_wins(anna: Api, path: str) -> None:
    headers = {"If-Match": etag(anna, path)}

    def write(number: int) -> int:
        return anna.patch(path, json={"title": str(number)}, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(8))) == [200] + [412] * 7


def test_a_missing_task_is_not_found_despite_conditions(anna: Api, boris: Api) -> None:
    path = f"/tasks/{anna.create_task()['id']}"
    for headers in ({"If-Match": "*"}, {"If-Match": '"x"'}, {"If-None-Match": "*"}):
        check_problem(boris.get(path, headers=headers), 404, "not-found")
        check_problem(boris.delete(path, headers=headers), 404, "not-found")
