from merau.engine.recognizer import Recognizer
from merau.stream.benchmark import run_benchmark
from merau.stream.capacity import HEADROOM, RATE_HZ, Kind, measure
from merau.stream.commands.bench import format_benchmark
from merau.stream.pipeline import PipelineSettings


def test_bench_times_every_stage(clip):
    figures = run_benchmark(Recognizer.load(), PipelineSettings(), clip)
    assert list(figures["stages"]) == ["faces", "align", "spot", "recognize"]
    assert figures["pipeline"]["calls"] == figures["stages"]["faces"]["calls"] == 135
    assert [line.split()[0] for line in format_benchmark(figures).splitlines()[1:6]] == [
        "decode",
        "faces",
        "align",
        "spot",
        "recognize",
    ]


def test_capacity_counts_cameras_with_headroom():
    found = measure(Kind(640, 480, "short"), Recognizer.load)
    assert found.cameras == int((1 - HEADROOM) * found.frames_per_s / RATE_HZ)
    assert found.cpu_ms_per_frame > 0
    assert found.fields(3)["cluster_cameras"] == 3 * found.cameras
