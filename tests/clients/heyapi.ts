// A session with a client that @hey-api/openapi-ts generated as the folder client.
import { client } from "./client/client.gen.js";
import {
  createTask,
  createToken,
  createUser,
  deleteTask,
  listTasks,
  readTask,
  updateTask,
} from "./client/sdk.gen.js";

const baseUrl = process.argv[2]!;
client.setConfig({ baseUrl });

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

const account = { name: "Anna", email: "heyapi@example.com", password: "correct horse battery" };
const user = await createUser({ body: account });
check(user.data?.email === account.email, "register");
const taken = await createUser({ body: account });
check(taken.error?.type === "/problems/email-taken", "typed error");

const tokens = await createToken({
  body: { grant_type: "password", username: account.email, password: account.password },
});
check(tokens.data !== undefined, "log in");
client.setConfig({ baseUrl, auth: tokens.data.access_token });

const ids: number[] = [];
for (const title of ["One", "Two", "Three"]) {
  const task = await createTask({ body: { title } });
  check(task.data?.status === "новая", "create");
  ids.push(Number(task.data.id));
}

const titles: string[] = [];
let after = "";
for (;;) {
  const page = await listTasks({ query: { limit: 2, after } });
  titles.push(...(page.data ?? []).map((task) => task.title));
  const next = page.response?.headers.get("Link")?.match(/<([^>]*)>/)?.[1];
  if (!next) break;
  after = new URL(next, baseUrl).searchParams.get("after")!;
}
check(titles.join() === "One,Two,Three", "pages");

const path = { task_id: ids[0]! };
const read = await readTask({ path });
const headers = { "If-Match": read.response?.headers.get("ETag") ?? "" };
const updated = await updateTask({ path, headers, body: { status: "в процессе" } });
check(updated.data?.status === "в процессе" && updated.data.title === "One", "update");
const stale = await updateTask({ path, headers, body: { title: "Lost" } });
check(stale.response?.status === 412, "stale");

const found = await listTasks({ query: { status: ["в процессе"] } });
check(found.data?.length === 1, "filter");
check((await deleteTask({ path })).response?.status === 204, "delete");
console.log("done");
