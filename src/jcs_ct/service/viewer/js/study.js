/* The page of one study: it holds the parts together. */

import * as api from "./api.js";
import { announce, attempt, confirmed, make, show, toast } from "./dom.js";
import { Editor } from "./editing.js";
import { follow } from "./events.js";
import { ended, hasResult, verdict } from "./format.js";
import { Labels } from "./labels.js";
import { readVoxels } from "./nifti.js";
import { Pointer } from "./pointer.js";
import { shortcuts } from "./shortcuts.js";
import { askForSignOff } from "./sign_off.js";
import { Strip } from "./strip.js";
import { StudyHead } from "./study_head.js";
import { studyKeys } from "./study_keys.js";
import { StudySide } from "./study_side.js";
import { SliceSliders } from "./slice_sliders.js";
import { firstWindow, Toolbar } from "./toolbar.js";
import { turn, turnBack, turnedShape, turnFile, wasTurned } from "./turn.js";
import { waitForResult } from "./waiting.js";
import { Viewport } from "./viewport.js";

/**
 * Open a study in `main`; the promise is of the function that leaves it again.
 * @param {{session: Object, go: (path: string) => void, id: string, revision: number|null, current: () => boolean}} context
 */
export async function openStudy(main, context) {
  document.title = "Study – JCS workstation";
  try {
    const job = await api.job(context.id);
    if (!hasResult(job)) return waitForResult(main, job, context);
    const page = new StudyPage(main, job, context);
    page.start();
    return page.leave();
  } catch (error) {
    if (context.current()) show(main, make("div", { class: "worklist" }, make("p", { class: "notice error", text: error.message }), make("p", {}, make("a", { href: "/", "data-route": true, text: "Back to the worklist" }))));
    return () => {};
  }
}

class StudyPage {
  constructor(main, job, context) {
    Object.assign(this, { main, job, context, id: job.id, revision: context.revision, editor: null, labels: null, chosen: null });
    this.stopper = new AbortController();
    this.closing = [() => this.stopper.abort()];
  }

  async start() {
    try {
      [this.result, this.revisions] = await Promise.all([api.result(this.id, this.revision), api.revisions(this.id)]);
      if (!this.context.current()) return;
      this.head = new StudyHead(this);
      this.side = new StudySide(this);
      this.stage = make("section", { class: "stage", "aria-label": "Images" }, make("div", { class: "view" }, this.loading("Preparing the images…")));
      show(this.main, make("div", { class: "study-page" }, this.head.node, make("div", { class: "desk" }, this.stage, this.side.node)));
      this.render();
      await this.openImages();
    } catch (error) {
      if (error.name !== "AbortError" && this.context.current()) {
        show(this.stage || this.main, make("p", { class: "notice error", text: error.message }));
      }
    }
  }

  loading(words) {
    this.loadingWords = make("span", { text: words });
    this.loadingBar = make("progress", { max: 1, "aria-label": "Loading the images" });
    return make("div", { class: "loading", role: "status" }, this.loadingWords, this.loadingBar);
  }

  progress(words) {
    return (share) => {
      this.loadingWords.textContent = words;
      if (share === null) this.loadingBar.removeAttribute("value");
      else this.loadingBar.value = share;
    };
  }

  async openImages() {
    const { signal } = this.stopper;
    await this.loadView(this.revision);
    const volume = await this.file("volume", this.progress("Loading the images…"));
    const lesions = await this.layer("lesions", "Loading the opacities…");
    this.viewport = new Viewport(this.view);
    this.closing.push(() => this.viewport.close());
    this.buildStage();
    this.labels = new Labels(lesions, this.view);
    // A screen that was drawn first shows the words while the graphics card is filled.
    await new Promise((resolve) => setTimeout(resolve, 30));
    await this.viewport.open(volume, firstWindow(this.view.intensity));
    if (signal.aborted) return;
    this.viewport.setLabels(this.labels);
    this.toolbar.follow();
    this.covering.remove();
    this.follow();
    this.showFirst();
    this.render();
    this.stage.dataset.ready = "true";
    announce("The images are loaded.");
  }

  async layer(name, words) {
    const url = this.view.layers[name];
    if (!url) return null;
    const voxels = readVoxels(await api.fetchUnpacked(url, this.progress(words), this.stopper.signal), this.sent);
    return this.turned ? turn(voxels, this.sent) : voxels;
  }

