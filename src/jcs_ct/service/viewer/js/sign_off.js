/* The dialog in which a reader accepts or rejects a result. */

import { ask, make } from "./dom.js";

const LIMIT = 2000;

/** @returns {Promise<{judgement: string, comment: string}|undefined>} */
export function askForSignOff({ user, alone, verdict, corrected }) {
  return ask("Sign off", (close) => {
    const choice = (value, words) => make("label", { class: "check" }, make("input", { type: "radio", name: "judgement", value, required: true }), words);
    const comment = make("textarea", { id: "comment", maxlength: LIMIT, "aria-describedby": "comment-goes" });
    const form = make("form", { on: { submit: (event) => {
      event.preventDefault();
      close({ judgement: new FormData(form).get("judgement"), comment: comment.value.trim() });
    } } },
    make("p", { text: `Verdict of the software: ${verdict}${corrected ? ", with corrected outlines" : ""}.` }),
    make("fieldset", {}, make("legend", { text: "Your judgement" }), choice("accepted", "Accept: the result may be used as it is"), make("br"), choice("rejected", "Reject: the result is wrong or of no use")),
    make("div", { class: "field" }, make("label", { for: "comment", text: "Comment" }), comment, make("small", { class: "muted", id: "comment-goes", text: "It goes into the DICOM report, the page and the PDF. A later correction asks for a new signature." })),
    make("p", { class: "muted", text: alone ? "No users are set up: the signature names this machine's user." : `Signed as ${user}.` }),
    make("div", { class: "actions" }, make("button", { type: "button", text: "Not now", on: { click: () => close() } }), make("button", { class: "primary", type: "submit", text: "Sign" })));
    return [form];
  });
}
