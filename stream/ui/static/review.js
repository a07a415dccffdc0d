// The review page: the timeline of one session, its events as a table or as clips, one event in detail, and its label.
// Everything can be done from the keyboard.
(() => {
  const m = window.merau;
  const LANE = 92;
  const COLUMNS = [
    [m.id("onset"), (event) => event.onset_s], [m.id("kind"), (event) => m.kind(event)],
    [m.id("expression"), (event) => m.className(event.label)], [m.id("your label"), (event) => m.className(event.user_label ?? "")],
    [m.id("duration"), (event) => event.offset_s - event.onset_s], [m.id("strength"), (event) => event.strength],
    [m.id("face"), (event) => event.track],
  ];
  const KINDS = ["micro", "macro", "blink", "head", "speech", "other"];
  const SPEEDS = [0.25, 0.5, 1];
  const PICTURES = [["onset_jpeg", m.id("onset")], ["apex_jpeg", m.id("apex")], ["flow_png", m.id("movement")]];
  const MAX_CURVE_POINTS = 600;
  const MAX_CLIPS = 60;

  // Whether a few-shot head gave an event another label than the bundle's own head, and what that label was.
  const isReclassified = ({ original, label, uncertain }) => original && (original.label !== label || original.uncertain !== uncertain);
  const originalLabel = (event) => m.t("Changed by your classes; originally {label}.", { label: m.eventLabel({ ...event, ...event.original }) });

  // A clip that is replaced while it loads stops playing with an AbortError, which means no harm.
  const play = (clip) => clip?.play().catch((error) => { if (error.name !== "AbortError") throw error; });

  m.reviewView = (element, trigger, props, watch) => new Review(element, trigger, props, watch);

  class Review {
    constructor(element, trigger, props, watch) {
      Object.assign(this, { root: element.querySelector(".review"), trigger, data: null, selected: null, speed: 0.5 });
      Object.assign(this, { shownKinds: new Set(["micro", "macro", "other"]), sort: [0, 1], query: "", showsClips: false });
      watch("value", () => this.setData(props.value));
      document.addEventListener("keydown", (event) => this.key(event));
      document.addEventListener("merau-event", ({ detail }) => detail.event.final && this.refreshSoon(detail.session));
      document.addEventListener("merau-clip", ({ detail }) => this.refreshSoon(detail.session));
      m.whenEntered(() => this.draw());
    }

    // The open session has new events or clips: fetch it again, once for all that come within a short time.
    refreshSoon(session) {
      if (!this.data || this.data.session !== session || this.timer) return;
      this.timer = setTimeout(() => { this.timer = null; this.trigger("refresh", {}); }, 1500);
    }

    setData(data) {
      const same = this.data && data && this.data.session === data.session && this.data.workspace === data.workspace;
      this.data = data;
      if (!same) this.selected = null;
      if (data && !this.event()) this.selected = this.visible()[0]?.id ?? null;
      this.draw();
    }

    event() { return this.data?.events.find((event) => event.id === this.selected); }

    visible() {
      const [column, direction] = this.sort;
      const value = COLUMNS[column][1];
      const found = this.data.events.filter((event) => this.shownKinds.has(event.kind)
        && [m.className(event.label), m.className(event.user_label ?? ""), m.kind(event), m.likelyUnits(event)].join(" ").toLowerCase().includes(this.query.toLowerCase()));
      return found.sort((a, b) => (value(a) > value(b) ? direction : value(a) < value(b) ? -direction : a.onset_s - b.onset_s));
    }

    url(what, query) { return m.url(what, { workspace: this.data.workspace, session: this.data.session, ...query }); }

    select(id, plays = false) {
      this.selected = id;
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
      const event = this.event();
      if (!event || !label.trim()) return;
      const known = this.data.classes.find((name) => m.className(name) === label.trim()); // it may be typed in the page's language
      this.trigger("set_label", { session: this.data.session, event: event.id, label: known ?? label.trim() });
      this.step(1);
    }

    key(event) {
      if (!this.root.querySelector(".detail")?.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
      if (/INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
      const video = this.root.querySelector(".detail video");
      const actions = {
        " ": () => (video?.paused ? play(video) : video?.pause()), j: () => this.step(1), k: () => this.step(-1),
        a: () => this.saveLabel(this.event()?.label ?? ""), x: () => this.saveLabel("no expression"),
        r: () => this.root.querySelector(".label-form input")?.focus(), u: () => this.trigger("undo_label", {}),
      };
      const action = actions[event.key];
      if (action) { event.preventDefault(); action(); }
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
      this.root.replaceChildren(this.timeline(), e("div.column", {}, list, this.exports()), this.detail());
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

    timeline() {
      const e = m.element;
      const { duration_s, tracks, events } = this.data;
      const seconds = Math.max(duration_s, 1);
      const place = (from, to) => `left:${(100 * from) / seconds}%;width:${(100 * Math.max(to - from, 0)) / seconds}%`;
      const lanes = tracks.map((track) => {
        const highest = Math.max(0.6, ...track.motion.filter((px) => px !== null));
        const ofTrack = events.filter((event) => event.track === track.track && this.shownKinds.has(event.kind));
        ofTrack.sort((a, b) => b.offset_s - b.onset_s - (a.offset_s - a.onset_s));
        const lane = e("div.lane", {}, e("span.scale", {}, `${m.t("Face {track}", track)} · ${m.number(highest, 1)} px`), ...ofTrack.map((event) => e(`button.${event.kind}`, {
          style: place(event.onset_s, event.offset_s), "aria-current": String(event.id === this.selected),
          title: `${m.kind(event)} ${m.streamTime(event.apex_s, true)} ${m.eventLabel(event)}`,
          "aria-label": `${m.kind(event)} ${m.streamTime(event.apex_s, true)}`, onclick: () => this.select(event.id, true),
        })));
        lane.insertAdjacentHTML("beforeend", `<svg viewBox="0 0 ${seconds} ${LANE}" preserveAspectRatio="none" aria-hidden="true"><path class="motion" d="${path(track.motion, track.bin_s, highest)}"/><path class="noise" d="${path(track.noise, track.bin_s, highest)}"/></svg>`);
        return lane;
      });
      const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((s) => seconds / s <= 8) ?? 3600;
      const ticks = Array.from({ length: Math.ceil(seconds / step) }, (_, i) => e("span", { style: `left:${(100 * i * step) / seconds}%` }, m.streamTime(i * step)));
      return e("section.card.wide", { "aria-label": m.t("Timeline") }, ...lanes, e("div.axis", {}, ...ticks));
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
        e("td", {}, m.streamTime(event.onset_s, true)), e("td.kind", {}, m.kind(event)),
        e("td", {}, m.eventLabel(event), isReclassified(event) ? e("span.reclassified", { title: originalLabel(event) }, " ↻") : null),
        e("td.user-label", {}, event.user_label ? `✓ ${m.className(event.user_label)}` : ""),
        e("td", {}, `${Math.round(1000 * (event.offset_s - event.onset_s))} ms`), e("td", {}, `${m.number(event.strength, 2)} px`), e("td", {}, event.track)));
      return e("div.scroll", {}, e("table", {}, e("thead", {}, e("tr", {}, ...head)), e("tbody", {}, ...rows)));
    }

    clips(events) {
      const e = m.element;
      const clips = events.filter((event) => event.clip).slice(0, MAX_CLIPS).map((event) => {
        const clip = e("video", { src: this.url("clip", { event: event.id }), preload: "metadata", playsinline: true });
        Object.assign(clip, { muted: true, loop: true });
        return e(`button.${event.kind}`, { type: "button", "aria-current": String(event.id === this.selected), onclick: () => this.select(event.id, true), onpointerenter: () => { clip.playbackRate = this.speed; play(clip); }, onpointerleave: () => clip.pause() },
          clip, e("span", {}, `${m.streamTime(event.apex_s, true)} · ${event.user_label ? `✓ ${m.className(event.user_label)}` : m.eventLabel(event)}`));
      });
      return clips.length ? e("div.gallery", {}, ...clips) : e("p.faint", {}, m.t("No clips."));
    }

    exports() {
      const e = m.element;
      const link = (what, text, query) => e("a", { href: this.url(what, query), download: "" }, text);
      const blur = e("input", { type: "checkbox", onchange: () => { this.blurs = blur.checked; this.draw(); } });
      blur.checked = Boolean(this.blurs);
      return e("section.card.exports", { "aria-label": m.t("Export") }, e("span.faint", {}, m.t("Export")),
        ...this.data.formats.map((format) => link("events", format.toUpperCase(), { format })),
        link("clips", m.t("Clips (ZIP)"), this.blurs ? { blur: 1 } : {}), e("label", {}, blur, " ", m.t("blur faces")));
    }

    detail() {
      const e = m.element;
      const event = this.event();
      if (!event) return e("section.card.detail", {}, e("p.faint", {}, this.emptyText()));
      const clip = event.clip ? e("video", { src: this.url("clip", { event: event.id }), controls: true, playsinline: true, "aria-label": m.t("Event clip") }) : null;
      if (clip) Object.assign(clip, { muted: true, loop: true, defaultPlaybackRate: this.speed, playbackRate: this.speed, autoplay: true });
      const speeds = e("div.tools", {}, ...SPEEDS.map((speed) => e("button", { type: "button", "aria-pressed": String(speed === this.speed), onclick: () => { this.speed = speed; this.draw(); } }, `${speed}×`)));
      const pictures = PICTURES.map(([name, caption]) => e("figure", {}, e("img", { src: this.url("picture", { event: event.id, name }), alt: m.t(caption), loading: "lazy" }), e("figcaption", {}, m.t(caption))));
      return e(`section.card.detail.${event.kind}`, { "aria-label": m.t("Event") },
        e("header", {}, e("h2", {}, m.eventLabel(event) || m.kind(event)), isReclassified(event) ? e("p.reclassified", {}, originalLabel(event)) : null, e("p.faint", {}, `${m.kind(event)} · ${m.t("Face {track}", event)}`),
          e("p.faint", {}, [[m.t("onset"), event.onset_s], [m.t("apex"), event.apex_s], [m.t("offset"), event.offset_s]].map(([name, t_s]) => `${name}\u00a0${m.streamTime(t_s, true)}`).join(" · "))),
        clip ?? e("p.none", {}, m.t("No clip of this event.")), clip ? speeds : null,
        event.pictures ? e("div.pictures", {}, ...pictures) : null, event.label ? m.eventBars(event) : null, this.labelForm(event));
    }

    labelForm(event) {
      const e = m.element;
      const name = e("input", { type: "text", "data-keep": "name", list: "merau-classes", maxlength: 40, placeholder: m.t("Other label"), "aria-label": m.t("Other label") });
      const key = (letter) => e("kbd", { "aria-hidden": "true" }, letter);
      const form = e("form", { onsubmit: (submit) => { submit.preventDefault(); this.saveLabel(name.value); } }, name, e("button", { type: "submit" }, m.t("Save label"), " ", key("R")));
      name.addEventListener("keydown", (press) => press.key === "Escape" && name.blur());
      const confirm = event.label ? e("button.main", { type: "button", onclick: () => this.saveLabel(event.label) }, m.t("Confirm {label}", { label: m.className(event.label) }), " ", key("A")) : null;
      return e("div.label-form", {}, event.user_label ? e("p.user-label", { style: "flex:1 1 100%" }, `✓ ${m.t("Your label: {label}", { label: m.className(event.user_label) })}`) : null,
        confirm, e("button", { type: "button", onclick: () => this.saveLabel("no expression") }, m.t("No expression"), " ", key("X")),
        e("button", { type: "button", onclick: () => this.trigger("undo_label", {}) }, m.t("Undo label"), " ", key("U")), form,
        e("datalist", { id: "merau-classes" }, ...this.data.classes.map((label) => e("option", { value: m.className(label) }))),
        e("p.faint.keys", { style: "flex:1 1 100%" }, key("J"), " ", key("K"), ` ${m.t("next, previous")} · `, key(m.t("Space")), ` ${m.t("play or pause")}`));
    }
  }

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
      ...(taught ? [e("a", { href: m.url("head", { workspace: props.value.workspace }), download: "" }, m.t("Save your classes"))] : []));
  });
})();
