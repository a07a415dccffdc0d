// The timeline of a session: motion of each face, its events, a playhead, and the frame of the recording below it.
(() => {
  const m = window.merau;
  const LANE = 92;
  const MAX_CURVE_POINTS = 1200;
  const MAX_ZOOM = 256;
  const NEW_EVENT_S = [0.1, 0.15]; // before and after the playhead, where an event is added
  const HANDLES = [["onset_s", m.id("onset")], ["apex_s", m.id("apex")], ["offset_s", m.id("offset")]];

  m.Timeline = class {
    constructor(review) {
      this.review = review;
      this.picture = m.element("img", { alt: "" });
      this.picture.addEventListener("load", () => this.loaded());
      this.picture.addEventListener("error", () => this.loaded());
      this.reset();
    }

    reset() {
      Object.assign(this, { zoom: 1, scroll: 0, at_s: 0, loading: false, wanted_s: null });
      this.picture.removeAttribute("src");
    }

    get seconds() { return Math.max(this.review.data.duration_s, 1); }

    // Move the playhead and show the frame there.
    goTo(t_s) {
      this.at_s = Math.min(Math.max(t_s, 0), this.seconds);
      this.place();
      this.show();
    }

    show() {
      if (!this.review.data.recording) return;
      if (this.loading) { this.wanted_s = this.at_s; return; }
      this.loading = true;
      this.picture.src = this.review.url("frame", { t: this.at_s.toFixed(4) });
    }

    loaded() {
      this.loading = false;
      if (this.wanted_s !== null) { this.wanted_s = null; this.show(); }
    }

    place() {
      for (const line of this.root?.querySelectorAll(".playhead") ?? []) line.style.left = `${(100 * this.at_s) / this.seconds}%`;
      const time = this.root?.querySelector(".at");
      if (time) time.textContent = `${m.streamTime(this.at_s, true)} / ${m.streamTime(this.seconds)}`;
    }

    zoomBy(factor) {
      const box = this.root.querySelector(".lanes");
      const center = (100 * this.at_s) / this.seconds;
      this.zoom = Math.min(Math.max(this.zoom * factor, 1), MAX_ZOOM);
      this.review.draw();
      const again = this.root.querySelector(".lanes");
      again.scrollLeft = (center / 100) * again.scrollWidth - box.clientWidth / 2;
    }

    // The event that N adds: around the playhead, of the face that is selected.
    newEvent() {
      const face = this.review.event()?.track ?? this.review.data.tracks[0]?.track ?? 1;
      const onset_s = Math.max(this.at_s - NEW_EVENT_S[0], 0);
      return { kind: "micro", track: face, onset_s, apex_s: Math.max(this.at_s, onset_s), offset_s: this.at_s + NEW_EVENT_S[1] };
    }

    draw() {
      const e = m.element;
      const { data } = this.review;
      this.scroll = this.root?.querySelector(".lanes")?.scrollLeft ?? 0;
      const button = (text, label, onclick) => e("button", { type: "button", title: label, "aria-label": label, onclick }, text);
      const step = (frames) => this.goTo(this.at_s + frames * data.frame_s);
      const tools = e("div.tools", {}, button("−", m.t("Zoom out"), () => this.zoomBy(0.5)), button("+", m.t("Zoom in"), () => this.zoomBy(2)),
        button("◂", m.t("Previous frame"), () => step(-1)), button("▸", m.t("Next frame"), () => step(1)), e("span.at", { role: "status" }),
        e("button", { type: "button", onclick: () => this.review.addMissed() }, m.t("Add missed event"), " ", e("kbd", { "aria-hidden": "true" }, "N")),
        e("span.legend", {}, e("i.motion"), m.t("motion"), e("i.noise"), m.t("noise floor")));
      const inner = e("div.inner", { style: `width:${100 * this.zoom}%` }, ...data.tracks.map((track) => this.lane(track)), this.axis());
      inner.addEventListener("pointerdown", (press) => this.scrub(press, inner));
      const lanes = e("div.lanes", { tabindex: 0, "aria-label": m.t("Timeline") }, inner);
      const note = !data.recording && data.is_recording ? e("p.faint", {}, m.t("The recording is not here any more: only what was stored of it can be shown.")) : null;
      this.root = e("section.card.wide.timeline", { "aria-label": m.t("Timeline") }, tools,
        e("div.viewer", {}, lanes, data.recording ? e("figure", {}, this.picture, e("figcaption", {}, m.t("The recording at the playhead"))) : null), note);
      return this.root;
    }

    // After the root is in the page again.
    drawn() {
      this.root.querySelector(".lanes").scrollLeft = this.scroll;
      this.place();
      if (this.review.data.recording && !this.picture.hasAttribute("src")) this.show();
    }

    lane({ track, motion, noise, bin_s }) {
      const e = m.element;
      const { data, form, selected, shownKinds } = this.review;
      const highest = Math.max(0.6, ...motion.filter((px) => px !== null));
      const events = data.events.filter((event) => event.track === track && shownKinds.has(event.kind));
      events.sort((a, b) => b.offset_s - b.onset_s - (a.offset_s - a.onset_s));
      const lane = e("div.lane", {}, e("span.scale", {}, `${m.t("Face {track}", { track })} · ${m.number(highest, 1)} px`), ...events.map((event) => this.block(event)), e("i.playhead"));
      const draft = form.draft;
      if (draft && data.events.find((event) => event.id === selected)?.track === track) {
        lane.append(...HANDLES.map(([name, text]) => this.handle(lane, name, m.t(text))));
      }
      lane.insertAdjacentHTML("beforeend", `<svg viewBox="0 0 ${this.seconds} ${LANE}" preserveAspectRatio="none" aria-hidden="true"><path class="motion" d="${path(motion, bin_s, highest)}"/><path class="noise" d="${path(noise, bin_s, highest)}"/></svg>`);
      return lane;
    }

    block(event) {
      const { selected, form } = this.review;
      const { onset_s, offset_s, apex_s } = event.id === selected && form.draft ? form.draft : m.placed(event);
      const state = [event.missed ? ".missed" : "", event.codings.at(-1)?.is_false ? ".false" : ""].join("");
      return m.element(`button.${event.kind}${state}`, {
        style: this.span(onset_s, offset_s), "data-event": event.id, "aria-current": String(event.id === selected),
        title: `${m.kind(event)} ${m.streamTime(apex_s, true)} ${m.eventLabel(event)}`,
        "aria-label": `${m.kind(event)} ${m.streamTime(apex_s, true)}`, onclick: () => this.review.select(event.id, true),
      });
    }

    span(from_s, to_s) { return `left:${(100 * from_s) / this.seconds}%;width:${(100 * Math.max(to_s - from_s, 0)) / this.seconds}%`; }

    // A line that is dragged to correct onset, apex or offset of the selected event.
    handle(lane, name, text) {
      const { form } = this.review;
      const place = () => `left:${(100 * form.draft[name]) / this.seconds}%`;
      const handle = m.element("i.handle", { style: place(), title: text, "data-handle": name, "data-held": String(form.held === name) }, text[0]);
      const move = ({ clientX }) => {
        const box = lane.getBoundingClientRect();
        form.set(name, ((clientX - box.left) / box.width) * this.seconds);
        handle.style.cssText = place();
        const block = this.root.querySelector(`[data-event="${CSS.escape(this.review.selected)}"]`);
        if (block) block.style.cssText = this.span(form.draft.onset_s, form.draft.offset_s);
        this.goTo(form.draft[name]);
      };
      handle.addEventListener("pointerdown", (press) => {
        press.stopPropagation();
        handle.setPointerCapture(press.pointerId);
        form.held = name;
        handle.addEventListener("pointermove", move);
        handle.addEventListener("pointerup", () => this.review.draw(), { once: true });
      });
      return handle;
    }

    // Press or drag anywhere: the playhead follows.
    scrub(press, inner) {
      if (press.button !== 0 || press.target.closest("button, .handle")) return;
      const go = ({ clientX }) => {
        const box = inner.getBoundingClientRect();
        this.goTo(((clientX - box.left) / box.width) * this.seconds);
      };
      const end = new AbortController();
      go(press);
      addEventListener("pointermove", go, end);
      addEventListener("pointerup", () => end.abort(), end);
    }

    axis() {
      const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
      const step = steps.find((s) => this.seconds / s <= 8 * this.zoom) ?? 3600;
      const ticks = Array.from({ length: Math.ceil(this.seconds / step) }, (_, i) => m.element("span", { style: `left:${(100 * i * step) / this.seconds}%` },
        step < 1 ? `${(i * step).toFixed(1)} s` : m.streamTime(i * step)));
      return m.element("div.axis", {}, ...ticks);
    }
  };

  // An SVG path through the known values, broken where the face was away.
  const path = (values, bin_s, highest) => {
    let text = "", last = -1e9;
    const each = Math.max(1, Math.ceil(values.length / MAX_CURVE_POINTS));
    for (let i = 0; i < values.length; i += each) {
      const known = values.slice(i, i + each).filter((value) => value !== null);
      if (!known.length) continue;
      const t_s = (i + each / 2) * bin_s;
      text += `${t_s - last < Math.max(0.5, 2 * each * bin_s) ? "L" : "M"}${t_s.toFixed(2)} ${(LANE * (1 - Math.max(...known) / highest)).toFixed(1)}`;
      last = t_s;
    }
    return text;
  };

})();
