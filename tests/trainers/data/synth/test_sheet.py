"""The picture of every Action Unit."""

import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.data.synth.sheet import draw_sheet


def test_draw_sheet_without_face_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(UserError, match="has 0 face"):
        draw_sheet(tmp_path / "grey.png", tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
