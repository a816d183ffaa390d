// A session with types that openapi-typescript generated as schema.ts, by openapi-fetch.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const baseUrl = process.argv[2]!;
const api = createClient<paths>({ baseUrl });

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

const account = { name: "Anna", email: "fetch@example.com", password: "correct horse battery" };
const user = await api.POST("/users", { body: account });
check(user.data?.email === account.email, "register");
const taken = await api.POST("/users", { body: account });
check(taken.error?.type === "/problems/email-taken", "typed error");

const form = { grant_type: "password" as const, username: account.email, password: account.password };
const tokens = await api.POST("/auth/token", {
  body: form,
  headers: { "Content-Type": "application/x-www-form-urlencoded" },
  bodySerializer: (body) => new URLSearchParams(body as Record<string, string>),
});
check(tokens.data !== undefined, "log in");
const access = tokens.data.access_token;
api.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${access}`);
  },
});

const ids: number[] = [];
for (const title of ["One", "Two", "Three"]) {
  const task = await api.POST("/tasks", { body: { title, description: "", status: "новая" } });
  check(task.data?.status === "новая", "create");
  ids.push(task.data.id);
}
const invalid = await api.POST("/tasks", { body: { title: "", description: "", status: "новая" } });
check(invalid.response.status === 422, "invalid");

const titles: string[] = [];
let after = "";
for (;;) {
  const page = await api.GET("/tasks", { params: { query: { limit: 2, after } } });
  titles.push(...(page.data ?? []).map((task) => task.title));
  const next = page.response.headers.get("Link")?.match(/<([^>]*)>/)?.[1];
  if (!next) break;
  after = new URL(next, baseUrl).searchParams.get("after")!;
}
check(titles.join() === "One,Two,Three", "pages");

const path = { task_id: ids[0]! };
const read = await api.GET("/tasks/{task_id}", { params: { path } });
const header = { "If-Match": read.response.headers.get("ETag")! };
const body = { status: "в процессе" as const };
const updated = await api.PATCH("/tasks/{task_id}", { params: { path, header }, body });
check(updated.data?.status === "в процессе" && updated.data.title === "One", "update");
const stale = await api.PATCH("/tasks/{task_id}", { params: { path, header }, body });
check(stale.response.status === 412 && stale.error?.status === 412, "stale");

const found = await api.GET("/tasks", { params: { query: { status: ["в процессе"] } } });
check(found.data?.length === 1, "filter");
check((await api.DELETE("/tasks/{task_id}", { params: { path } })).response.status === 204, "delete");
console.log("done");
