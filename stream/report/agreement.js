// The disagreements: a list, and the film of the chosen one with both coders' spans below.
const MARGIN_S = 1.5;
const part = (id) => document.getElementById(id);
let current = -1;

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function line(coder, from, length) {
  const row = element("div", "");
  const area = element("span", "", "line");
  row.append(element("span", coder.name), area);
  if (coder.kind === undefined) return row;
  const bar = element("i", "", coder.kind);
  bar.style.left = `${(100 * (coder.onset_s - from)) / length}%`;
  bar.style.width = `${(100 * (coder.offset_s - coder.onset_s)) / length}%`;
  const text = element("b", [coder.kind, coder.label].filter(Boolean).join(" · "));
  text.style.left = bar.style.left;
  area.append(bar, text);
  return row;
}

function show(index, focus = true) {
  if (index < 0 || index >= items.length) return;
  current = index;
  const item = items[index];
  for (const [i, button] of [...part("items").querySelectorAll("button")].entries()) {
    button.setAttribute("aria-current", i === index);
    if (i === index && focus) button.scrollIntoView({ block: "nearest" });
  }
  part("title").textContent = `${item.recording}, ${item.time}: ${item.what}`;
  const spans = [item.a, item.b].filter((coder) => coder.kind !== undefined);
  const from = Math.max(Math.min(...spans.map((span) => span.onset_s)) - MARGIN_S, 0);
  const to = Math.max(...spans.map((span) => span.offset_s)) + MARGIN_S;
  part("lines").replaceChildren(line(item.a, from, to - from), line(item.b, from, to - from));
  const film = part("film");
  film.hidden = !item.film;
  part("missing").hidden = Boolean(item.film);
  if (item.film) film.src = `${item.film}#t=${(from * item.slowdown).toFixed(3)}`;
}

part("film").addEventListener("error", () => {
  part("film").hidden = true;
  part("missing").hidden = false;
});
for (const [index, item] of items.entries()) {
  const button = element("button", "");
  button.type = "button";
  button.append(element("span", item.time), element("span", item.recording), element("span", item.what));
  button.addEventListener("click", () => show(index));
  const entry = element("li", "");
  entry.append(button);
  part("items").append(entry);
}
part("previous").addEventListener("click", () => show(current - 1));
part("next").addEventListener("click", () => show(current + 1));
document.addEventListener("keydown", (event) => {
  if (event.key === "j") show(current + 1);
  if (event.key === "k") show(current - 1);
});
show(0, false);
