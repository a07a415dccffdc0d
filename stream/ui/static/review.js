// The review page: the timeline of one session, its events as table or gallery, one event in detail, and what a person
// says of it. Everything can be done from the keyboard.
(() => {
  const m = window.merau;
  const LANE = 92;
  const COLUMNS = [
    ["onset", (event) => event.onset_s], ["kind", (event) => m.kind(event)], ["expression", (event) => m.named(event.label)],
    ["your word", (event) => m.named(event.given ?? "")], ["duration", (event) => event.offset_s - event.onset_s],
    ["strength", (event) => event.strength], ["face", (event) => event.track],
  ];
  const KINDS = ["micro", "macro", "blink", "head", "speech", "other"];
  const SPEEDS = [0.25, 0.5, 1];
  const CURVE = 600; // points of a curve at most

  // What was first said of an event that is judged by what was taught since, and whether that is another word.
  const first = (event) => m.say("By what was taught. First said: {first}.", { first: m.verdict({ ...event, ...event.first }) });
  const otherwise = ({ first, label, uncertain }) => first && (first.label !== label || first.uncertain !== uncertain);

  // A film that is replaced while it still loads gives up playing: that is no error.
  const started = (film) => film?.play().catch((error) => { if (error.name !== "AbortError") throw error; });

  m.review = (element, trigger, props, watch) => new Review(element, trigger, props, watch);

  class Review {
    constructor(element, trigger, props, watch) {
      Object.assign(this, { root: element.querySelector(".review"), trigger, data: null, chosen: null, speed: 0.5 });
      Object.assign(this, { shown: new Set(["micro", "macro", "other"]), sort: [0, 1], wanted: "", gallery: false });
      watch("value", () => this.take(props.value));
      document.addEventListener("keydown", (event) => this.key(event));
      document.addEventListener("merau-event", ({ detail }) => detail.event.final && this.later(detail.session));
      document.addEventListener("merau-clip", ({ detail }) => this.later(detail.session));
      m.whenEntered(() => this.draw());
    }

    // New events of the session that is open: ask for it again, once for all that come together.
    later(session) {
      if (!this.data || this.data.session !== session || this.timer) return;
      this.timer = setTimeout(() => { this.timer = null; this.trigger("refresh", {}); }, 1500);
    }

    take(data) {
      const same = this.data && data && this.data.session === data.session && this.data.workspace === data.workspace;
      this.data = data;
      if (!same) this.chosen = null;
      if (data && !this.event()) this.chosen = this.visible()[0]?.id ?? null;
      this.draw();
    }

    event() { return this.data?.events.find((event) => event.id === this.chosen); }

    visible() {
      const [column, way] = this.sort;
      const value = COLUMNS[column][1];
      const found = this.data.events.filter((event) => this.shown.has(event.kind)
        && [m.named(event.label), m.named(event.given ?? ""), m.kind(event), m.units(event)].join(" ").toLowerCase().includes(this.wanted.toLowerCase()));
      return found.sort((a, b) => (value(a) > value(b) ? way : value(a) < value(b) ? -way : a.onset_s - b.onset_s));
    }

    url(what, query) { return m.url(what, { workspace: this.data.workspace, session: this.data.session, ...query }); }

    choose(id, play = false) {
      this.chosen = id;
      this.draw();
      if (play) started(this.root.querySelector(".detail video"));
      const below = matchMedia("(max-width: 900px)").matches; // the event stands below the list there
      this.root.querySelector(below ? ".detail" : "tr[aria-selected=true]")?.scrollIntoView({ block: below ? "start" : "nearest" });
    }

    step(by) {
      const events = this.visible();
      const at = events.findIndex((event) => event.id === this.chosen);
      const next = events[Math.min(Math.max(at + by, 0), events.length - 1)];
      if (next) this.choose(next.id);
    }

    judge(label) {
      const event = this.event();
      if (!event || !label.trim()) return;
      const known = this.data.classes.find((name) => m.named(name) === label.trim()); // typed in the page's language
      this.trigger("judge", { session: this.data.session, event: event.id, label: known ?? label.trim() });
      this.step(1);
    }

    key(event) {
      if (!this.root.querySelector(".detail")?.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
      if (/INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
      const video = this.root.querySelector(".detail video");
      const does = {
        " ": () => (video?.paused ? started(video) : video?.pause()), j: () => this.step(1), k: () => this.step(-1),
        a: () => this.judge(this.event()?.label ?? ""), x: () => this.judge("no expression"),
        r: () => this.root.querySelector(".verdict input")?.focus(), u: () => this.trigger("undo", {}),
      }[event.key];
      if (does) { event.preventDefault(); does(); }
    }

    draw() {
      const e = m.element;
      if (!this.data) return this.root.replaceChildren(e("p.empty.wide", {}, m.say("Nothing has been recorded yet. Events of the live page and of recordings come here.")));
      const focus = document.activeElement?.dataset?.keep;
      const events = this.visible();
      const anew = this.data.events.filter(otherwise).length;
      const note = this.data.events.some((event) => event.first) ? e("p.anew", { role: "status" }, m.say("These events are judged by what was taught; taken otherwise than at first (↻): {anew}. Undoing the lesson brings the first word back.", { anew })) : null;
      const list = e("section.card", { "aria-label": m.say("Events") }, ...this.tools(), note, this.gallery ? this.films(events) : this.table(events));
      this.root.replaceChildren(this.timeline(), e("div.column", {}, list, this.exports()), this.detail());
      if (focus) {
        const again = this.root.querySelector(`[data-keep="${focus}"]`);
        again?.focus();
        again?.setSelectionRange?.(again.value.length, again.value.length);
      }
    }

    timeline() {
      const e = m.element;
      const { duration_s, tracks, events } = this.data;
      const seconds = Math.max(duration_s, 1);
      const place = (from, to) => `left:${(100 * from) / seconds}%;width:${(100 * Math.max(to - from, 0)) / seconds}%`;
      const lanes = tracks.map((track) => {
        const highest = Math.max(0.6, ...track.motion.filter((px) => px !== null));
        const mine = events.filter((event) => event.track === track.track && this.shown.has(event.kind));
        mine.sort((a, b) => b.offset_s - b.onset_s - (a.offset_s - a.onset_s));
        const lane = e("div.lane", {}, e("span.scale", {}, `${m.say("Face {track}", track)} · ${highest.toFixed(1)} px`), ...mine.map((event) => e(`button.${event.kind}`, {
          style: place(event.onset_s, event.offset_s), "aria-current": String(event.id === this.chosen),
          title: `${m.kind(event)} ${m.clock(event.apex_s, true)} ${m.verdict(event)}`,
          "aria-label": `${m.kind(event)} ${m.clock(event.apex_s, true)}`, onclick: () => this.choose(event.id, true),
        })));
        lane.insertAdjacentHTML("beforeend", `<svg viewBox="0 0 ${seconds} ${LANE}" preserveAspectRatio="none" aria-hidden="true"><path class="motion" d="${path(track.motion, track.bin_s, highest)}"/><path class="noise" d="${path(track.noise, track.bin_s, highest)}"/></svg>`);
        return lane;
      });
      const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((s) => seconds / s <= 8) ?? 3600;
      const ticks = Array.from({ length: Math.ceil(seconds / step) }, (_, i) => e("span", { style: `left:${(100 * i * step) / seconds}%` }, m.clock(i * step)));
      return e("section.card.wide", { "aria-label": m.say("Timeline") }, ...lanes, e("div.axis", {}, ...ticks));
    }

    tools() {
      const e = m.element;
      const press = (is, what, ...rest) => e("button", { type: "button", "aria-pressed": String(is), onclick: what }, ...rest);
      const there = KINDS.filter((kind) => this.data.events.some((event) => event.kind === kind));
      const chips = there.map((kind) => {
        const chip = press(this.shown.has(kind), () => { this.shown[this.shown.has(kind) ? "delete" : "add"](kind); this.draw(); },
          m.kind({ kind }), e("b", {}, this.data.events.filter((event) => event.kind === kind).length));
        chip.classList.add("chip", kind);
        return chip;
      });
      const search = e("input", { type: "search", "data-keep": "search", placeholder: m.say("Search"), "aria-label": m.say("Search"), value: this.wanted, oninput: () => { this.wanted = search.value; this.draw(); } });
      return [e("div.tools", {}, ...chips), e("div.tools", {}, search,
        press(!this.gallery, () => { this.gallery = false; this.draw(); }, m.say("Table")),
        press(this.gallery, () => { this.gallery = true; this.draw(); }, m.say("Films")))];
    }

    table(events) {
      const e = m.element;
      const head = COLUMNS.map(([name], i) => {
        const arrow = this.sort[0] === i ? (this.sort[1] > 0 ? " ↑" : " ↓") : "";
        const turn = () => { this.sort = [i, this.sort[0] === i ? -this.sort[1] : 1]; this.draw(); };
        return e("th", { scope: "col", "aria-sort": arrow ? (this.sort[1] > 0 ? "ascending" : "descending") : "none" }, e("button", { type: "button", onclick: turn }, m.say(name) + arrow));
      });
      const rows = events.map((event) => e(`tr.${event.kind}`, { "data-id": event.id, tabindex: 0, "aria-selected": String(event.id === this.chosen), onclick: () => this.choose(event.id, true), onkeydown: (press) => press.key === "Enter" && this.choose(event.id, true) },
        e("td", {}, m.clock(event.onset_s, true)), e("td.kind", {}, m.kind(event)),
        e("td", {}, m.verdict(event), otherwise(event) ? e("span.anew", { title: first(event) }, " ↻") : null),
        e("td.mark", {}, event.given ? `✓ ${m.named(event.given)}` : ""),
        e("td", {}, `${Math.round(1000 * (event.offset_s - event.onset_s))} ms`), e("td", {}, `${event.strength.toFixed(2)} px`), e("td", {}, event.track)));
      return e("div.scroll", {}, e("table", {}, e("thead", {}, e("tr", {}, ...head)), e("tbody", {}, ...rows)));
    }

    films(events) {
      const e = m.element;
      const films = events.filter((event) => event.clip).slice(0, 60).map((event) => {
        const film = e("video", { src: this.url("clip", { event: event.id }), preload: "metadata", playsinline: true });
        Object.assign(film, { muted: true, loop: true });
        return e(`button.${event.kind}`, { type: "button", "aria-current": String(event.id === this.chosen), onclick: () => this.choose(event.id, true), onpointerenter: () => { film.playbackRate = this.speed; started(film); }, onpointerleave: () => film.pause() },
          film, e("span", {}, `${m.clock(event.apex_s, true)} · ${event.given ? `✓ ${m.named(event.given)}` : m.verdict(event)}`));
      });
      return films.length ? e("div.gallery", {}, ...films) : e("p.faint", {}, m.say("There are no films here."));
    }

    exports() {
      const e = m.element;
      const link = (what, text, query) => e("a", { href: this.url(what, query), download: "" }, text);
      const blur = e("input", { type: "checkbox", onchange: () => { this.blurs = blur.checked; this.draw(); } });
      blur.checked = Boolean(this.blurs);
      return e("section.card.exports", { "aria-label": m.say("Export") }, e("span.faint", {}, m.say("Export")),
        ...this.data.formats.map((format) => link("events", format.toUpperCase(), { format })),
        link("clips", m.say("Films (ZIP)"), this.blurs ? { blur: 1 } : {}), e("label", {}, blur, " ", m.say("faces blurred")));
    }

    detail() {
      const e = m.element;
      const event = this.event();
      if (!event) return e("section.card.detail", {}, e("p.faint", {}, m.say("No event is chosen.")));
      const film = event.clip ? e("video", { src: this.url("clip", { event: event.id }), controls: true, playsinline: true, "aria-label": m.say("Film of the event") }) : null;
      if (film) Object.assign(film, { muted: true, loop: true, defaultPlaybackRate: this.speed, playbackRate: this.speed, autoplay: true });
      const speeds = e("div.tools", {}, ...SPEEDS.map((speed) => e("button", { type: "button", "aria-pressed": String(speed === this.speed), onclick: () => { this.speed = speed; this.draw(); } }, `${speed}×`)));
      const pictures = [["onset_jpeg", "onset"], ["apex_jpeg", "apex"], ["flow_png", "movement"]].map(([name, caption]) => e("figure", {}, e("img", { src: this.url("picture", { event: event.id, name }), alt: m.say(caption), loading: "lazy" }), e("figcaption", {}, m.say(caption))));
      return e(`section.card.detail.${event.kind}`, { "aria-label": m.say("Event") },
        e("header", {}, e("h2", {}, m.verdict(event) || m.kind(event)), event.first ? e("p.anew", {}, first(event)) : null, e("p.faint", {}, `${m.kind(event)} · ${m.say("Face {track}", event)} · ${m.clock(event.onset_s, true)} → ${m.clock(event.apex_s, true)} → ${m.clock(event.offset_s, true)}`)),
        film ?? e("p.none", {}, m.say("No film was kept of this event.")), film ? speeds : null,
        event.pictures ? e("div.pictures", {}, ...pictures) : null, event.label ? m.eventBars(event) : null, this.verdict(event));
    }

    verdict(event) {
      const e = m.element;
      const name = e("input", { type: "text", "data-keep": "name", list: "merau-classes", maxlength: 40, placeholder: m.say("Another name"), "aria-label": m.say("Another name") });
      const key = (letter) => e("kbd", { "aria-hidden": "true" }, letter);
      const form = e("form", { onsubmit: (submit) => { submit.preventDefault(); this.judge(name.value); } }, name, e("button", { type: "submit" }, m.say("Name it"), " ", key("R")));
      name.addEventListener("keydown", (press) => press.key === "Escape" && name.blur());
      const accept = event.label ? e("button.main", { type: "button", onclick: () => this.judge(event.label) }, m.say("Right: {label}", { label: m.named(event.label) }), " ", key("A")) : null;
      return e("div.verdict", {}, event.given ? e("p.mark", { style: "flex:1 1 100%" }, `✓ ${m.say("You named it {given}.", { given: m.named(event.given) })}`) : null,
        accept, e("button", { type: "button", onclick: () => this.judge("no expression") }, m.say("No expression"), " ", key("X")),
        e("button", { type: "button", onclick: () => this.trigger("undo", {}) }, m.say("Undo"), " ", key("U")), form,
        e("datalist", { id: "merau-classes" }, ...this.data.classes.map((label) => e("option", { value: m.named(label) }))),
        e("p.faint.keys", { style: "flex:1 1 100%" }, key("J"), " ", key("K"), ` ${m.say("next, previous")} · `, key("Space"), ` ${m.say("play")}`));
    }
  }

  // An SVG path through what is known, broken where the face was away.
  const path = (values, bin_s, highest) => {
    let text = "", last = -1e9;
    const each = Math.max(1, Math.ceil(values.length / CURVE));
    for (let i = 0; i < values.length; i += each) {
      const known = values.slice(i, i + each).filter((value) => value !== null);
      if (!known.length) continue;
      const t_s = (i + each / 2) * bin_s;
      text += `${t_s - last < Math.max(0.5, 2 * each * bin_s) ? "L" : "M"}${t_s.toFixed(2)} ${(LANE * (1 - Math.max(...known) / highest)).toFixed(1)}`;
      last = t_s;
    }
    return text;
  };

  // What can be taught: a count per class towards five, and what was taught.
  m.teach = (element, props, watch) => watch("value", () => {
    const { counts, explanation, taught, enough } = props.value;
    const e = m.element;
    const shots = Object.entries(counts).map(([label, number]) => e("div", {}, e("b", {}, m.named(label)), e("small", {}, ` ${number}`),
      e("div.dots", { role: "img", "aria-label": m.say("{number} of {enough}", { number, enough }) }, ...Array.from({ length: enough }, (_, i) => e(i < number ? "i.full" : "i")))));
    element.querySelector(".m").replaceChildren(
      e("div.shots", {}, ...(shots.length ? shots : [e("p.faint", {}, m.say("Name events above: five of each class make a good lesson."))])),
      e("p", { role: "status" }, m.told(explanation) || m.say("The recognizer answers with its own classes.")),
      ...(taught ? [e("a", { href: m.url("head", { workspace: props.value.workspace }), download: "" }, m.say("Save what was taught"))] : []));
  });
})();
