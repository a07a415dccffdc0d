// The visitor's own webcam: coded here with each picture's capture time, analysed at the server, shown from here.
// H.264 by WebCodecs where the browser has it, else JPEGs drawn on a canvas; without those, see slow.py.
(() => {
  const m = window.merau;
  const H264 = 0, JPEG = 1;
  const KEY_EVERY = 60;
  const BITS_PER_S = 4_000_000; // much for such a picture: the coder's noise must stay below a micro-expression
  const KEPT = 24; // pictures that wait for their analysis
  const SHOWN_EVERY_S = 0.028; // every picture is analysed, and so many are shown
  const WAITING = 4; // pictures of the camera that may wait for the page
  const LEARNING = 10; // the first pictures only tell how the camera's clock and the page's compare
  const BEHIND = 1e6; // bytes that may wait in the socket; beyond, a picture is left out

  const w = (m.webcam = { sent: 0, skipped: 0, coding: "" });
  let socket, stream, video, encoder, zero_ms, first_s, report, running = 0;
  let kept = [];

  w.picture = (t_s) => {
    const wanted = first_s + t_s;
    let best = null;
    for (const one of kept) if (Math.abs(one.captured_s - wanted) < 0.002) best = one.image;
    return best;
  };
  w.age_ms = (t_s) => performance.timeOrigin + performance.now() - zero_ms - 1000 * (first_s + t_s);

  w.start = async (say) => {
    if (stream) return;
    report = say;
    const mine = ++running;
    if (!navigator.mediaDevices?.getUserMedia) return report(m.say("This browser gives a webcam over https or on localhost only."));
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 60 } } });
    } catch (error) {
      stream = null;
      return report(m.say(error.name === "NotAllowedError" ? "The browser was not allowed to use the webcam." : "No webcam can be used here."));
    }
    zero_ms = performance.timeOrigin + performance.now() - 1000; // earlier than any picture
    [first_s, kept, w.sent, w.skipped] = [null, [], 0, 0];
    socket = m.socket("webcam");
    socket.onopen = () => socket.send(JSON.stringify({ zero_ms }));
    socket.onmessage = ({ data }) => {
      const word = JSON.parse(data);
      if (word.before !== undefined) report(m.say("The machine is busy: {before} before you. You come next by itself.", { before: word.before + 1 }));
      if (word.error) { report(m.told(word.error)); release(); }
      if (word.go) { report(""); begin(mine); }
    };
    socket.onclose = () => release();
    document.dispatchEvent(new CustomEvent("merau-webcam", { detail: true }));
  };

  w.stop = () => release();

  const release = () => {
    running++;
    stream?.getTracks().forEach((track) => track.stop());
    if (encoder?.state === "configured") encoder.close();
    socket?.close();
    stream = encoder = socket = video = null;
    document.dispatchEvent(new CustomEvent("merau-webcam", { detail: false }));
  };

  const begin = async (mine) => {
    video = m.element("video", { muted: true, playsinline: true });
    video.muted = true;
    video.srcObject = stream;
    await video.play();
    const config = { codec: "avc1.42E01F", width: video.videoWidth & ~1, height: video.videoHeight & ~1, bitrate: BITS_PER_S, framerate: 60, latencyMode: "realtime", avc: { format: "annexb" } };
    const supported = !m.noWebCodecs && window.VideoEncoder && (window.MediaStreamTrackProcessor || video.requestVideoFrameCallback) && (await VideoEncoder.isConfigSupported(config).catch(() => ({}))).supported;
    if (mine !== running) return;
    w.coding = supported ? "h264" : "jpeg";
    if (!supported) return sendJpegs(mine);
    encoder = new VideoEncoder({
      output: (chunk) => {
        const bytes = new Uint8Array(chunk.byteLength);
        chunk.copyTo(bytes);
        send(H264, chunk.timestamp / 1e6, bytes);
      },
      error: (error) => { report(error.message); release(); },
    });
    encoder.configure(config);
    let number = 0;
    const take = (picture, captured_s) => {
      if (!late()) {
        encoder.encode(picture, { keyFrame: number++ % KEY_EVERY === 0 });
        keep(picture, captured_s);
      }
      picture.close(); // the camera has few: whoever holds them stops it
    };
    window.MediaStreamTrackProcessor ? fromTrack(mine, take) : fromVideo(mine, take);
  };

  // Every picture of the camera; a few wait while the page is busy. Their clock began at another moment than the page's,
  // and the quickest to arrive tells when.
  const fromTrack = async (mine, take) => {
    const track = stream.getVideoTracks()[0];
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: WAITING }).readable.getReader();
    let behind_ms = Infinity;
    for (let number = 0; ; number++) {
      const { value: picture } = await reader.read();
      if (mine !== running) picture?.close();
      if (mine !== running || !picture) return reader.cancel();
      if (number < LEARNING) behind_ms = Math.min(behind_ms, performance.now() - picture.timestamp / 1000);
      else {
        const captured_s = seconds(picture.timestamp / 1000 + behind_ms);
        take(new VideoFrame(picture, { timestamp: Math.round(1e6 * captured_s) }), captured_s);
      }
      picture.close();
    }
  };

  // Those that the video shows, where a browser gives no others.
  const fromVideo = (mine, take) => {
    const next = (now, metadata) => {
      if (mine !== running) return;
      video.requestVideoFrameCallback(next);
      const captured_s = seconds(metadata.captureTime ?? now);
      take(new VideoFrame(video, { timestamp: Math.round(1e6 * captured_s) }), captured_s);
    };
    video.requestVideoFrameCallback(next);
  };

  const sendJpegs = (mine) => {
    const canvas = m.element("canvas", { width: video.videoWidth, height: video.videoHeight });
    const context = canvas.getContext("2d");
    const next = (now, metadata) => {
      if (mine !== running) return;
      again(next);
      if (late()) return;
      const captured_s = seconds(metadata?.captureTime ?? now);
      context.drawImage(video, 0, 0);
      keep(video, captured_s);
      canvas.toBlob(async (blob) => {
        const bytes = new Uint8Array(await blob.arrayBuffer());
        if (mine === running) send(JPEG, captured_s, bytes);
      }, "image/jpeg", 0.85);
    };
    const again = (call) => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(call) : requestAnimationFrame(call));
    again(next);
  };

  const seconds = (now_ms) => (performance.timeOrigin + now_ms - zero_ms) / 1000;
  const late = () => {
    const is = encoder?.encodeQueueSize > 3 || socket.bufferedAmount > BEHIND;
    w.skipped += is ? 1 : 0;
    return is;
  };
  // Of those that are shown: a copy of the picture until its analysis comes back.
  const keep = (picture, captured_s) => {
    if (captured_s - (kept.at(-1)?.captured_s ?? 0) < SHOWN_EVERY_S) return;
    const one = kept.length < KEPT ? { image: m.element("canvas", { width: video.videoWidth, height: video.videoHeight }) } : kept.shift();
    one.captured_s = captured_s;
    one.image.getContext("2d", { alpha: false }).drawImage(picture, 0, 0, one.image.width, one.image.height);
    kept.push(one);
  };
  const send = (coding, captured_s, bytes) => {
    if (socket?.readyState !== WebSocket.OPEN) return;
    const packet = new Uint8Array(9 + bytes.length);
    const view = new DataView(packet.buffer);
    view.setUint8(0, coding);
    view.setFloat64(1, captured_s, true);
    packet.set(bytes, 9);
    first_s ??= captured_s;
    w.sent++;
    socket.send(packet);
  };

  // The button and what is said beside it.
  w.door = (element, trigger) => {
    const button = element.querySelector("button");
    const said = element.querySelector(".said");
    const start = () => (m.plain() ? trigger("slow") : w.start(say));
    const label = () => (button.textContent = m.say(stream ? "Let my webcam go" : "Use my webcam"));
    const say = (text) => (said.textContent = text);
    let wanted = false; // until consent is recorded
    button.addEventListener("click", () => {
      if (stream) return w.stop();
      if (m.consent) return start();
      wanted = true;
      trigger("ask");
    });
    document.addEventListener("merau-webcam", label);
    document.addEventListener("merau-consent", () => {
      if (wanted && m.consent) start();
      wanted = false;
    });
    m.whenEntered(() => { label(); button.hidden = false; });
  };
})();
