"""What is shown while work goes on."""

import io

from hypothesis import given
from hypothesis import strategies as st

from edgewise._core.units import format_duration
from edgewise.cli.progress import BarProgress, LineProgress, Stage


class _Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_lines_come_when_a_stage_begins_and_every_ten_seconds() -> None:
    clock, stream = _Clock(), io.StringIO()
    shown = LineProgress(stream, clock=clock)
    shown.start("probing", 40)
    for _ in range(20):
        clock.now_s += 1.0
        shown.advance()
    assert stream.getvalue() == "probing\nprobing: 10 of 40, about 30 s left\nprobing: 20 of 40, about 20 s left\n"


def test_notes_are_said_at_once() -> None:
    stream = io.StringIO()
    LineProgress(stream).note("noisy")
    assert stream.getvalue() == "noisy\n"


def test_the_bar_is_drawn_in_place_and_taken_away() -> None:
    clock, stream = _Clock(), io.StringIO()
    shown = BarProgress(stream, clock=clock)
    shown.start("probing", 4)
    clock.now_s = 1.0
    shown.advance(2)
    shown.note("a warning")
    shown.close()
    drawn = stream.getvalue()
    assert f"{'━' * 12}{'─' * 12} probing: 2 of 4, about 1 s left" in drawn
    assert "a warning\n" in drawn
    assert drawn.endswith("\r\x1b[2K")
    assert drawn.count("\n") == 1


def test_nothing_is_promised_before_a_twentieth_is_done() -> None:
    assert Stage(label="", total=100, begun_s=0, done=4).left_s(1.0) is None
    assert Stage(label="", total=0, begun_s=0, done=4).left_s(1.0) is None
    assert Stage(label="exploring", total=89, begun_s=0, done=93).describe(93.0) == "exploring: 93 of 89"


@given(total=st.floats(1, 1e6), share=st.floats(0.05, 1), pace_s=st.floats(1e-6, 1e3))
def test_steady_work_is_foretold_exactly(total: float, share: float, pace_s: float) -> None:
    done = total * share
    left_s = Stage(label="", total=total, begun_s=0, done=done).left_s(done * pace_s)
    assert left_s is not None
    assert abs(left_s - (total - done) * pace_s) <= 1e-6 * total * pace_s


def test_durations_read_as_people_say_them() -> None:
    assert [format_duration(seconds) for seconds in (0.4, 59.4, 60, 3599, 3600)] == ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min"]
