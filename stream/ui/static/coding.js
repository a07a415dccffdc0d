// The form in which a person codes the selected event: class, kind, Action Units, times, false, a note.
(() => {
  const m = window.merau;
  const KINDS = ["micro", "macro", "blink", "head", "speech", "other"];
  const TIMES = [["onset_s", m.id("onset"), "1"], ["apex_s", m.id("apex"), "2"], ["offset_s", m.id("offset"), "3"]];
  const FIELDS = ["kind", "aus", "note", ...TIMES.map(([name]) => name)];

  // A coding in one line: who, and what was said.
  m.coding = (coding) => {
    const times = TIMES.filter(([name]) => coding[name] !== null).map(([name, text]) => `${m.t(text)} ${m.streamTime(coding[name], true)}`);
    const stated = coding.is_false ? [m.t("false event")] : [coding.is_missed ? m.t("missed event") : "", coding.kind ? m.kind(coding) : "",
      m.className(coding.label ?? ""), (coding.aus ?? []).map((unit) => `AU${unit}`).join(" "), ...times];
    return `${coding.coder || m.t("unnamed")}: ${[...stated, coding.note && `“${coding.note}”`].filter(Boolean).join(" · ")}`;
  };

  m.CodingForm = class {
    constructor(review) {
      Object.assign(this, { review, draft: null, saved: null, held: null });
      try { this.coder = localStorage.getItem("merau-coder") ?? ""; } catch { this.coder = ""; }
    }

    own() { return this.review.event()?.codings.findLast((coding) => coding.coder === this.coder); }

    // Begin anew with what is stored of the selected event; a draft of the same event stays.
    reset(keeps = false) {
      const event = this.review.event();
      if (keeps && event && this.isDirty() && this.of === event.id) return;
      const own = this.own();
      this.of = event?.id;
      this.saved = event ? { ...m.placed(event), aus: (own?.aus ?? []).join("+"), note: own?.note ?? "" } : null;
      this.draft = this.saved && { ...this.saved };
    }

    drop() { this.draft = this.saved && { ...this.saved }; }

    isDirty() { return Boolean(this.draft) && FIELDS.some((name) => this.draft[name] !== this.saved[name]); }

    mayLeave() { return !this.isDirty() || confirm(m.t("Discard the changes that are not saved?")); }

    hold(name) {
      this.held = name;
      if (name && this.draft) this.review.timeline.goTo(this.draft[name]);
      this.review.draw();
    }

    // Set a time; onset, apex and offset keep their order.
    set(name, t_s) {
      const { onset_s, apex_s, offset_s } = this.draft;
      const limits = { onset_s: [0, apex_s], apex_s: [onset_s, offset_s], offset_s: [apex_s, Infinity] }[name];
      this.draft[name] = Math.round(10000 * Math.min(Math.max(t_s, limits[0]), limits[1])) / 10000;
    }

    nudge(frames) {
      if (!this.draft) return;
      this.set(this.held, this.draft[this.held] + frames * this.review.data.frame_s);
      this.review.timeline.goTo(this.draft[this.held]);
      this.review.draw();
    }

    save() {
      if (!this.isDirty()) return;
      const changed = FIELDS.filter((name) => this.draft[name] !== this.saved[name]);
      this.review.code(Object.fromEntries(changed.map((name) => [name, this.draft[name]])));
    }

    draw() {
      const e = m.element;
      const { review } = this;
      const event = review.event();
      const key = (letter) => e("kbd", { "aria-hidden": "true" }, letter);
      const button = (text, letter, onclick, kind = "") => e(`button${kind}`, { type: "button", onclick }, text, " ", key(letter));
      const name = e("input.label", { type: "text", "data-keep": "name", list: "merau-classes", maxlength: 40, placeholder: m.t("Other label"), "aria-label": m.t("Other label") });
      name.addEventListener("keydown", (press) => press.key === "Escape" && name.blur());
      const other = e("form", { onsubmit: (submit) => { submit.preventDefault(); review.saveLabel(name.value); } }, name, e("button", { type: "submit" }, m.t("Save label"), " ", key("R")));
      const right = event.label ? m.t("Confirm {label}", { label: m.className(event.label) }) : m.t("Confirm {label}", { label: m.kind(event) });
      return e("div.label-form", {}, this.coderField(), ...event.codings.map((coding) => e("p.user-label", {}, m.coding(coding))),
        event.missed ? null : button(right, "A", () => review.confirm(), ".main"), button(m.t("No expression"), "X", () => review.saveLabel("no expression")),
        button(m.t("False event"), "F", () => { review.code({ is_false: true }); review.step(1); }), button(m.t("Undo"), "U", () => review.undo()), other,
        e("datalist", { id: "merau-classes" }, ...review.data.classes.map((label) => e("option", { value: m.className(label) }))),
        this.fields(), e("p.faint.keys", {}, key("J"), " ", key("K"), ` ${m.t("next, previous")} · `, key(m.t("Space")), ` ${m.t("play or pause")} · `,
          key("←"), " ", key("→"), ` ${m.t("move by a frame")}`));
    }

    coderField() {
      const field = m.element("input", { type: "text", "data-keep": "coder", maxlength: 40, value: this.coder, autocomplete: "nickname", placeholder: m.t("for example: Anna") });
      field.addEventListener("change", () => {
        this.coder = field.value.trim();
        try { localStorage.setItem("merau-coder", this.coder); } catch { /* then it is asked for again */ }
        this.reset();
        this.review.draw();
      });
      return m.element("label.coder", {}, m.t("Coder"), field);
    }

    // Kind, Action Units, times and note: a draft until they are saved.
    fields() {
      const e = m.element;
      const { draft } = this;
      const change = (name, value) => { draft[name] = value; this.mark(); };
      const kind = e("select", { "aria-label": m.t("kind"), onchange: () => change("kind", kind.value) }, ...KINDS.map((value) => e("option", { value, selected: value === draft.kind }, m.kind({ kind: value }))));
      const text = (name, label, options) => {
        const field = e("input", { type: "text", "data-keep": name, value: draft[name], oninput: () => change(name, field.value), ...options });
        field.addEventListener("keydown", (press) => { if (press.key === "Enter") this.save(); if (press.key === "Escape") field.blur(); });
        return e("label", {}, label, field);
      };
      const time = ([name, label, key]) => e("div.time", { "aria-label": m.t(label), role: "group", "data-held": String(this.held === name) },
        e("button", { type: "button", onclick: () => this.hold(this.held === name ? null : name), "aria-pressed": String(this.held === name) }, m.t(label), " ", e("kbd", { "aria-hidden": "true" }, key)),
        e("button", { type: "button", "aria-label": m.t("{name} a frame earlier", { name: m.t(label) }), onclick: () => { this.held = name; this.nudge(-1); } }, "−"),
        e("output", {}, m.streamTime(draft[name], true)),
        e("button", { type: "button", "aria-label": m.t("{name} a frame later", { name: m.t(label) }), onclick: () => { this.held = name; this.nudge(1); } }, "+"));
      this.saveButton = e("button.main", { type: "button", onclick: () => this.save() }, m.t("Save changes"), " ", e("kbd", { "aria-hidden": "true" }, "S"));
      const fields = e("div.fields", {}, ...TIMES.map(time), e("label", {}, m.t("kind"), kind),
        text("aus", m.t("Action Units"), { placeholder: "6+12", maxlength: 60 }), text("note", m.t("Note"), { maxlength: 1000 }), this.saveButton);
      this.mark();
      return fields;
    }

    mark() { this.saveButton.disabled = !this.isDirty(); }
  };
})();
