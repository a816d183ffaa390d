// A session with functions that orval generated as client.ts.
import { createTask, createToken, createUser, deleteTask, GrantType, listTasks } from "./client.js";
import { readTask, TaskOrder, TaskStatus, updateTask } from "./client.js";

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

const account = { name: "Anna", email: "orval@example.com", password: "correct horse battery" };
check((await createUser(account)).status === 201, "register");
const taken = await createUser(account);
check(taken.status === 409 && taken.data.type === "/problems/email-taken", "typed error");

const login = { grant_type: GrantType.PASSWORD, username: account.email };
const wrong = await createToken({ ...login, password: "wrong" });
check(wrong.status === 400 && wrong.data.error === "invalid_grant", "wrong password");
const tokens = await createToken({ ...login, password: account.password });
check(tokens.status === 200, "log in");
const headers = { Authorization: `Bearer ${tokens.data.access_token}` };

for (const title of ["One", "Two"]) {
  const task = await createTask({ title }, { headers });
  check(task.status === 201 && task.data.status === TaskStatus.NEW, "create");
}
const listed = await listTasks({ sort: TaskOrder.ID_DESC }, { headers });
check(listed.status === 200 && listed.data[0]?.title === "Two", "order");

const id = listed.data[0].id;
const read = await readTask(id, { headers });
const condition = { headers: { ...headers, "If-Match": read.headers.get("ETag")! } };
const updated = await updateTask(id, { status: TaskStatus.IN_PROGRESS }, condition);
check(updated.status === 200 && updated.data.title === "Two", "update");
check((await updateTask(id, { title: "Lost" }, condition)).status === 412, "stale");
check((await deleteTask(id, { headers })).status === 204, "delete");
console.log("done");