  /** A layer as a NIfTI file for the viewport. */
  async file(name, onProgress) {
    const buffer = await api.fetchUnpacked(this.view.layers[name], onProgress, this.stopper.signal);
    return this.turned ? turnFile(buffer, this.sent) : buffer;
  }

  async loadView(revision) {
    const view = await api.view(this.id, revision, this.stopper.signal);
    this.turned = wasTurned(this.result);
    this.sent = view.shape;
    this.view = this.turned ? { ...view, shape: turnedShape(view.shape) } : view;
  }

  buildStage() {
    const { viewport } = this;
    this.pointer = new Pointer(viewport);
    this.toolbar = new Toolbar(viewport, this.view, { activation: (shown, opacity) => attempt(() => this.showActivation(shown, opacity)) });
    this.strip = new Strip(this.result, (z) => viewport.moveTo([z, viewport.place[1], viewport.place[2]]));
    this.sliders = new SliceSliders(viewport, this);
    this.editPlace = make("div");
    this.covering = this.loading("Filling the graphics memory…");
    viewport.node.append(this.covering);
    show(this.stage, make("div", {}, this.toolbar.node, this.editPlace), viewport.node, this.sliders.node, this.strip.node);
    this.closing.push(() => this.strip.close());
    viewport.addEventListener("moved", () => this.moved());
  }

  follow() {
    this.closing.push(
      follow((kind, job) => this.told(kind, job)),
      shortcuts("Study", studyKeys(this)),
      this.labels.watch((box) => { if (!box) this.side.lesions.render(this.result, this.labels); }),
    );
  }

  /** What is worth looking at first: the largest opacity, else the most suspicious slice. */
  showFirst() {
    const [first] = this.labels.ids();
    if (first) return this.choose(first);
    const seen = this.result.slices.filter((slice) => slice.assessed).sort((a, b) => b.probability - a.probability);
    if (seen.length) this.viewport.moveTo([seen[0].index, ...this.viewport.place.slice(1)]);
    else this.moved();
  }

  moved() {
    const { place } = this.viewport;
    this.strip.setSlice(place[0]);
    this.sliders.follow();
  }

  // Opacities

  choose(id) {
    const place = this.labels?.middle(id);
    if (!place) return;
    this.chosen = id;
    this.viewport.choose(id);
    this.viewport.moveTo(place);
    this.side.lesions.choose(id);
    this.side.lesions.render(this.result, this.labels);
    announce(`Opacity ${id}, slice ${place[0] + 1}.`);
  }

  next(by) {
    const ids = this.labels.ids();
    if (!ids.length) return;
    const at = ids.indexOf(this.chosen);
    this.choose(ids[at < 0 ? 0 : (at + by + ids.length) % ids.length]);
  }

  async showActivation(shown, opacity) {
    if (shown && !this.activationAsked) {
      this.activationAsked = true;
      const buffer = await this.file("activation", () => {});
      await this.viewport.addActivation(buffer, opacity);
      const { box, slider } = this.toolbar.activation;
      this.viewport.setActivation(box.checked ? Number(slider.value) : 0);
    } else this.viewport.setActivation(shown ? opacity : 0);
  }

  // Editing

  /** Whether this is the state that a change would follow. */
  get latest() { return this.revision === null || this.revision === this.revisions.at(-1).number; }

  get editable() { return this.job.can_edit && this.latest && this.job.state === "done"; }

  async toggleEditing() {
    if (this.editor) return this.stopEditing();
    if (!this.editable || !this.labels) return undefined;
    if (!this.labels.lungs && this.view.layers.lungs) {
      await attempt(async () => this.labels.setLungs(await this.layer("lungs", "")));
    }
    this.openEditor();
    this.viewport.node.classList.add("editing");
    this.side.tabs.open("lesions");
    this.side.lesions.editing = true;
    this.render();
    announce("Editing. B is the brush, R the eraser, Space paints at the cross-hair, Control Z undoes.");
    return undefined;
  }

  openEditor() {
    this.editor = new Editor(this.viewport, this.labels, { save: () => this.save(), leave: () => this.stopEditing() });
    this.pointer.painter = this.editor;
    show(this.editPlace, this.editor.node);
  }

