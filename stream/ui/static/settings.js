// The settings page's facts.
(() => {
  const m = window.merau;
  m.facts = (element, props, watch) => watch("value", () => {
    const { card, machine, retention_h, kept, limits } = props.value;
    const e = m.element;
    const list = (pairs) => e("dl.facts", {}, ...pairs.flatMap(([name, text]) => [e("dt", {}, m.say(name)), e("dd", {}, text || "–")]));
    const set = ([name, ...numbers]) => [m.say(name), numbers.map(([what, number]) => `${m.say(what)} ${number}`).join(", ")].filter(Boolean).join(": ");
    const section = (title, pairs) => e("section.card", {}, e("h2", { style: "margin-bottom:10px" }, m.say(title)), list(pairs));
    const stores = kept.map((one) => section(one.private ? "Your own session" : "This server's cameras", [
      ["Kept", m.say("Sessions: {sessions}, events: {events}, words of yours: {labels}", one)],
      ["Purpose", one.purpose],
      ["Until", one.private ? m.say("This page is closed: then all of it is deleted.") : m.say("{hours} hours after it was recorded", { hours: retention_h })],
      ...(one.where ? [["Where", one.where]] : []), ...(one.store_error ? [["Trouble", m.told(one.store_error)]] : []),
    ]));
    element.querySelector(".m").replaceChildren(e("div", { style: "display:grid;gap:16px" }, ...stores,
      section("Recognizer", [
        ["Bundle", `${card.name} (${card.sha256})`], ["Classes", card.classes.map(m.named).join(", ")], ["Action Units", card.aus.map((au) => `AU${au}`).join(" ")],
        ["Trained on", card.trained_on.map(set).join(" · ")], ["Scores", card.scores.map(set).join(" · ")], ["Runs on", machine.map(m.told).join(" · ")],
      ]),
      section("What to know", [
        ["Notice", m.say("Tell everyone in view that their faces are analysed (EU AI Act, Art. 50). Inferring emotions at work and in education is banned there (Art. 5).")],
        ["Truth", m.say("A probability is the estimate of a model, not a fact about what a person feels.")],
        ["Limits", m.say("{visitors} webcams at a time; recordings up to {upload_mb} MB", limits)],
        ["Labels", m.say("Words that you gave stay until all is deleted: they hold numbers, no picture.")],
      ])));
  });
})();
