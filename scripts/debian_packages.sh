#!/bin/sh
# Installs the Debian packages that tests and benchmarks need and that are not on PyPI: an RTSP server, a browser,
# an MQTT broker. The product itself needs none of them.
set -eu

packages="
    python3-gi
    gir1.2-gst-rtsp-server-1.0
    gstreamer1.0-plugins-base
    gstreamer1.0-plugins-good
    gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly
    chromium
    mosquitto
"
# python3-gi, gir1.2-gst-rtsp-server-1.0: GStreamer's RTSP server and its Python bindings
# plugins-base: the test picture; good: MP4 and RTP; bad: H.264 and H.265 parsers; ugly: the x264 encoder
# chromium: the browser, with a fake webcam
# mosquitto: an MQTT broker

if ! command -v apt-get >/dev/null; then
    echo "This is not Debian or Ubuntu: install Chromium and GStreamer's RTSP server with its Python bindings and plugins yourself." >&2
    exit 1
fi

missing=""
for package in $packages; do
    case "$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null)" in
        "install ok installed") ;;
        *) missing="$missing $package" ;;
    esac
done
if [ -z "$missing" ]; then
    echo "All Debian packages for the tests are installed."
    exit 0
fi

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root="sudo"
else
    echo "The tests need Debian packages, and this user may not install them. As root, run:" >&2
    echo "    apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

echo "Installing for the tests:$missing"
$as_root apt-get update -q
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
