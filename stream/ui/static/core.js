// What the other scripts share: words in the visitor's language, the page's key, small builders of elements.
window.merau = (() => {
  const m = { words: {}, token: "", trusted: false, listeners: [] };

  m.say = (key, values = {}) => {
    const text = m.words[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  };

  // A sentence of the server, which speaks English: in German by its form, what fills it in put into German likewise.
  m.told = (sentence) => {
    if (!sentence || m.language !== "de") return sentence;
    m.forms ??= Object.entries(m.sentences).map(([english, german]) => {
      const names = [...english.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const literal = english.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      return { form: new RegExp(`^${literal.join("(.+?)")}$`, "s"), names, german };
    });
    const fits = m.forms.find(({ form }) => form.test(sentence));
    if (!fits) return sentence;
    const values = fits.form.exec(sentence).slice(1).map(m.told);
    return fits.german.replace(/\{(\w+)\}/g, (_, name) => values[fits.names.indexOf(name)] ?? "");
  };
  // A class by its name: the bundle's own have one in each language.
  m.named = (label) => m.words[`class ${label}`] ?? label;
  m.time = (when, style = "short") => new Date(when).toLocaleTimeString(navigator.language, { timeStyle: style });

  // Server words come as a language each; the browser's own decides.
  m.enter = (key) => {
    if (!key || key.token === m.token) return;
    m.language = navigator.language.startsWith("de") ? "de" : "en";
    Object.assign(m, key, { words: key.words[m.language] });
    document.documentElement.lang = m.language;
    watchMessages();
    m.listeners.splice(0).forEach((listener) => listener());
  };
  // Gradio's own messages carry sentences of the server.
  const watchMessages = () => {
    const put = (element, text) => element.textContent === text || (element.textContent = text);
    const tell = () => {
      for (const text of document.querySelectorAll(".toast-message-text, .toast-title")) put(text, m.told(text.textContent.trim()));
    };
    const wrap = document.querySelector(".toast-wrap");
    if (wrap && m.language === "de") new MutationObserver(tell).observe(wrap, { childList: true, subtree: true });
  };
  m.whenEntered = (listener) => (m.token ? listener() : m.listeners.push(listener));

  // Whether the live pictures cannot come here: then a webcam is analysed by Gradio's own means, at a low rate.
  m.plain = () => m.noSocket || !window.WebSocket || !document.createElement("canvas").getContext?.("2d");

  m.socket = (path) => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/merau/${path}?token=${m.token}`);
    socket.binaryType = "arraybuffer";
    return socket;
  };
  m.url = (what, query) => `/merau/get/${what}?${new URLSearchParams({ token: m.token, ...query })}`;

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
    const named = `${m.named(event.label)} ${m.percent(event.probabilities[event.label] ?? 0)}`;
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
    const classes = Object.fromEntries(Object.entries(event.probabilities).map(([label, p]) => [m.named(label), p]));
    return m.element("div.bars", {}, m.bars(m.say("Action Units"), units, 4), m.bars(m.say("Expression"), classes, 6));
  };
  // What was agreed to, and whether it covers the visitor's own webcam.
  m.agreed = (element, consent) => {
    m.consent = Boolean(consent?.mine);
    const given = consent && { ...consent, time: m.time(consent.given) };
    element.querySelector("p").textContent = consent ? m.say("Analysed for: {purpose}. Agreed to at {time}.", given) : "";
    document.dispatchEvent(new CustomEvent("merau-consent"));
  };
  // Where the page goes on: in view, and under the keyboard, once it is there.
  m.goTo = (selector) => {
    const found = document.querySelector(selector);
    if (!found?.offsetParent) return requestAnimationFrame(() => m.goTo(selector));
    found.scrollIntoView({ block: "center" });
    found.focus({ preventScroll: true });
  };
  m.css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  return m;
})();
