// The settings page: stored data, the recognizer, and notes.
(() => {
  const m = window.merau;
  const SETS = {
    "flows": m.id("optical flow fields"), "live flows": m.id("flow fields as cameras show them"),
    "truth": m.id("people never trained on"), "animated pairs": m.id("animated pairs"), "portraits": m.id("portraits"),
    "kept out settings": m.id("held-out settings"), "kept out flow set": m.id("held-out flow fields"),
    "animated portrait": m.id("animated portrait"),
  };
  const SCORES = { accuracy: m.id("accuracy") };
  const figure = (name, value) => (name === "samples" ? m.t("{number} samples", { number: m.number(value, 0) })
    : `${translated(SCORES, name)} ${m.number(value, 3)}`);
  const kept = (store, hours) => [m.t("{hours} hours after recording", { hours }),
    store.unlimited ? m.t("sessions of other commands, kept: {count}", { count: store.unlimited }) : "",
    store.deletion_pending ? m.t("a deletion is pending until another program closes the file") : ""].filter(Boolean).join(" · ");
  const translated = (names, name) => (names[name] ? m.t(names[name]) : name);

  m.factsView = (element, props, watch) => watch("value", () => {
    const { card, runtimes, retention_h, stored, limits } = props.value;
    const e = m.element;
    const list = (pairs) => e("dl.facts", {}, ...pairs.flatMap(([name, text]) => [e("dt", {}, name), e("dd", {}, text || "–")]));
    const set = ([name, ...numbers]) => [translated(SETS, name), numbers.map(([number, value]) => figure(number, value)).join(", ")].filter(Boolean).join(": ");
    const section = (title, pairs) => e("section.card", {}, e("h2", { style: "margin-bottom:10px" }, title), list(pairs));
    const stores = stored.map((store) => section(store.is_private ? m.t("Your session") : m.t("Cameras of this server"), [
      [m.t("Stored data"), m.t("Sessions: {sessions}, events: {events}, labels: {labels}", store)],
      [m.t("Purpose"), store.purpose],
      [m.t("Deleted"), store.is_private ? m.t("when you close this page; recordings and labelled sessions {hours} hours after recording", { hours: retention_h }) : kept(store, retention_h)],
      ...(store.where ? [[m.t("File"), store.where]] : []), ...(store.store_error ? [[m.t("Error"), m.text(store.store_error)]] : []),
    ]));
    element.querySelector(".m").replaceChildren(e("div", { style: "display:grid;gap:16px" }, ...stores,
      section(m.t("Recognizer"), [
        [m.t("Bundle"), `${card.name} (${card.sha256})`], [m.t("Classes"), card.classes.map(m.className).join(", ")],
        [m.t("Action Units"), card.aus.map((au) => `AU${au}`).join(" ")], [m.t("Trained on"), card.trained_on.map(set).join(" · ")],
        [m.t("Scores"), card.scores.map(set).join(" · ")], [m.t("Device"), runtimes.map(m.text).join(" · ")],
      ]),
      section(m.t("Please note"), [
        [m.t("Law"), m.t("Inform everyone in view that their faces are analysed (EU AI Act, Art. 50). The Act bans inferring emotions at work and in education (Art. 5).")],
        [m.t("Probabilities"), m.t("They are a model's estimates. They do not show what a person feels.")],
        [m.t("Limits"), m.t("Up to {visitors} webcams at a time; recordings of up to {upload_mb} MB each.", limits)],
        [m.t("Labels"), m.t("Labels contain no images. Labels of this server's cameras are kept until somebody deletes everything; those of your session are deleted with it.")],
      ])));
  });
})();
