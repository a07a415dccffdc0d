// The live page: a tile per camera, all fed by one socket: pictures with what was found in them, words, status.
(() => {
  const m = window.merau;
  const CHART_S = 20;
  const SAID = 6; // events listed under a camera
  const TIDY_MS = 80; // between two drawings of what needs no picture's rate: curves, bars, words
  const OUTLINES = [
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10],
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61],
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78],
    [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263],
    [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33],
    [276, 283, 282, 295, 285], [300, 293, 334, 296, 336], [46, 53, 52, 65, 55], [70, 63, 105, 66, 107],
    [168, 6, 197, 195, 5, 4, 1],
  ]; // landmarks of the face's oval, lips, eyes, brows and nose

  m.wall = (element, trigger) => {
    const wall = element.querySelector(".wall");
    const empty = element.querySelector(".empty");
    const tiles = new Map();
    let socket, words, wait = 500;

    const tile = (camera) => {
      if (!tiles.has(camera)) tiles.set(camera, new Tile(camera, { remove, again, askMesh }));
      const one = tiles.get(camera);
      if (!one.root.isConnected) wall.append(one.root);
      empty.hidden = true;
      return one;
    };
    const remove = (camera) => trigger("remove", { camera });
    const again = (camera) => trigger("again", { camera });
    const askMesh = () => {
      const mesh = [...tiles.values()].some((one) => one.showsMesh);
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ mesh }));
    };
    const drop = (camera) => {
      tiles.get(camera)?.root.remove();
      tiles.delete(camera);
      empty.hidden = tiles.size > 0;
    };

    const hear = (word) => {
      for (const status of word.cameras ?? []) tile(status.camera).tell(status);
      if (word.cameras) forgetOthers(word);
      if (word.event) {
        tiles.get(word.camera)?.say(word.event);
        document.dispatchEvent(new CustomEvent("merau-event", { detail: word }));
      }
      if (word.clip) document.dispatchEvent(new CustomEvent("merau-clip", { detail: word }));
      if (word.removed) drop(word.removed);
    };
    const forgetOthers = (word) => {
      const there = word.cameras.map((status) => status.camera);
      for (const [camera, one] of tiles) if (one.workspace === word.workspace && !there.includes(camera)) drop(camera);
      for (const camera of there) tiles.get(camera).workspace = word.workspace;
      const on = [...tiles.values()].filter((one) => ["live", "lost"].includes(one.phase));
      const seen = on.some((one) => !one.replay) ? "cameras" : on.length ? "recordings" : "nothing";
      document.dispatchEvent(new CustomEvent("merau-on", { detail: seen }));
    };
    const lost = () => {
      for (const one of tiles.values()) one.veil(m.say("The connection to the server is lost; trying again."));
    };
    // Where no socket comes through, or no picture can be drawn, words still come: the server knows the page by that.
    const listen = (is) => {
      wall.classList.toggle("plain", is);
      if (!is) words?.close();
      if (is === Boolean(words)) return;
      words = is ? new EventSource(`/merau/messages?token=${m.token}`) : null;
      if (!is) return;
      words.onmessage = ({ data }) => hear(JSON.parse(data));
      words.onerror = () => (words.readyState === EventSource.CLOSED ? location.reload() : lost());
    };
    const connect = () => {
      let opened = false;
      socket = m.socket("live");
      socket.onopen = () => { m.noSocket = false; opened = true; wait = 500; listen(false); askMesh(); };
      socket.onmessage = ({ data }) => {
        if (typeof data === "string") return hear(JSON.parse(data));
        const view = new DataView(data);
        const length = view.getUint32(0, true);
        const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
        tiles.get(header.camera)?.show(header, data, 4 + length);
      };
      socket.onclose = () => {
        if (!words) lost();
        if (!opened) comeBack();
        setTimeout(connect, wait);
        wait = Math.min(2 * wait, 8000);
      };
    };
    // A server that answers but knows this page no longer (it was away too long) gives a new one: load that, not too often.
    const comeBack = async () => {
      const last = Number(sessionStorage.getItem("merau-back") ?? 0);
      const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
      m.noSocket = Boolean(answer?.ok && Date.now() - last < 30_000); // known and yet refused: something lets no socket through
      if (m.noSocket) listen(true);
      if (!answer?.ok || m.noSocket) return;
      sessionStorage.setItem("merau-back", Date.now());
      location.reload();
    };
    m.whenEntered(() => {
      empty.append(m.element("h2", {}, m.say("No camera yet.")), m.element("p", {}, m.say(m.trusted ? "Use your webcam or add a camera below; recordings are analysed on the review page." : "Use your webcam below; recordings are analysed on the review page.")));
      if (m.plain()) listen(true); else connect();
    });
  };

  class Tile {
    constructor(camera, calls) {
      this.camera = camera;
      this.calls = calls;
      this.showsMesh = false;
      this.people = new Map();
      this.spans = [];
      this.now = 0;
      this.phase = "";
      this.pending = null;
      this.delays = [];
      this.build();
    }

    build() {
      const e = m.element;
      this.name = e("h2");
      this.pill = e("span.pill");
      this.canvas = e("canvas", { width: 640, height: 480, role: "img", "aria-label": m.say("Live picture") });
      this.over = e("div.veil", { role: "status" });
      this.list = e("div.people");
      this.chart = e("canvas.chart", { role: "img", "aria-label": m.say("Motion of each face over the last 20 seconds"), height: 10 });
      this.saidList = e("ol.said", { "aria-live": "polite", "aria-label": m.say("Events") });
      this.line = e("p.status");
      this.againButton = e("button", { hidden: true, onclick: () => this.calls.again(this.camera) }, m.say("Play again"));
      const mesh = e("input", { type: "checkbox", onchange: () => { this.showsMesh = mesh.checked; this.calls.askMesh(); } });
      this.removeButton = e("button", { "aria-label": m.say("Remove this camera"), title: m.say("Remove this camera"), onclick: () => this.remove() }, "✕");
      this.root = e("article.tile", { "data-camera": this.camera },
        e("header", {}, this.name, this.pill, e("span.end", {}, e("label", {}, mesh, m.say("Mesh")), this.againButton, this.removeButton)),
        e("div.stage", {}, e("div.screen", {}, this.canvas, this.over), this.list),
        this.chart, this.saidList, this.line);
      this.nobody();
    }

    remove() {
      if (this.own) m.webcam.stop(); else this.calls.remove(this.camera);
    }

    nobody() {
      this.list.replaceChildren(m.element("p.faint", {}, m.say("No face in view.")));
    }

    veil(text) { this.over.textContent = text; }

    tell(status) {
      const { phase } = status;
      const reason = m.told(status.reason);
      if (status.session !== this.session) this.restart(status.session);
      Object.assign(this, { phase, own: status.own, replay: status.replay });
      this.root.classList.toggle("own", status.own);
      this.name.textContent = status.own ? m.say("My webcam") : status.name.split("/").pop();
      this.name.title = status.name;
      const failed = phase === "ended" && reason && !["end of file", "stopped"].includes(status.reason);
      this.pill.className = `pill ${failed ? "failed" : phase}`;
      this.pill.textContent = m.say(`phase ${phase}`);
      this.againButton.hidden = phase !== "ended" || status.own;
      this.removeButton.hidden = status.own ? m.plain() : !m.trusted; // Gradio's own button stops a plain webcam
      const since = status.since ? m.time(status.since, "medium") : "";
      this.veil(phase === "lost" ? m.say("Lost since {since}: {reason} Trying again.", { since, reason })
        : phase === "waiting" ? m.say("Waits for purpose and consent.")
        : failed ? reason : phase === "connecting" ? m.say("Connecting. {reason}", { reason }) : "");
      const shown = this.delays.length ? [...this.delays].sort((a, b) => a - b)[this.delays.length >> 1] : null;
      const b = (value) => m.element("b", {}, String(value));
      const parts = [
        [b(m.say(`phase ${phase}`))],
        ...(phase === "ended"
          ? [[b(status.frames), ` ${m.say("frames captured")}`], [b(status.analysed), ` ${m.say("analysed")}`]]
          : [[b(status.captured_hz), ` ${m.say("frames/s captured")}`], [b(status.analysed_hz), ` ${m.say("analysed")}`]]),
        [status.dropped ? m.element("b.bad", {}, status.dropped) : b(0), ` ${m.say("dropped")}`],
        ...(status.gaps ? [[m.element("b.bad", {}, status.gaps), ` ${status.gaps === 1 ? m.say("gap") : m.say("gaps")}`]] : []),
        ...(phase === "live" ? [[b(Math.round(status.delay_ms)), ` ms ${m.say("behind")}`]] : []),
        ...(shown === null ? [] : [[b(Math.round(shown)), ` ms ${m.say("from camera to screen")}`]]),
        [`${status.bundle}${status.taught ? ` + ${m.say("taught classes")}` : ""}`],
        [status.device],
        ...(status.decoder ? [[m.told(status.decoder)]] : []),
        ...(status.store_error ? [[m.element("b.bad", {}, m.told(status.store_error))]] : []),
      ];
      this.line.replaceChildren(...parts.flatMap((part, i) => (i ? [" · ", ...part] : part)));
    }

    restart(session) {
      this.session = session;
      this.people.clear();
      this.spans = [];
      this.saidList.replaceChildren();
      this.nobody();
    }

    async show(header, data, at) {
      for (const [t, track, px, noise] of header.points) {
        const person = this.person(track);
        person.points.push([t, px, noise]);
        while (person.points[0][0] < t - CHART_S) person.points.shift();
      }
      const mesh = new Int16Array(data.slice(at, at + header.mesh));
      const jpeg = new Uint8Array(data, at + header.mesh);
      const image = jpeg.length ? await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })) : m.webcam.picture(header.t_s);
      if (header.t_s < this.now - 0.001 && header.t_s > this.now - 1) return image?.close?.();
      this.now = header.t_s;
      if (image) this.draw(image, header, mesh);
      if (image && !jpeg.length) this.delay(m.webcam.age_ms(header.t_s));
      if (image) m.onShown?.(this.camera, header);
      if (jpeg.length) image.close();
      this.header = header;
      this.pending ??= setTimeout(() => { this.pending = null; this.tidy(this.header); }, TIDY_MS);
    }

    delay(ms) {
      this.delays.push(ms);
      if (this.delays.length > 120) this.delays.shift();
    }

    draw(image, header, mesh) {
      const [width, height] = header.size;
      const scale = Math.min(1, 960 / width);
      const w = Math.round(width * scale), h = Math.round(height * scale);
      if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
      const c = this.canvas.getContext("2d", { alpha: false });
      c.drawImage(image, 0, 0, w, h);
      header.faces.forEach((face, i) => {
        const [x0, y0, x1, y1] = face.box.map((value) => value * scale);
        if (this.showsMesh && mesh.length >= 936 * (i + 1)) drawMesh(c, mesh.subarray(936 * i, 936 * (i + 1)), scale);
        c.lineWidth = 2;
        c.strokeStyle = face.reason ? "#9aa0a8" : face.state === "moving" ? "#ff7a62" : "#57c7a8";
        c.strokeRect(x0, y0, x1 - x0, y1 - y0);
        const text = m.say("Face {track}", face) + (face.reason ? `: ${m.told(face.reason)}` : ` · ${m.say("quality")} ${m.percent(face.quality)}`);
        c.font = "600 14px system-ui, sans-serif";
        const wide = c.measureText(text).width + 14;
        const top = y0 > 26 ? y0 - 24 : y0;
        c.fillStyle = c.strokeStyle;
        c.fillRect(x0 - 1, top, wide, 24);
        c.fillStyle = "#101214";
        c.fillText(text, x0 + 6, top + 17);
      });
    }

    person(track) {
      if (!this.people.has(track)) this.people.set(track, { points: [], event: null, root: null });
      return this.people.get(track);
    }

    // The parts that need not be drawn with every frame.
    tidy(header) {
      const present = header.faces.map((face) => face.track);
      for (const [track, person] of this.people) {
        if (!present.includes(track) && (!person.points.length || person.points.at(-1)[0] < this.now - CHART_S)) this.people.delete(track);
      }
      const cards = header.faces.map((face) => this.card(face));
      if (!cards.length) this.nobody();
      else if (cards.length !== this.list.children.length || cards.some((card, i) => card !== this.list.children[i])) this.list.replaceChildren(...cards);
      this.drawChart();
    }

    card(face) {
      const e = m.element;
      const person = this.person(face.track);
      if (!person.root) {
        person.title = e("b", {}, m.say("Face {track}", face));
        person.state = e("span.pill");
        person.level = e("i");
        person.floor = e("u");
        person.bar = e("div.bar", { role: "img" }, person.level, person.floor);
        person.px = e("span");
        person.word = e("div");
        person.root = e("section.person", {}, e("header", {}, person.title, person.state), e("div.meter", {}, person.bar, person.px), person.word);
        this.tellWord(person);
      }
      const top = Math.max(1, 4 * face.noise);
      person.state.textContent = m.told(face.reason) || m.say(`state ${face.state}`);
      person.state.className = `pill ${face.reason || face.state !== "moving" ? "" : "lost"}`;
      person.bar.className = `bar ${face.motion > 3 * face.noise ? "over" : ""}`;
      person.level.style.width = `${Math.min(100, (100 * face.motion) / top)}%`;
      person.floor.style.left = `${Math.min(99, (100 * face.noise) / top)}%`;
      person.px.textContent = `${face.motion.toFixed(2)} px · ${m.say("floor")} ${face.noise.toFixed(2)}`;
      person.bar.setAttribute("aria-label", `${m.say("motion")} ${person.px.textContent}`);
      return person.root;
    }

    say(event) {
      const person = this.person(event.track);
      this.spans = this.spans.filter((span) => span.id !== event.id && span.offset_s > this.now - CHART_S);
      this.spans.push(event);
      if (event.label) person.event = event;
      if (person.root) this.tellWord(person);
      this.saidList.querySelector(`[data-id="${event.id}"]`)?.remove();
      if (event.kind === "blink") return;
      this.saidList.prepend(said(event));
      while (this.saidList.children.length > SAID) this.saidList.lastChild.remove();
    }

    // The last expression of a person: what it is taken for, and how surely.
    tellWord({ event, word }) {
      if (!event) return;
      const label = event.uncertain
        ? m.element("p.label", {}, m.element("span.unsure", {}, m.say("uncertain")), ` ${m.say("perhaps {label}", { label: m.named(event.label) })}`)
        : m.element("p.label", {}, m.named(event.label), m.element("small", {}, ` ${m.percent(event.probabilities[event.label])}`));
      const lasting = `${Math.round(1000 * (event.offset_s - event.onset_s))} ms`;
      word.className = `word ${event.kind}`;
      word.replaceChildren(
        m.element("p.kind", {}, m.kind(event)), label,
        m.element("p.when", {}, [m.clock(event.apex_s, true), lasting, event.final ? "" : m.say("under way")].filter(Boolean).join(" · ")),
        m.eventBars(event));
    }

    drawChart() {
      const rows = [...this.people].filter(([, person]) => person.points.length);
      const ratio = window.devicePixelRatio || 1;
      const width = this.chart.clientWidth, row = 84;
      const height = Math.max(1, rows.length) * row;
      if (this.chart.width !== Math.round(width * ratio) || this.chart.height !== Math.round(height * ratio)) {
        Object.assign(this.chart, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
        this.chart.style.height = `${height}px`;
      }
      const c = this.chart.getContext("2d");
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.clearRect(0, 0, width, height);
      const from = this.now - CHART_S;
      const x = (t) => ((t - from) / CHART_S) * width;
      rows.forEach(([track, person], i) => {
        const base = (i + 1) * row - 4, top = i * row + 6;
        const highest = Math.max(0.6, ...person.points.map((p) => p[1]), ...person.points.map((p) => 4 * p[2]));
        const y = (px) => base - (px / highest) * (base - top);
        for (const span of this.spans.filter((s) => s.track === track)) {
          c.fillStyle = m.css(`--${span.kind}`);
          c.globalAlpha = ["micro", "macro"].includes(span.kind) ? 0.35 : 0.15;
          c.fillRect(x(span.onset_s), top, Math.max(2, x(span.offset_s) - x(span.onset_s)), base - top);
          c.globalAlpha = 1;
          c.fillRect(x(span.apex_s), top, 1.5, base - top);
        }
        line(c, person.points, x, (p) => y(p[2]), m.css("--m-faint"), [5, 4]);
        line(c, person.points, x, (p) => y(p[1]), m.css("--m-curve"), []);
        c.fillStyle = m.css("--m-faint");
        c.font = "11px system-ui, sans-serif";
        c.fillText(`${m.say("Face {track}", { track })} · ${highest.toFixed(1)} px`, 10, top + 9);
        c.fillRect(0, base + 3, width, 0.5);
      });
    }
  }

  const said = (event) => m.element(`li.${event.kind}`, { "data-id": event.id },
    m.element("span", {}, m.clock(event.apex_s, true)), m.element("span.kind", {}, m.kind(event)),
    m.element("span", {}, m.say("Face {track}", event)), m.element("span", {}, m.verdict(event)),
    m.element("span.faint", {}, m.units(event)), m.element("span.faint", {}, event.final ? "" : m.say("under way")));

  // Beside the webcam at a low rate: the faces in it, or why it is not analysed. All else its tile tells.
  m.slow = (element, props, watch) => watch("value", () => {
    const { error, faces = [] } = props.value ?? {};
    const seen = faces.map((face) => `${m.say("Face {track}", face)}: ${m.told(face.reason) || m.say(`state ${face.state}`)}`);
    element.querySelector(".m").replaceChildren(m.element("p.status", { role: "status" }, error ? m.told(error) : seen.join(" · ")));
  });

  const line = (c, points, x, y, colour, dash) => {
    c.beginPath();
    let last = -1e9;
    for (const p of points) {
      c[p[0] - last < 0.5 ? "lineTo" : "moveTo"](x(p[0]), y(p));
      last = p[0];
    }
    c.setLineDash(dash);
    c.strokeStyle = colour;
    c.lineWidth = 1.3;
    c.stroke();
    c.setLineDash([]);
  };

  const drawMesh = (c, mesh, scale) => {
    c.fillStyle = "#ffffffb0";
    for (let i = 0; i < 936; i += 2) c.fillRect(mesh[i] * scale - 0.6, mesh[i + 1] * scale - 0.6, 1.3, 1.3);
    c.strokeStyle = "#57c7a8d0";
    c.lineWidth = 1.2;
    for (const outline of OUTLINES) {
      c.beginPath();
      outline.forEach((point, i) => c[i ? "lineTo" : "moveTo"](mesh[2 * point] * scale, mesh[2 * point + 1] * scale));
      c.stroke();
    }
  };
})();
