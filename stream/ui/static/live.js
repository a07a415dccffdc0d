// The live page: one tile for each camera. One socket brings frames with their faces, events and status messages.
(() => {
  const m = window.merau;
  const CHART_S = 20;
  const LISTED_EVENTS = 6; // under each camera
  const FEED_EVENTS = 60; // of all cameras
  const REFRESH_MS = 80; // between two updates of charts, bars and text, which need not follow the frame rate
  const NORMAL_ENDS = ["end of file", "stopped"];
  const OUTLINES = [
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10],
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61],
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78],
    [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263],
    [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33],
    [276, 283, 282, 295, 285], [300, 293, 334, 296, 336], [46, 53, 52, 65, 55], [70, 63, 105, 66, 107],
    [168, 6, 197, 195, 5, 4, 1],
  ]; // landmarks of the face's oval, lips, eyes, brows and nose

  const PHASES = {
    waiting: m.id("waiting"), connecting: m.id("connecting"), live: m.id("live"), playing: m.id("playing"), lost: m.id("lost"),
    ended: m.id("ended"), off: m.id("off"),
  };
  const STATES = {
    learning: m.id("learning this face"), calm: m.id("no movement"), moving: m.id("moving"), held: m.id("sustained expression"),
    away: m.id("not analysed"),
  };
  // A file is played, never live.
  const phaseName = ({ phase, replay }) => m.t(PHASES[phase === "live" && replay ? "playing" : phase]);

  m.liveView = (element, trigger) => {
    const list = element.querySelector(".tiles");
    const empty = element.querySelector(".empty");
    const tiles = new Map();
    const wall = m.wall(list, tiles);
    let socket, fallbackEvents, wait = 500;

    const tile = (camera) => {
      if (!tiles.has(camera)) tiles.set(camera, new Tile(camera, { remove, playAgain, requestMesh, showDetails: wall.showDetails }));
      const found = tiles.get(camera);
      if (!found.root.isConnected) { list.append(found.root); wall.arrange(); }
      empty.hidden = true;
      return found;
    };
    const remove = (camera) => trigger("remove", { camera });
    const playAgain = (camera) => trigger("play_again", { camera });
    const requestMesh = () => {
      const mesh = [...tiles.values()].some((tile) => tile.showsMesh);
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ mesh }));
    };
    const drop = (camera) => {
      tiles.get(camera)?.root.remove();
      tiles.delete(camera);
      wall.forget(camera);
      empty.hidden = tiles.size > 0;
    };

    const receive = (message) => {
      for (const status of message.cameras ?? []) tile(status.camera).showStatus(status);
      if (message.cameras) dropOthers(message);
      if (message.event) {
        tiles.get(message.camera)?.addEvent(message.event);
        wall.addEvent(message.camera, message.event);
        document.dispatchEvent(new CustomEvent("merau-event", { detail: message }));
      }
      if (message.clip) document.dispatchEvent(new CustomEvent("merau-clip", { detail: message }));
      if (message.removed) drop(message.removed);
    };
    // A status message lists all cameras of its workspace: a tile of the same workspace that it does not list goes.
    const dropOthers = (message) => {
      const listed = message.cameras.map((status) => status.camera);
      for (const [camera, tile] of tiles) if (tile.workspace === message.workspace && !listed.includes(camera)) drop(camera);
      for (const camera of listed) tiles.get(camera).workspace = message.workspace;
      const sees = (phase) => [...tiles.values()].filter((tile) => tile.phase === phase);
      const analysed = sees("live").some((tile) => !tile.replay) ? "cameras" : sees("live").length ? "recordings"
        : sees("lost").length ? "lost" : "nothing";
      document.dispatchEvent(new CustomEvent("merau-analysed", { detail: analysed }));
    };
    const showLost = () => {
      for (const tile of tiles.values()) tile.setOverlay(m.t("The connection to the server was lost. Reconnecting…"));
    };
    // Without a socket or a canvas the page still gets its messages, as server-sent events; they also keep its session.
    const useFallback = (wanted) => {
      list.classList.toggle("fallback", wanted);
      if (!wanted) fallbackEvents?.close();
      if (wanted === Boolean(fallbackEvents)) return;
      fallbackEvents = wanted ? new EventSource(`${m.root}/merau/messages?token=${m.token}`) : null;
      if (!wanted) return;
      fallbackEvents.onmessage = ({ data }) => receive(JSON.parse(data));
      fallbackEvents.onerror = () => (fallbackEvents.readyState === EventSource.CLOSED ? location.reload() : showLost());
    };
    const connect = () => {
      let opened = false;
      socket = m.socket("live");
      socket.onopen = () => { m.noSocket = false; opened = true; wait = 500; useFallback(false); requestMesh(); };
      socket.onmessage = ({ data }) => {
        if (typeof data === "string") return receive(JSON.parse(data));
        const view = new DataView(data);
        const length = view.getUint32(0, true);
        const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
        tiles.get(header.camera)?.show(header, data, 4 + length);
      };
      socket.onclose = () => {
        if (!fallbackEvents) showLost();
        if (!opened) reopen();
        setTimeout(connect, wait);
        wait = Math.min(2 * wait, 8000);
      };
    };
    // A server that answers but refuses the socket has closed this page's session: reload the page for a new one. If that
    // just happened, something between browser and server blocks sockets.
    const reopen = async () => {
      const last = Number(sessionStorage.getItem("merau-reloaded") ?? 0);
      const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
      m.noSocket = Boolean(answer?.ok && Date.now() - last < 30_000);
      if (m.noSocket) useFallback(true);
      if (!answer?.ok || m.noSocket) return;
      sessionStorage.setItem("merau-reloaded", Date.now());
      location.reload();
    };
    m.whenEntered(() => {
      empty.append(m.element("h2", {}, m.t("No camera yet")), m.element("p", {}, m.trusted
        ? m.t("Start your webcam or add a camera below. To analyse a recording, open Review.")
        : m.t("Start your webcam below. To analyse a recording, open Review.")));
      if (m.needsFallback()) useFallback(true); else connect();
    });
  };

  // Several cameras: a grid of small pictures with the events of all by the clock, or one below the other with all details.
  m.wall = (list, tiles) => {
    const e = m.element;
    let chosen = localStorage.getItem("merau-grid");
    const gridButton = e("button", { type: "button", onclick: () => choose(!isGrid()) });
    const bar = e("p.wall-bar", { hidden: true }, gridButton);
    const title = e("h2");
    const items = e("ol.all-events", { "aria-live": "polite" });
    const feed = e("section.feed", { hidden: true }, title, items);
    const isGrid = () => tiles.size > 1 && (chosen === null ? tiles.size > 2 : chosen === "yes");
    const choose = (grid) => {
      chosen = grid ? "yes" : "no";
      localStorage.setItem("merau-grid", chosen);
      arrange();
    };
    const arrange = () => {
      const grid = isGrid();
      bar.hidden = tiles.size < 2;
      feed.hidden = !grid;
      list.parentElement.classList.toggle("wall", grid);
      list.classList.toggle("grid", grid);
      gridButton.setAttribute("aria-pressed", grid);
    };
    const showDetails = (tile) => { choose(false); tile.root.scrollIntoView(); tile.name.focus(); };
    const addEvent = (camera, event) => {
      const tile = tiles.get(camera);
      if (!tile || event.kind === "blink") return;
      const key = `${camera}/${tile.session}/${event.id}`;
      items.querySelector(`[data-key="${key}"]`)?.remove();
      const item = listItem(event, true);
      Object.assign(item.dataset, { key, camera, at: event.onset_wall ?? new Date().toISOString() });
      item.firstChild.after(e("b", {}, tile.name.textContent));
      const next = [...items.children].find((other) => other.dataset.at <= item.dataset.at);
      items.insertBefore(item, next ?? null);
      while (items.children.length > FEED_EVENTS) items.lastChild.remove();
    };
    const forget = (camera) => {
      for (const item of items.querySelectorAll(`[data-camera="${camera}"]`)) item.remove();
      arrange();
    };
    list.before(bar);
    list.after(feed);
    m.whenEntered(() => {
      gridButton.textContent = m.t("Grid of cameras");
      title.textContent = m.t("Events of all cameras");
      items.setAttribute("aria-label", title.textContent);
    });
    return { arrange, addEvent, forget, showDetails };
  };

  // An address or a path has its name at its end.
  const shortName = ({ name, replay }) => (replay || name.startsWith("/") || name.includes("://") ? name.split("/").pop() : name);

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
      this.name = e("h2", { tabindex: -1 });
      this.pill = e("span.pill");
      this.canvas = e("canvas", { width: 640, height: 480, role: "img", "aria-label": m.t("Live picture") });
      this.overlay = e("div.overlay", { role: "status" });
      this.list = e("div.people");
      this.chart = e("canvas.chart", { role: "img", "aria-label": m.t("Motion of each face over the last 20 seconds"), title: m.t("Motion of each face over the last 20 seconds. Solid line: motion; dashed line: noise floor; coloured areas: events."), height: 10 });
      this.eventList = e("ol.events", { "aria-live": "polite", "aria-label": m.t("Events") });
      this.statusLine = e("p.status");
      this.againButton = e("button", { hidden: true, onclick: () => this.calls.playAgain(this.camera) }, m.t("Play again"));
      const mesh = e("input", { type: "checkbox", onchange: () => { this.showsMesh = mesh.checked; this.calls.requestMesh(); } });
      this.removeButton = e("button", { "aria-label": m.t("Remove this camera"), title: m.t("Remove this camera"), onclick: () => this.remove() }, "✕");
      const details = e("button.details", { onclick: () => this.calls.showDetails(this) }, m.t("Details"));
      this.root = e("article.tile", { "data-camera": this.camera },
        e("header", {}, this.name, this.pill, e("span.end", {}, e("label", {}, mesh, m.t("Mesh")), details, this.againButton, this.removeButton)),
        e("div.stage", {}, e("div.view", {}, e("div.screen", {}, this.canvas, this.overlay), this.chart, legend()),
          e("div.side", {}, this.list, this.eventList)), this.statusLine);
      this.showNoFace();
    }

    remove() {
      if (this.own) m.webcam.stop(); else this.calls.remove(this.camera);
    }

    showNoFace() {
      this.list.replaceChildren(m.element("p.faint", {}, m.t("No face in view.")));
    }

    setOverlay(text) { this.overlay.textContent = text; }

    showStatus(status) {
      const { phase } = status;
      const reason = m.text(status.reason);
      if (status.session !== this.session) this.restart(status.session);
      Object.assign(this, { phase, own: status.own, replay: status.replay });
      this.root.classList.toggle("own", status.own);
      this.name.textContent = status.own ? m.t("My webcam") : shortName(status);
      this.name.title = status.name;
      const failed = phase === "ended" && reason && !NORMAL_ENDS.includes(status.reason.id ?? status.reason);
      this.pill.className = `pill ${failed ? "failed" : phase}`;
      this.pill.textContent = phaseName(status);
      this.againButton.hidden = phase !== "ended" || status.own;
      this.removeButton.hidden = status.own ? m.needsFallback() : !m.trusted; // the fallback webcam has Gradio's own button
      const since = status.since ? m.timeOfDay(status.since, "medium") : "";
      this.setOverlay(phase === "lost" ? m.t("Lost since {since}. {reason} Reconnecting…", { since, reason })
        : phase === "off" ? m.t("Its schedule has this camera rest now.")
        : phase === "waiting" ? m.t("Waiting for purpose and consent.")
        : failed ? reason : phase === "connecting" ? m.t("Connecting… {reason}", { reason }) : "");
      const median_ms = this.delays.length ? [...this.delays].sort((a, b) => a - b)[this.delays.length >> 1] : null;
      const b = (value) => m.element("b", {}, String(value));
      const parts = [
        [b(phaseName(status))],
        ...(phase === "ended"
          ? [[b(status.frames), ` ${m.t("frames captured")}`], [b(status.analysed), ` ${m.t("analysed")}`]]
          : [[b(m.number(status.captured_hz, 1)), ` ${m.t("frames/s captured")}`], [b(m.number(status.analysed_hz, 1)), ` ${m.t("analysed")}`]]),
        [status.dropped ? m.element("b.bad", {}, status.dropped) : b(0), ` ${m.t("dropped")}`],
        ...(status.gaps ? [[m.element("b.bad", {}, status.gaps), ` ${m.plural("gap", "gaps", status.gaps)}`]] : []),
        ...(phase === "live" ? [[b(Math.round(status.delay_ms)), ` ms ${m.t("analysis delay")}`]] : []),
        ...(median_ms === null ? [] : [[b(Math.round(median_ms)), ` ms ${m.t("camera to screen")}`]]),
        [`${status.bundle}${status.taught ? ` + ${m.t("your classes")}` : ""}`],
        [status.device],
        ...(status.every > 1 ? [[m.element("b.bad", {}, m.t("busy: one of {every} frames is analysed", { every: status.every }))]] : []),
        ...(phase === "live" && status.flickers ? [[m.element("b.bad", {}, m.t("light flickers"))]] : []),
        ...(status.decoder ? [[m.text(status.decoder)]] : []),
        ...(status.store_error ? [[m.element("b.bad", {}, m.text(status.store_error))]] : []),
      ];
      this.statusLine.replaceChildren(...parts.flatMap((part, i) => (i ? [" · ", ...part] : part)));
    }

    restart(session) {
      this.session = session;
      this.people.clear();
      this.spans = [];
      this.eventList.replaceChildren();
      this.showNoFace();
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
      if (image && !jpeg.length) this.addDelay(m.webcam.age_ms(header.t_s));
      if (image) m.onShown?.(this.camera, header);
      if (jpeg.length) image.close();
      this.header = header;
      this.pending ??= setTimeout(() => { this.pending = null; this.refresh(this.header); }, REFRESH_MS);
    }

    addDelay(ms) {
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
        const text = m.t("Face {track}", face) + (face.reason ? `: ${m.text(face.reason)}` : ` · ${m.t("quality")} ${m.percent(face.quality)}`);
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

    // Cards and chart, which need not follow the frame rate.
    refresh(header) {
      const present = header.faces.map((face) => face.track);
      for (const [track, person] of this.people) {
        if (!present.includes(track) && (!person.points.length || person.points.at(-1)[0] < this.now - CHART_S)) this.people.delete(track);
      }
      const cards = header.faces.map((face) => this.card(face));
      if (!cards.length) this.showNoFace();
      else if (cards.length !== this.list.children.length || cards.some((card, i) => card !== this.list.children[i])) this.list.replaceChildren(...cards);
      this.drawChart();
    }

    card(face) {
      const e = m.element;
      const person = this.person(face.track);
      if (!person.root) {
        person.title = e("b", {}, m.t("Face {track}", face));
        person.state = e("span.pill");
        person.level = e("i");
        person.floor = e("u");
        person.bar = e("div.bar", { role: "img" }, person.level, person.floor);
        person.px = e("span");
        person.expression = e("div");
        person.root = e("section.person", {}, e("header", {}, person.title, person.state), e("div.meter", {}, person.bar, person.px), person.expression);
        this.showExpression(person);
      }
      const top = Math.max(1, 4 * face.noise);
      person.state.textContent = m.text(face.reason) || m.t(STATES[face.state]);
      person.state.className = `pill ${face.reason || face.state !== "moving" ? "" : "lost"}`;
      person.bar.className = `bar ${face.motion > 3 * face.noise ? "over" : ""}`;
      person.level.style.width = `${Math.min(100, (100 * face.motion) / top)}%`;
      person.floor.style.left = `${Math.min(99, (100 * face.noise) / top)}%`;
      person.px.textContent = m.t("{motion} px (noise floor {noise} px)", { motion: m.number(face.motion, 2), noise: m.number(face.noise, 2) });
      person.bar.setAttribute("aria-label", `${m.t("Motion")}: ${person.px.textContent}`);
      return person.root;
    }

    addEvent(event) {
      const person = this.person(event.track);
      this.spans = this.spans.filter((span) => span.id !== event.id && span.offset_s > this.now - CHART_S);
      this.spans.push(event);
      if (event.label) person.event = event;
      if (person.root) this.showExpression(person);
      this.eventList.querySelector(`[data-id="${event.id}"]`)?.remove();
      if (event.kind === "blink") return;
      this.eventList.prepend(listItem(event, !this.replay));
      while (this.eventList.children.length > LISTED_EVENTS) this.eventList.lastChild.remove();
    }

    // The last expression of a person.
    showExpression({ event, expression }) {
      if (!event) return;
      const label = event.uncertain
        ? m.element("p.label", {}, m.element("span.uncertain", {}, m.t("uncertain")), ` ${m.t("possibly {label}", { label: m.className(event.label) })}`)
        : m.element("p.label", {}, m.className(event.label), m.element("small", {}, ` ${m.percent(event.probabilities[event.label])}`));
      const duration = `${Math.round(1000 * (event.offset_s - event.onset_s))} ms`;
      expression.className = `last-expression ${event.kind}`;
      expression.replaceChildren(
        m.element("p.kind", {}, m.kind(event)), label,
        m.element("p.when", {}, [m.streamTime(event.apex_s, true), duration, event.final ? "" : m.t("in progress")].filter(Boolean).join(" · ")),
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
        c.fillText(`${m.t("Face {track}", { track })} · ${m.number(highest, 1)} px`, 10, top + 9);
        c.fillRect(0, base + 3, width, 0.5);
      });
      c.fillStyle = m.css("--m-faint");
      for (let ago = 5; ago < CHART_S; ago += 5) c.fillText(`−${ago} s`, x(this.now - ago), height - 6);
    }
  }

  const key = (sign, text) => m.element("span", {}, m.element(sign), text);
  const legend = () => m.element("p.legend", {}, key("i.motion", m.t("motion")), key("i.noise", m.t("noise floor")),
    ...["micro", "macro", "blink", "head", "speech"].map((kind) => key(`i.kind.${kind}`, m.kind({ kind }))));

  // Of a camera by the clock, of a recording by its own time.
  const listItem = (event, byClock) => m.element(`li.${event.kind}`, { "data-id": event.id },
    m.element("span", { title: m.streamTime(event.apex_s, true) }, byClock && event.onset_wall ? m.timeOfDay(event.onset_wall, "medium") : m.streamTime(event.apex_s, true)), m.element("span.kind", {}, m.kind(event)),
    m.element("span", {}, m.t("Face {track}", event)), m.element("span", {}, m.eventLabel(event)),
    m.element("span.faint", {}, m.likelyUnits(event)), m.element("span.faint", {}, event.final ? "" : m.t("in progress")));

  // Below the fallback webcam: its faces, or why it is not analysed. Its tile shows the rest.
  m.fallbackStatus = (element, props, watch) => watch("value", () => {
    const { error, faces = [] } = props.value ?? {};
    const seen = faces.map((face) => `${m.t("Face {track}", face)}: ${m.text(face.reason) || m.t(STATES[face.state])}`);
    element.querySelector(".m").replaceChildren(m.element("p.status", { role: "status" }, error ? m.text(error) : seen.join(" · ")));
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