  async stopEditing() {
    if (!(await this.mayDiscard())) return;
    while (this.labels.changed && this.labels.undo());
    this.editor.close();
    this.editor = this.pointer.painter = null;
    this.viewport.node.classList.remove("editing");
    show(this.editPlace);
    this.side.lesions.editing = false;
    this.render();
  }

  async mayDiscard() {
    return !this.labels?.changed || confirmed("Throw the edits away?", "The corrected outlines were not saved.", "Throw away");
  }

  async save() {
    if (!this.editor || !this.labels.changed || this.saving) return;
    this.saving = true;
    this.editor.saveButton.disabled = true;
    this.editor.saveButton.textContent = "Measuring…";
    try {
      const mask = this.labels.mask();
      const told = await api.saveOutlines(this.id, this.revisions.at(-1).number, await api.gzip(this.turned ? turnBack(mask, this.sent) : mask));
      await this.takeRevision(told);
      toast("Saved. The measures are those of the service.", true);
    } catch (error) {
      toast(error.status === 409 ? `${error.message} Your edits are still here; open the study again to see the other state.` : error.message);
    } finally {
      this.saving = false;
      if (this.editor) {
        this.editor.saveButton.textContent = "Save";
        this.editor.follow();
      }
    }
  }

  /** Show what a change led to. */
  async takeRevision({ result }, outlined = true) {
    this.result = result;
    this.revision = null;
    [this.revisions, this.job] = await Promise.all([api.revisions(this.id), api.job(this.id)]);
    if (outlined) await this.renewLabels();
    this.strip?.setResult(result);
    this.sliders?.follow();
    this.side.renew();
    this.render();
  }

  /** Pieces and numbers are the service's after it has measured. */
  async renewLabels() {
    await this.loadView(null);
    const { lungs } = this.labels;
    const labels = new Labels(await this.layer("lesions", ""), this.view);
    if (lungs) labels.setLungs(lungs);
    this.labels = labels;
    this.viewport.chosen = this.chosen = this.side.lesions.chosen = null;
    this.viewport.setLabels(labels);
    this.closing.push(labels.watch((box) => { if (!box) this.side.lesions.render(this.result, labels); }));
    if (!this.editor) return;
    const { tool, size, ball } = this.editor;
    this.editor.close();
    this.openEditor();
    this.editor.take(tool, size.value, ball.checked);
  }

  // Judgement

  async sign() {
    if (!this.latest || !this.job.can_edit) return;
    if (this.labels?.changed) {
      toast("Save or undo the edits first: a signature is for what is saved.");
      return;
    }
    const { session } = this.context;
    const judged = await askForSignOff({ user: session.user, alone: session.authentication === "none", verdict: verdict(this.result.verdict).words.toLowerCase(), corrected: Boolean(this.result.provenance.outlines) });
    if (!judged) return;
    this.head.busy(true);
    await attempt(async () => {
      await this.takeRevision(await api.signOff(this.id, this.revisions.at(-1).number, judged.judgement, judged.comment), false);
      toast(judged.judgement === "accepted" ? "Signed: accepted." : "Signed: rejected.", true);
    });
    this.head.busy(false);
  }

  async remove() {
    if (!(await confirmed("Delete this study?", "The images, all results, corrections and sign-offs are deleted. They can be restored for some days: see Deleted studies in the worklist.", "Delete"))) return;
    this.removing = true;
    await attempt(async () => { await api.removeJob(this.id); this.labels = null; this.context.go("/"); });
  }

  // Around it

  told(kind, job) {
    if (job?.id !== this.id) return;
    if (kind === "removed" && !this.removing) toast("This study was deleted by somebody.");
    const known = this.revisions.at(-1)?.number;
    if (kind === "job" && ended(job) && job.revision > known && !this.saving && !this.head.working) {
      toast("There is a newer state of this result: open the study again to see it.");
    }
  }

  render() {
    this.head.render();
    this.side.render();
  }

  leave() {
    const warn = (event) => { if (this.labels?.changed) event.preventDefault(); };
    window.addEventListener("beforeunload", warn);
    const leave = () => {
      window.removeEventListener("beforeunload", warn);
      this.closing.forEach((each) => each());
    };
    leave.asked = () => this.mayDiscard();
    return leave;
  }
}
