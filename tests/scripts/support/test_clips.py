"""The clips of the spotting benchmarks."""

from scripts.support.clips import plan_clips


def test_test_clips_show_no_tuning_face():
    tuning, test = (
        {(clip.file, clip.plan.face) for clip in plan_clips(split, [30.0], 6, 0)} for split in ("tuning", "test")
    )
    assert len(tuning) == len(test) == 6
    assert not tuning & test


def test_plan_clips_repeats_with_the_seed():
    first, again, other = (plan_clips("test", [30.0, 100.0], 1, seed) for seed in (1000, 1000, 1001))
    assert [clip.name for clip in first] == [clip.name for clip in again]
    assert not {clip.name for clip in first} & {clip.name for clip in other}
    assert len(first) == 2 * (3 + 3 + 1) + 3 + 2 * 3
