// What the other scripts share: translation, the page's key, and small builders of elements.
window.merau = (() => {
  const m = { language: "en", catalogue: {}, token: "", root: "", trusted: false, listeners: [] };

  // Text in the visitor's language. The id is the English text; `{name}` stands for a value.
  m.t = (id, values = {}) => (m.catalogue[id] ?? id).replace(/\{(\w+)\}/g, (_, name) => m.text(values[name]));
  // The singular or the plural; both may name {count}.
  m.plural = (one, many, count, values = {}) => m.t(count === 1 ? one : many, { count, ...values });
  // Marks an id for extraction that is translated later.
  m.id = (id) => id;
  // A message of the server, {id, values}, in the visitor's language; anything else as it is.
  m.text = (message) => (message?.id === undefined ? String(message ?? "") : m.t(message.id, message.values));

  const KINDS = {
    micro: m.id("micro-expression"), macro: m.id("macro-expression"), blink: m.id("blink"), head: m.id("head movement"),
    speech: m.id("speech"), other: m.id("other movement"),
  };
  const AUS = {
    1: m.id("inner brow raiser"), 2: m.id("outer brow raiser"), 4: m.id("brow lowerer"), 5: m.id("upper lid raiser"),
    6: m.id("cheek raiser"), 7: m.id("lid tightener"), 9: m.id("nose wrinkler"), 10: m.id("upper lip raiser"),
    12: m.id("lip corner puller"), 14: m.id("dimpler"), 15: m.id("lip corner depressor"), 17: m.id("chin raiser"),
    20: m.id("lip stretcher"), 23: m.id("lip tightener"), 24: m.id("lip pressor"), 25: m.id("lips part"), 26: m.id("jaw drop"),
  };
  const CLASSES = [
    m.id("negative"), m.id("positive"), m.id("surprise"), m.id("no expression"), m.id("happiness"), m.id("anger"),
    m.id("contempt"), m.id("disgust"), m.id("fear"), m.id("sadness"), m.id("neutral"),
  ];
  m.kind = (event) => m.t(KINDS[event.kind]);
  // The bundle's own classes have a name in each language; a visitor's classes are shown as they were typed.
  m.className = (label) => (CLASSES.includes(label) ? m.t(label) : label);

  // 100 % stands for certainty only: .996 is 99 %.
  m.percent = (p) => (p < 1 ? Math.min(p, 0.99) : p).toLocaleString(m.language, { style: "percent", maximumFractionDigits: 0 });
  m.number = (value, digits) => value.toLocaleString(m.language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  m.timeOfDay = (when, style = "short") => new Date(when).toLocaleTimeString(navigator.language, { timeStyle: style });
  m.streamTime = (t_s, exact = false) => {
    const minutes = Math.floor(t_s / 60);
    const seconds = (t_s - 60 * minutes).toFixed(exact ? 3 : 0).padStart(exact ? 6 : 2, "0");
    return `${minutes}:${seconds}`;
  };

  // The server opened a session for this page: its token, language and catalogue.
  m.enter = (session) => {
    if (!session || session.token === m.token) return;
    Object.assign(m, session);
    try { sessionStorage.setItem("merau-token", m.token); } catch { /* the browser forbids it: a reload starts anew */ }
    document.documentElement.lang = m.language;
    m.listeners.splice(0).forEach((listener) => listener());
  };
  // Uploads carry the page's key; Gradio's own request for them has none.
  const ask = window.fetch.bind(window);
  window.fetch = (resource, options) => {
    const address = new URL(resource.url ?? resource, document.baseURI);
    if (!address.pathname.endsWith("/gradio_api/upload")) return ask(resource, options);
    address.searchParams.set("token", m.token);
    return ask(address, options);
  };
  // The session that this tab had before it was reloaded: what was made in it is still there.
  m.earlierToken = () => {
    try { return sessionStorage.getItem("merau-token") ?? ""; } catch { return ""; }
  };
  m.whenEntered = (listener) => (m.token ? listener() : m.listeners.push(listener));

  // Files that the server would refuse are refused before they are sent.
  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!m.token || input.type !== "file") return;
    const types = input.accept.split(",").map((type) => type.trim()).filter((type) => type.startsWith("."));
    for (const { name, size } of input.files) {
      const wrongType = types.length && !types.some((type) => name.toLowerCase().endsWith(type));
      if (!wrongType && size <= m.upload_mb * 2 ** 20) continue;
      event.stopImmediatePropagation();
      input.value = "";
      return m.alert(wrongType ? m.t("{file} has the wrong type. Allowed types: {types}.", { file: name, types: types.join(", ") })
        : m.t("{file} is too large: a file may have at most {size} MB.", { file: name, size: m.upload_mb }));
    }
  }, true);
  m.alert = (text) => {
    const box = m.element("div.m.alert", { role: "alert" }, text);
    document.body.append(box);
    setTimeout(() => box.remove(), 10_000);
  };

  // Whether the browser cannot take or show live frames: then a webcam is analysed by Gradio's own means, at a low rate.
  m.needsFallback = () => m.noSocket || !window.WebSocket || !document.createElement("canvas").getContext?.("2d");

  m.socket = (path) => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${m.root}/merau/${path}?token=${m.token}`);
    socket.binaryType = "arraybuffer";
    return socket;
  };
  m.url = (what, query) => `${m.root}/merau/get/${what}?${new URLSearchParams({ token: m.token, ...query })}`;

  // m.element("p.faint", {title: "..."}, "text", child, ...)
  m.element = (kind, attributes = {}, ...children) => {
    const [tag, ...classes] = kind.split(".");
    const made = document.createElement(tag);
    made.classList.add(...classes.flatMap((name) => name.split(" ")).filter(Boolean));
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };

  // The expression of an event as text.
  m.eventLabel = (event) => {
    if (!event.label) return "";
    const label = `${m.className(event.label)} ${m.percent(event.probabilities[event.label] ?? 0)}`;
    return event.uncertain ? m.t("uncertain, possibly {label}", { label }) : label;
  };
  // Times and kind of an event as its newest coding states them.
  m.placed = (event) => {
    const stated = event.codings.at(-1) ?? {};
    return Object.fromEntries(["onset_s", "apex_s", "offset_s", "kind"].map((name) => [name, stated[name] ?? event[name]]));
  };
  m.likelyUnits = (event) => {
    const likely = Object.entries(event.aus).filter(([, p]) => p >= 0.5);
    return likely.sort((a, b) => a[0] - b[0]).map(([unit]) => `AU${unit}`).join(" ");
  };
  m.bars = (title, values, limit) => {
    const rows = Object.entries(values).sort((a, b) => b[1] - a[1]).slice(0, limit);
    return m.element("div", {}, m.element("h3", {}, title), m.element("dl", {}, ...rows.flatMap(([name, p]) => [
      m.element("dt", {}, name),
      m.element("dd", {}, m.element("i", { style: `width:${100 * p}%` }), m.element("span", {}, m.percent(p))),
    ])));
  };
  m.eventBars = (event) => {
    const units = Object.fromEntries(Object.entries(event.aus).map(([au, p]) => [`AU${au} ${AUS[au] ? m.t(AUS[au]) : ""}`, p]));
    const classes = Object.fromEntries(Object.entries(event.probabilities).map(([label, p]) => [m.className(label), p]));
    return m.element("div.bars", {}, m.bars(m.t("Action Units"), units, 4), m.bars(m.t("Expression"), classes, 6));
  };
  // The recorded consent, and whether it covers the visitor's own webcam.
  m.showConsent = (element, consent) => {
    m.consent = Boolean(consent?.mine);
    const given = consent && { ...consent, time: m.timeOfDay(consent.given) };
    element.querySelector("p").textContent = consent ? m.t("Purpose: {purpose}. Consent given at {time}.", given) : "";
    document.dispatchEvent(new CustomEvent("merau-consent"));
  };
  // Scroll to an element and focus it as soon as it is visible.
  m.goTo = (selector) => {
    const found = document.querySelector(selector);
    if (!found?.offsetParent) return requestAnimationFrame(() => m.goTo(selector));
    found.scrollIntoView({ block: "center" });
    found.focus({ preventScroll: true });
  };
  m.css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  return m;
})();
