/* The login form. */

import * as api from "./api.js";
import { make, show } from "./dom.js";

export function logInForm(main, onLogIn) {
  document.title = "Log in – JCS workstation";
  const wrong = make("p", { class: "notice error", role: "alert", hidden: true });
  const user = make("input", { id: "user", name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const password = make("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const button = make("button", { class: "primary", type: "submit", text: "Log in" });
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await onLogIn(await api.logIn(user.value, password.value));
    } catch (error) {
      wrong.hidden = false;
      wrong.textContent = error.message;
      button.disabled = false;
      password.select();
    }
  };
  show(main, make("form", { class: "login", on: { submit } },
    make("h1", { text: "Log in" }), wrong,
    make("div", { class: "field" }, make("label", { for: "user", text: "User" }), user),
    make("div", { class: "field" }, make("label", { for: "password", text: "Password" }), password),
    button));
  user.focus();
}
