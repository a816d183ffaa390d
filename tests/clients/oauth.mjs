// A session of openid-client, which reads errors only as RFC 6749 defines them.
import * as openid from "openid-client";

const [url, username, password] = process.argv.slice(2);
const options = { algorithm: "oauth2", execute: [openid.allowInsecureRequests] };
const config = await openid.discovery(new URL(url), "any", undefined, openid.None(), options);

const logIn = (parameters) => openid.genericGrantRequest(config, "password", parameters);

async function refused(request) {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof openid.ResponseBodyError)) throw error;
    return `${error.status} ${error.error}: ${error.error_description}`;
  }
  throw new Error("not refused");
}

console.log(await refused(logIn({ username, password: "wrong" })));
console.log(await refused(logIn({ username })));
console.log(await refused(openid.genericGrantRequest(config, "client_credentials", {})));
const first = await logIn({ username, password });
const second = await openid.refreshTokenGrant(config, first.refresh_token);
const read = await openid.fetchProtectedResource(config, second.access_token, new URL("/users/me", url), "GET");
console.log(read.status, (await read.json()).email);
await openid.tokenRevocation(config, second.refresh_token);
console.log(await refused(openid.refreshTokenGrant(config, second.refresh_token)));
