// The review page: the timeline of one session, its events as a table or as clips, one event in detail, and its label.
// Everything can be done from the keyboard.
(() => {
  const m = window.merau;
  const COLUMNS = [
    [m.id("onset"), (event) => event.onset_s], [m.id("kind"), (event) => m.kind(event)],
    [m.id("expression"), (event) => m.className(event.label)], [m.id("coding"), (event) => codedText(event)],
    [m.id("duration"), (event) => event.offset_s - event.onset_s], [m.id("strength"), (event) => event.strength],
    [m.id("face"), (event) => event.track],
  ];
  const KINDS = ["micro", "macro", "blink", "head", "speech", "other"];
  const SPEEDS = [0.25, 0.5, 1];
  const PICTURES = [["onset_jpeg", m.id("onset")], ["apex_jpeg", m.id("apex")]];
  const MAX_CLIPS = 60;
  const SIDES = { left: m.id("left side"), right: m.id("right side"), both: m.id("both sides") };
  const WORDS = { both: m.id("machine and coders"), machine: m.id("machine only"), only: m.id("coders only") };

  // Whether a few-shot head gave an event another label than the bundle's own head, and what that label was.
  const isReclassified = ({ original, label, uncertain }) => original && (original.label !== label || original.uncertain !== uncertain);
  const originalLabel = (event) => m.t("Changed by your classes; originally {label}.", { label: m.eventLabel({ ...event, ...event.original }) });

  const newest = (event) => event.codings.at(-1);
  // What the newest coding says of an event, in a few words.
  const codedText = (event) => {
    const coding = newest(event);
    if (!coding) return "";
    if (coding.is_false) return `✗ ${m.t("false event")}`;
    return `${coding.is_missed ? "+" : "✓"} ${m.className(coding.label ?? "") || m.kind({ kind: coding.kind ?? event.kind })}`;
  };
  const placed = m.placed;

  // A clip that is replaced while it loads stops playing with an AbortError, which means no harm.
  const play = (clip) => clip?.play().catch((error) => { if (error.name !== "AbortError") throw error; });

  m.reviewView = (element, trigger, props, watch) => new Review(element, trigger, props, watch);

  class Review {
    constructor(element, trigger, props, watch) {
      Object.assign(this, { root: element.querySelector(".review"), trigger, data: null, selected: null, speed: 0.5 });
      Object.assign(this, { shownKinds: new Set(["micro", "macro", "other"]), sort: [0, 1], query: "", showsClips: false });
      this.timeline = new m.Timeline(this);
      this.form = new m.CodingForm(this);
      addEventListener("beforeunload", (event) => this.form.isDirty() && event.preventDefault());
      watch("value", () => this.setData(props.value));
      document.addEventListener("keydown", (event) => this.key(event));
      document.addEventListener("merau-event", ({ detail }) => detail.event.final && this.refreshSoon(detail.session));
      document.addEventListener("merau-clip", ({ detail }) => this.refreshSoon(detail.session));
      m.whenEntered(() => {
        this.draw();
        if (this.root.firstElementChild?.offsetParent) this.trigger("refresh", {}); // the tab was open before the session was
      });
    }

    // The open session has new events or clips: fetch it again, once for all that come within a short time.
    refreshSoon(session) {
      if (!this.data || this.data.session !== session || this.timer) return;
      this.timer = setTimeout(() => { this.timer = null; this.trigger("refresh", {}); }, 1500);
    }

    setData(data) {
      const same = this.data && data && this.data.session === data.session && this.data.workspace === data.workspace;
      this.data = data;
      if (!same) Object.assign(this, { selected: null, addsEvent: false });
      if (data && this.addsEvent) this.selectNewest();
      if (data && !this.event()) this.selected = this.visible()[0]?.id ?? null;
      if (!same) this.timeline.reset();
      this.form.reset(same);
      this.draw();
    }

    // The event that was added just now has the newest coding.
    selectNewest() {
      this.addsEvent = false;
      const id = (event) => newest(event)?.id ?? 0;
      const added = this.data.events.filter((event) => event.missed).sort((a, b) => id(b) - id(a))[0];
      if (added) Object.assign(this, { selected: added.id, shownKinds: this.shownKinds.add(added.kind) });
    }

    event() { return this.data?.events.find((event) => event.id === this.selected); }

    visible() {
      const [column, direction] = this.sort;
      const value = COLUMNS[column][1];
      const found = this.data.events.filter((event) => this.shownKinds.has(event.kind)
        && [m.className(event.label), codedText(event), m.kind(event), m.likelyUnits(event)].join(" ").toLowerCase().includes(this.query.toLowerCase()));
      return found.sort((a, b) => (value(a) > value(b) ? direction : value(a) < value(b) ? -direction : a.onset_s - b.onset_s));
    }

    url(what, query) { return m.url(what, { workspace: this.data.workspace, session: this.data.session, ...query }); }

    select(id, plays = false) {
      if (id !== this.selected && !this.form.mayLeave()) return;
      this.selected = id;
      this.form.reset();
      this.timeline.goTo(placed(this.event()).apex_s);
      this.draw();
      if (plays) play(this.root.querySelector(".detail video"));
      const below = matchMedia("(max-width: 900px)").matches; // there the event is below the list
      this.root.querySelector(below ? ".detail" : "tr[aria-selected=true]")?.scrollIntoView({ block: below ? "start" : "nearest" });
    }

    step(by) {
      const events = this.visible();
      const at = events.findIndex((event) => event.id === this.selected);
      const next = events[Math.min(Math.max(at + by, 0), events.length - 1)];
      if (next) this.select(next.id);
    }

    saveLabel(label) {
      if (!this.event() || !label.trim()) return;
      const known = this.data.classes.find((name) => m.className(name) === label.trim()); // it may be typed in the page's language
      this.code({ label: known ?? label.trim(), is_false: false });
      this.step(1);
    }

    // The machine was right: its class, or its kind where it names none.
    confirm() {
      const event = this.event();
      if (!event) return;
      if (event.label) this.saveLabel(event.label);
      else { this.code({ kind: event.kind, is_false: false }); this.step(1); }
    }

    // Send changes to the coding of the selected event.
    code(changes) {
      this.form.drop();
      this.trigger("code", { session: this.data.session, event: this.selected, coder: this.form.coder, changes });
    }

    addMissed() {
      this.addsEvent = true;
      const changes = this.timeline.newEvent();
      this.trigger("code", { session: this.data.session, event: "", coder: this.form.coder, changes });
    }

    undo() { this.trigger("undo_coding", { coder: this.form.coder }); }

    key(event) {
      if (!this.root.querySelector(".detail")?.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
      if (/INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
      const video = this.root.querySelector(".detail video");
      const frames = (event.shiftKey ? 5 : 1) * (event.key === "ArrowLeft" ? -1 : 1);
      const actions = {
        " ": () => (video?.paused ? play(video) : video?.pause()), j: () => this.step(1), k: () => this.step(-1),
        a: () => this.confirm(), x: () => this.saveLabel("no expression"), f: () => { this.code({ is_false: true }); this.step(1); },
        r: () => this.root.querySelector(".label-form input.label")?.focus(), u: () => this.undo(), n: () => this.addMissed(), s: () => this.form.save(),
        1: () => this.form.hold("onset_s"), 2: () => this.form.hold("apex_s"), 3: () => this.form.hold("offset_s"), Escape: () => this.form.hold(null),
        ArrowLeft: () => this.nudge(frames), ArrowRight: () => this.nudge(frames), "+": () => this.timeline.zoomBy(2), "-": () => this.timeline.zoomBy(0.5),
      };
      const action = actions[event.key];
      if (action) { event.preventDefault(); action(); }
    }

    // Move what is held, or the playhead, by frames.
    nudge(frames) {
      if (this.form.held) this.form.nudge(frames); else this.timeline.goTo(this.timeline.at_s + frames * this.data.frame_s);
    }

    draw() {
      const e = m.element;
      if (!this.data) return this.root.replaceChildren(e("p.empty.wide", {}, m.t("No events yet. Events of cameras and recordings are listed here.")));
      const focus = document.activeElement?.dataset?.keep;
      const events = this.visible();
      const changed = this.data.events.filter(isReclassified).length;
      const banner = this.data.events.some((event) => event.original) ? e("p.reclassified", { role: "status" },
        ...(changed ? [m.plural("Your classes are in use: {count} event changed (↻).", "Your classes are in use: {count} events changed (↻).", changed),
          " ", m.t("Undo teaching to restore the original predictions.")] : [m.t("Your classes are in use; no event changed its class.")])) : null;
      const list = e("section.card", { "aria-label": m.t("Events") }, ...this.tools(), banner, this.showsClips ? this.clips(events) : this.table(events));
      this.root.replaceChildren(this.timeline.draw(), e("div.column", {}, list, this.exports(), this.history()), this.detail());
      this.timeline.drawn();
      if (focus) {
        const again = this.root.querySelector(`[data-keep="${focus}"]`);
        again?.focus();
        again?.setSelectionRange?.(again.value.length, again.value.length);
      }
    }

    emptyText() {
      const hidden = this.data.events.length - this.visible().length;
      return hidden ? m.plural("{count} event is hidden by the filter.", "{count} events are hidden by the filter.", hidden) : m.t("No event selected.");
    }

    tools() {
      const e = m.element;
      const toggle = (pressed, onclick, ...content) => e("button", { type: "button", "aria-pressed": String(pressed), onclick }, ...content);
      const present = KINDS.filter((kind) => this.data.events.some((event) => event.kind === kind));
      const chips = present.map((kind) => {
        const chip = toggle(this.shownKinds.has(kind), () => { this.shownKinds[this.shownKinds.has(kind) ? "delete" : "add"](kind); this.draw(); },
          m.kind({ kind }), e("b", {}, this.data.events.filter((event) => event.kind === kind).length));
        chip.classList.add("chip", kind);
        return chip;
      });
      const search = e("input", { type: "search", "data-keep": "search", placeholder: m.t("Search"), "aria-label": m.t("Search"), value: this.query, oninput: () => { this.query = search.value; this.draw(); } });
      return [e("div.tools", {}, ...chips), e("div.tools", {}, search,
        toggle(!this.showsClips, () => { this.showsClips = false; this.draw(); }, m.t("Table")),
        toggle(this.showsClips, () => { this.showsClips = true; this.draw(); }, m.t("Clips")))];
    }

    table(events) {
      const e = m.element;
      const head = COLUMNS.map(([name], i) => {
        const arrow = this.sort[0] === i ? (this.sort[1] > 0 ? " ↑" : " ↓") : "";
        const sortBy = () => { this.sort = [i, this.sort[0] === i ? -this.sort[1] : 1]; this.draw(); };
        return e("th", { scope: "col", "aria-sort": arrow ? (this.sort[1] > 0 ? "ascending" : "descending") : "none" }, e("button", { type: "button", onclick: sortBy }, m.t(name) + arrow));
      });
      const rows = events.map((event) => e(`tr.${event.kind}`, { "data-id": event.id, tabindex: 0, "aria-selected": String(event.id === this.selected), onclick: () => this.select(event.id, true), onkeydown: (press) => press.key === "Enter" && this.select(event.id, true) },
        e("td", {}, m.streamTime(placed(event).onset_s, true)), e("td.kind", {}, m.kind(event)),
        e("td", {}, m.eventLabel(event), isReclassified(event) ? e("span.reclassified", { title: originalLabel(event) }, " ↻") : null),
        e("td.user-label", {}, codedText(event)),
        e("td", {}, `${Math.round(1000 * (placed(event).offset_s - placed(event).onset_s))} ms`), e("td", {}, event.strength === null ? "–" : `${m.number(event.strength, 2)} px`), e("td", {}, event.track)));
      return e("div.scroll", {}, e("table", {}, e("thead", {}, e("tr", {}, ...head)), e("tbody", {}, ...rows)));
    }

    clips(events) {
      const e = m.element;
      const clips = events.filter((event) => event.clip).slice(0, MAX_CLIPS).map((event) => {
        const clip = e("video", { src: this.url("clip", { event: event.id }), preload: "metadata", playsinline: true });
        Object.assign(clip, { muted: true, loop: true });
        return e(`button.${event.kind}`, { type: "button", "aria-current": String(event.id === this.selected), onclick: () => this.select(event.id, true), onpointerenter: () => { clip.playbackRate = this.speed; play(clip); }, onpointerleave: () => clip.pause() },
          clip, e("span", {}, `${m.streamTime(event.apex_s, true)} · ${codedText(event) || m.eventLabel(event)}`));
      });
      return clips.length ? e("div.gallery", {}, ...clips) : e("p.faint", {}, m.t("No clips."));
    }

    exports() {
      const e = m.element;
      const link = (what, text, query) => e("a", { href: this.url(what, query), download: "" }, text);
      const blur = e("input", { type: "checkbox", onchange: () => { this.blurs = blur.checked; this.draw(); } });
      blur.checked = Boolean(this.blurs);
      const labels = this.labels ?? "both";
      const words = e("select", { "aria-label": m.t("Whose word"), onchange: () => { this.labels = words.value; this.draw(); } },
        ...Object.entries(WORDS).map(([value, text]) => e("option", { value, selected: value === labels }, m.t(text))));
      return e("section.card.exports", { "aria-label": m.t("Export") }, e("span.faint", {}, m.t("Export")),
        ...this.data.formats.map((format) => link("events", format.toUpperCase(), { format, labels })), words,
        link("clips", m.t("Clips (ZIP)"), this.blurs ? { blur: 1 } : {}), e("label", {}, blur, " ", m.t("blur faces")));
    }

    // What was coded and undone in this session, the newest first.
    history() {
      const e = m.element;
      const { history } = this.data;
      if (!history.length) return null;
      const steps = [...history].reverse().map(({ coding, at, is_undo }) => e(is_undo ? "li.undone" : "li", {},
        e("button", { type: "button", onclick: () => this.select(coding.event) }, is_undo ? `↶ ${m.coding(coding)}` : m.coding(coding)),
        e("small", {}, ` ${new Date(at).toLocaleString(m.language, { dateStyle: "short", timeStyle: "short" })}`)));
      const details = e("details", { ontoggle: () => { this.showsHistory = details.open; } }, e("summary", {}, m.t("History of codings ({count})", { count: history.length })), e("ol.history", {}, ...steps));
      details.open = Boolean(this.showsHistory);
      return e("section.card", { "aria-label": m.t("History") }, details);
    }

    detail() {
      const e = m.element;
      const event = this.event();
      if (!event) return e("section.card.detail", {}, e("p.faint", {}, this.emptyText()));
      const clip = event.clip ? e("video", { src: this.url("clip", { event: event.id }), controls: true, playsinline: true, "aria-label": m.t("Event clip") }) : null;
      if (clip) Object.assign(clip, { muted: true, loop: true, defaultPlaybackRate: this.speed, playbackRate: this.speed, autoplay: true });
      const speeds = e("div.tools", {}, ...SPEEDS.map((speed) => e("button", { type: "button", "aria-pressed": String(speed === this.speed), onclick: () => { this.speed = speed; this.draw(); } }, `${speed}×`)));
      const none = !this.data.recording && this.data.is_recording ? m.t("No clip of this event: its recording is not here any more.") : m.t("No clip of this event.");
      const { onset_s, apex_s, offset_s } = placed(event);
      return e(`section.card.detail.${event.kind}`, { "aria-label": m.t("Event") },
        e("header", {}, e("h2", {}, m.eventLabel(event) || m.kind(event)), isReclassified(event) ? e("p.reclassified", {}, originalLabel(event)) : null,
          e("p.faint", {}, [m.kind(event), m.t("Face {track}", event), event.side && m.t(SIDES[event.side]), event.missed ? m.t("added by a person") : ""].filter(Boolean).join(" · ")),
          e("p.faint", {}, [[m.t("onset"), onset_s], [m.t("apex"), apex_s], [m.t("offset"), offset_s]].map(([name, t_s]) => `${name}\u00a0${m.streamTime(t_s, true)}`).join(" · "))),
        clip ?? e("p.none", {}, none), clip ? speeds : null,
        event.pictures ? this.pictures(event) : null, event.label ? m.eventBars(event) : null, this.form.draw());
    }

    // Onset and apex beside each other, in turn, and what differs between them; how the skin moved.
    pictures(event) {
      const e = m.element;
      const figure = (picture, caption) => e("figure", {}, picture, e("figcaption", {}, m.t(caption)));
      const image = (name, caption) => e("img", { src: this.url("picture", { event: event.id, name }), alt: m.t(caption), loading: "lazy" });
      const [onset, apex] = PICTURES.map(([name, caption]) => image(name, caption));
      const difference = e("canvas", { role: "img", "aria-label": m.t("difference, enlarged") });
      const compare = () => onset.naturalWidth && apex.naturalWidth && drawDifference(difference, onset, apex);
      for (const picture of [onset, apex]) picture.addEventListener("load", compare);
      const flicker = e("span.flicker", {}, ...PICTURES.map(([name]) => e("img", { src: this.url("picture", { event: event.id, name }), alt: "" })));
      const movement = event.movement ? figure(e("span.movement", {}, image("flow_png", m.id("movement")), e("i.wheel", { title: m.t("Colour shows the direction of movement, intensity its size.") })), m.id("movement")) : null;
      return e("div.pictures", {}, figure(onset, m.id("onset")), figure(apex, m.id("apex")), figure(flicker, m.id("in turn")), figure(difference, m.id("difference, enlarged")), movement);
    }
  }

  // Grey where nothing differs; what is brighter at the apex is bright.
  const GAIN = 4;
  const drawDifference = (canvas, onset, apex) => {
    const [width, height] = [onset.naturalWidth, onset.naturalHeight];
    Object.assign(canvas, { width, height });
    const c = canvas.getContext("2d", { willReadFrequently: true });
    const pixels = [onset, apex].map((image) => { c.drawImage(image, 0, 0, width, height); return c.getImageData(0, 0, width, height); });
    const [first, last] = pixels.map((image) => image.data);
    for (let i = 0; i < last.length; i += 4) for (let k = 0; k < 3; k += 1) last[i + k] = 128 + GAIN * (last[i + k] - first[i + k]);
    c.putImageData(pixels[1], 0, 0);
  };

  // The names of classes are one text among an explanation's values.
  const inOwnLanguage = (explanation) => explanation && {
    ...explanation,
    values: { ...explanation.values, classes: explanation.values.classes.split(", ").map(m.className).join(", ") },
  };

  // The labelled samples of each class, and whether a few-shot head is in use.
  m.teachPanel = (element, props, watch) => watch("value", () => {
    const { counts, taught, enough } = props.value;
    const explanation = inOwnLanguage(props.value.explanation);
    const e = m.element;
    const shots = Object.entries(counts).map(([label, number]) => e("div", {}, e("b", {}, m.className(label)), e("small", {}, ` ${number}`),
      e("div.dots", { role: "img", "aria-label": m.t("{number} of {enough}", { number, enough }) }, ...Array.from({ length: enough }, (_, i) => e(i < number ? "i.full" : "i")))));
    element.querySelector(".m").replaceChildren(
      e("div.shots", {}, ...(shots.length ? shots : [e("p.faint", {}, m.t("Label events above. Five of each class are a good start."))])),
      e("p", { role: "status" }, m.text(explanation) || m.t("The built-in classes are in use.")),
      ...(props.value.proposal ? [e("div.proposal", { "aria-live": "polite" }, e("b", {}, m.t("Proposal, not in use yet")), e("p", {}, m.text(inOwnLanguage(props.value.proposal))),
        e("p", {}, m.text(props.value.preview)))] : []),
      ...(taught ? [e("a", { href: m.url("head", { workspace: props.value.workspace }), download: "" }, m.t("Save your classes"))] : []));
  });
})();
