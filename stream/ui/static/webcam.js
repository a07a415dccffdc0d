// The visitor's own webcam: frames are encoded here with their capture times, analysed by the server, and shown from here.
// The encoding is H.264 by WebCodecs where the browser has it, else JPEG by a canvas. Without both see fallback_webcam.py.
(() => {
  const m = window.merau;
  const H264 = 0, JPEG = 1;
  const KEY_EVERY = 60;
  const BITS_PER_S = 4_000_000; // generous for this size: coding noise must stay below a micro-expression
  const KEPT = 24; // frames that wait for their analysis
  const SHOWN_EVERY_S = 0.028; // every frame is analysed, but not every frame is shown
  const WAITING = 4; // frames of the camera that may wait for the page
  const LEARNING = 10; // first frames, which only measure the offset between the camera's clock and the page's
  const MAX_BUFFERED = 1e6; // bytes that may wait in the socket; beyond that, frames are skipped

  const w = (m.webcam = { sent: 0, skipped: 0, coding: "" });
  let socket, stream, video, encoder, zero_ms, first_s, report, running = 0;
  let kept = [];

  w.picture = (t_s) => {
    const wanted = first_s + t_s;
    let best = null;
    for (const frame of kept) if (Math.abs(frame.captured_s - wanted) < 0.002) best = frame.image;
    return best;
  };
  w.age_ms = (t_s) => performance.timeOrigin + performance.now() - zero_ms - 1000 * (first_s + t_s);

  w.start = async (showMessage) => {
    if (stream) return;
    report = showMessage;
    const mine = ++running;
    if (!navigator.mediaDevices?.getUserMedia) return report(m.t("Browsers allow webcams only over https or on localhost."));
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 60 } } });
    } catch (error) {
      stream = null;
      return report(error.name === "NotAllowedError" ? m.t("The browser has no permission to use the webcam.") : m.t("No webcam was found, or another program uses it."));
    }
    zero_ms = performance.timeOrigin + performance.now() - 1000; // earlier than any frame
    [first_s, kept, w.sent, w.skipped] = [null, [], 0, 0];
    socket = m.socket("webcam");
    socket.onopen = () => socket.send(JSON.stringify({ zero_ms }));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.before !== undefined) report(m.t("The server is busy; your place in the queue: {place}. You will be connected automatically.", { place: message.before + 1 }));
      if (message.error) { report(m.text(message.error)); release(); }
      if (message.go) { report(""); begin(mine); }
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
    const encode = (picture, captured_s) => {
      if (!late()) {
        encoder.encode(picture, { keyFrame: number++ % KEY_EVERY === 0 });
        keep(picture, captured_s);
      }
      picture.close(); // a camera has few buffers and stops when none is free
    };
    window.MediaStreamTrackProcessor ? fromTrack(mine, encode) : fromVideo(mine, encode);
  };

  // Every frame of the camera; a few wait while the page is busy. Their clock has another zero than the page's: the frame
  // with the shortest delay gives the offset.
  const fromTrack = async (mine, encode) => {
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
        encode(new VideoFrame(picture, { timestamp: Math.round(1e6 * captured_s) }), captured_s);
      }
      picture.close();
    }
  };

  // The frames that a video element shows, where the browser cannot read the track.
  const fromVideo = (mine, encode) => {
    const next = (now, metadata) => {
      if (mine !== running) return;
      video.requestVideoFrameCallback(next);
      const captured_s = seconds(metadata.captureTime ?? now);
      encode(new VideoFrame(video, { timestamp: Math.round(1e6 * captured_s) }), captured_s);
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
    const skips = encoder?.encodeQueueSize > 3 || socket.bufferedAmount > MAX_BUFFERED;
    w.skipped += skips ? 1 : 0;
    return skips;
  };
  // A copy of each frame that will be shown, until its analysis comes back.
  const keep = (picture, captured_s) => {
    if (captured_s - (kept.at(-1)?.captured_s ?? 0) < SHOWN_EVERY_S) return;
    const copy = kept.length < KEPT ? { image: m.element("canvas", { width: video.videoWidth, height: video.videoHeight }) } : kept.shift();
    copy.captured_s = captured_s;
    copy.image.getContext("2d", { alpha: false }).drawImage(picture, 0, 0, copy.image.width, copy.image.height);
    kept.push(copy);
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

  // The button and the message beside it.
  w.startButton = (element, trigger) => {
    const button = element.querySelector("button");
    const message = element.querySelector(".message");
    const start = () => (m.needsFallback() ? trigger("use_fallback") : w.start(showMessage));
    const label = () => (button.textContent = stream ? m.t("Stop my webcam") : m.t("Start my webcam"));
    const showMessage = (text) => (message.textContent = text);
    let waitsForConsent = false;
    button.addEventListener("click", () => {
      if (stream) return w.stop();
      if (m.consent) return start();
      waitsForConsent = true;
      trigger("ask_consent");
    });
    document.addEventListener("merau-webcam", label);
    document.addEventListener("merau-consent", () => {
      if (waitsForConsent && m.consent) start();
      waitsForConsent = false;
    });
    m.whenEntered(() => { label(); button.hidden = false; });
  };
})();
