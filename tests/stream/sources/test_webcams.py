import pytest
from av.device import DeviceInfo

from merau.stream.sources.webcams import _device, camera_input, camera_name

DEVICES = [DeviceInfo("0", "FaceTime", True, ["video"]), DeviceInfo("USB camera", "USB", False, ["video"])]


def test_cameras_of_linux_are_files():
    assert camera_name(2) == "/dev/video2"
    assert camera_input("/dev/video2") == ("/dev/video2", "v4l2")


def test_cameras_of_other_systems_are_counted():
    assert _device("camera 0", DEVICES, "darwin") == "0:none"  # a picture without sound
    assert _device("camera 1", DEVICES, "win32") == "video=USB camera"
    with pytest.raises(FileNotFoundError):
        _device("camera 2", DEVICES, "win32")
