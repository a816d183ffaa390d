// A session with a client that openapi-generator generated as the folder client, by typescript-fetch.
import {
  AuthApi,
  Configuration,
  GrantType,
  ResponseError,
  TaskOrder,
  TasksApi,
  TaskStatus,
  UsersApi,
} from "./client/index.js";

const basePath = process.argv[2]!;
const anonymous = new Configuration({ basePath });

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

async function refused(request: Promise<unknown>): Promise<[number, any]> {
  try {
    await request;
  } catch (error) {
    if (error instanceof ResponseError) return [error.response.status, await error.response.json()];
    throw error;
  }
  throw new Error("not refused");
}

const email = "generator@example.com";
const password = "correct horse battery";
await new UsersApi(anonymous).createUser({ userCreate: { name: "Anna", email, password } });

const auth = new AuthApi(anonymous);
const login = { grantType: GrantType.PASSWORD, username: email };
const [status, problem] = await refused(auth.createToken({ ...login, password: "wrong" }));
check(status === 400 && problem.error === "invalid_grant", "wrong password");
const first = await auth.createToken({ ...login, password });
const grant = { grantType: GrantType.REFRESH_TOKEN, refreshToken: first.refreshToken };
const second = await auth.createToken(grant);

const accessToken = `Bearer ${second.accessToken}`;
const tasks = new TasksApi(new Configuration({ basePath, accessToken }));
for (const title of ["One", "Two", "Three"]) {
  const task = await tasks.createTask({ taskCreate: { title } });
  check(task.status === TaskStatus.NEW, "create");
}
const listed = await tasks.listTasks({ sort: TaskOrder.ID_DESC });
check(listed.map((task) => task.title).join() === "Three,Two,One", "order");

const taskId = listed[0]!.id;
const read = await tasks.readTaskRaw({ taskId });
const ifMatch = read.raw.headers.get("ETag")!;
const taskPatch = { status: TaskStatus.IN_PROGRESS };
const updated = await tasks.updateTask({ taskId, taskPatch, ifMatch });
check(updated.status === TaskStatus.IN_PROGRESS && updated.title === "Three", "update");
check((await refused(tasks.updateTask({ taskId, taskPatch, ifMatch })))[0] === 412, "stale");
const found = await tasks.listTasks({ status: [TaskStatus.IN_PROGRESS] });
check(found.length === 1, "filter");
await tasks.deleteTask({ taskId });
console.log("done");
