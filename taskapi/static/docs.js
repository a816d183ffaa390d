"use strict";

// Swagger UI would write the whole login to localStorage, with the password; it gets the tokens only.
const keepNoPasswords = () => ({
  statePlugins: {
    auth: {
      wrapActions: {
        persistAuthorizationIfNeeded: (_, system) => () => {
          const logins = system.authSelectors.authorized().toJS();
          for (const login of Object.values(logins)) {
            delete login.username;
            delete login.password;
          }
          localStorage.setItem("authorized", JSON.stringify(logins));
        },
      },
    },
  },
});

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  plugins: [keepNoPasswords],
  tryItOutEnabled: true,
});

// The fields of its login dialog are in no form.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.closest(".auth-container input")) {
    document.querySelector(".auth-container .authorize").click();
  }
});
