/* The dialog of one's own account: password, sessions and tokens. */

import * as api from "./api.js";
import { actionButton, actionTable, ask, make, noticeLine, show } from "./dom.js";
import { capital, moment } from "./format.js";

const ROLES = { sign: "correct and sign off results", delete: "delete and restore studies", administer: "end sessions of others" };

/** @param {(words: string) => void} whenChanged told when another password has ended this session, too */
export async function openAccount(whenChanged) {
  const told = await api.account();
  await ask("Your account", (close) => new Account(told, close, whenChanged).content, true);
}

class Account {
  constructor(told, close, whenChanged) {
    this.close = close;
    this.whenChanged = whenChanged;
    const { node: said, say } = noticeLine();
    this.say = say;
    this.old = password("account-old", "current-password", "account-why");
    this.next = password("account-new", "new-password", "account-rule");
    this.again = password("account-again", "new-password");
    this.sessions = make("tbody");
    this.tokens = make("tbody");
    this.others = make("button", { text: "End all other sessions", on: { click: () => this.endSessions(null) } });
    this.form = make("form", { on: { submit: (event) => { event.preventDefault(); this.change(); } } },
      field("Your password", this.old, "account-why", "Needed to change it and to end sessions, so that nobody who finds this page open can."),
      field("New password", this.next, "account-rule", "At least ten characters, best several words. It ends all your sessions, this one too, and revokes your tokens."),
      field("New password again", this.again),
      make("button", { class: "primary", type: "submit", text: "Change password" }));
    const may = told.roles.map((role) => ROLES[role] || role).join("; ") || "submit studies and view them only";
    this.content = [
      make("p", { class: "muted", text: `Logged in as ${told.user}. You may: ${may}.` }), said,
      make("h3", { text: "Password" }), this.form,
      make("h3", { text: "Sessions" }), actionTable("Sessions", ["Address", "Since"], this.sessions), this.others,
      told.tokens.length > 0 && [make("h3", { text: "Tokens of your programs" }), actionTable("Tokens", ["Id", "Made"], this.tokens)],
      make("div", { class: "actions" }, make("button", { text: "Close", on: { click: () => close() } })),
    ];
    this.render(told);
  }

  render(told) {
    show(this.sessions, told.sessions.map((each) => make("tr", {},
      make("td", { text: each.current ? `${each.address} (this session)` : each.address }), make("td", { text: moment(each.began_at) }),
      make("td", { class: "number" }, !each.current && actionButton("End", `End the session from ${each.address} since ${moment(each.began_at)}`, () => this.endSessions(each.id))))));
    this.others.disabled = !told.sessions.some((each) => !each.current);
    show(this.tokens, told.tokens.map((each) => make("tr", {},
      make("td", { text: each.id }), make("td", { text: moment(each.made_at) }),
      make("td", { class: "number" }, actionButton("Revoke", `Revoke the token ${each.id}`, () => this.revoke(each.id))))));
  }

  async change() {
    if (this.next.value !== this.again.value) {
      this.say("The new password was not repeated as it is.");
      this.again.select();
      return;
    }
    await this.attempt(async () => {
      await api.changePassword(this.old.value, this.next.value);
      this.close();
      this.whenChanged("Your password was changed. Log in with the new one.");
    });
  }

  async endSessions(id) {
    if (!this.old.value) {
      this.say("Give your password first.");
      this.old.focus();
      return;
    }
    await this.attempt(async () => {
      await api.endSessions(this.old.value, id);
      this.render(await api.account());
      this.say(id ? "The session was ended." : "All other sessions were ended.", true);
      this.old.focus();
    });
  }

  async revoke(id) {
    await this.attempt(async () => {
      await api.revokeToken(id);
      this.render(await api.account());
      this.say(`The token ${id} was revoked.`, true);
      this.old.focus();
    });
  }

  /** Do it, and say in the dialog why where it fails. */
  async attempt(action) {
    try {
      await action();
    } catch (error) {
      this.say(capital(error.message));
    }
  }
}

const password = (id, autocomplete, about = null) => make("input", { id, type: "password", autocomplete, required: true, maxlength: 1024, "aria-describedby": about });

function field(words, input, about = null, why = "") {
  return make("div", { class: "field" }, make("label", { for: input.id, text: words }), input, about && make("small", { class: "muted", id: about, text: why }));
}
