// What the other scripts share: words in the visitor's language, the page's key, small builders of elements.
window.merau = (() => {
  const m = { words: {}, token: "", trusted: false, listeners: [] };

  m.say = (key, values = {}) => {
    const text = m.words[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  };

  // Server words come as a language each; the browser's own decides.
  m.enter = (key) => {
    if (!key || key.token === m.token) return;
    m.language = navigator.language.startsWith("de") ? "de" : "en";
    Object.assign(m, key, { words: key.words[m.language] });
    document.documentElement.lang = m.language;
    m.listeners.splice(0).forEach((listener) => listener());
  };
  m.whenEntered = (listener) => (m.token ? listener() : m.listeners.push(listener));

  m.socket = (path) => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/merau/${path}?visitor=${m.token}`);
    socket.binaryType = "arraybuffer";
    return socket;
  };
  m.url = (what, query) => `/merau/get/${what}?${new URLSearchParams({ visitor: m.token, ...query })}`;

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

  m.clock = (t, exact = false) => {
    const minutes = Math.floor(t / 60);
    const seconds = (t - 60 * minutes).toFixed(exact ? 3 : 0).padStart(exact ? 6 : 2, "0");
    return `${minutes}:${seconds}`;
  };
  m.percent = (p) => `${Math.round(100 * p)} %`;
  m.kind = (event) => m.say(`kind ${event.kind}`);

  // What an event is taken for, as text and as element; "uncertain" is said first.
  m.verdict = (event) => {
    if (!event.label) return "";
    const named = `${event.label} ${m.percent(event.probabilities[event.label] ?? 0)}`;
    return event.uncertain ? m.say("uncertain, perhaps {label}", { label: named }) : named;
  };
  m.units = (event) => {
    const likely = Object.entries(event.aus).filter(([, p]) => p >= 0.5);
    return likely.sort((a, b) => a[0] - b[0]).map(([unit]) => `AU${unit}`).join(" ");
  };
  m.bars = (title, values, most) => {
    const rows = Object.entries(values).sort((a, b) => b[1] - a[1]).slice(0, most);
    return m.element("div", {}, m.element("h3", {}, title), m.element("dl", {}, ...rows.flatMap(([name, p]) => [
      m.element("dt", {}, name),
      m.element("dd", {}, m.element("i", { style: `width:${100 * p}%` }), m.element("span", {}, m.percent(p))),
    ])));
  };
  m.eventBars = (event) => {
    const units = Object.fromEntries(Object.entries(event.aus).map(([au, p]) => [`AU${au} ${m.say(`au ${au}`)}`, p]));
    return m.element("div.bars", {}, m.bars(m.say("Action Units"), units, 4), m.bars(m.say("Expression"), event.probabilities, 6));
  };
  // What was agreed to, and whether it covers the visitor's own webcam.
  m.agreed = (element, consent) => {
    m.consent = Boolean(consent?.mine);
    const time = consent ? new Date(consent.given).toLocaleTimeString(m.language, { timeStyle: "short" }) : "";
    element.querySelector("p").textContent = consent ? m.say("Recorded: {purpose}, {time}", { ...consent, time }) : "";
    document.dispatchEvent(new CustomEvent("merau-consent"));
  };
  m.css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  return m;
})();
