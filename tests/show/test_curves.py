"""Curves from a run's file: read, thinned out, drawn."""

import pytest
from PIL import Image

from zoo.core.errors import UserError
from zoo.show.curves import POINTS, draw_curve, read_curves, save_curves


def test_figures_are_read_by_name_and_gaps_left_out(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,epoch,a,b\n1,0,2.5,\n2,0,,nan\n9,1,1.5,7\n")
    assert read_curves(file) == {"a": [(1, 2.5), (9, 1.5)], "b": [(9, 7.0)]}


@pytest.mark.parametrize("text", ["", "epoch,a\n1,2\n", "step,a\nx,1\n", "step,a\n1,x\n"])
def test_what_is_no_such_file_has_no_curves(text, tmp_path):
    (tmp_path / "metrics.csv").write_text(text)
    assert read_curves(tmp_path / "metrics.csv") == {} == read_curves(tmp_path / "none.csv")


def test_a_long_curve_is_thinned_and_keeps_its_end():
    drawing = draw_curve("loss", [(step, float(-step)) for step in range(5000)])
    assert len(drawing.points) <= POINTS + 1
    assert drawing.points[0] == (8, 8) and drawing.points[-1] == (312, 122)  # downwards is lower


def test_runs_are_drawn_over_each_other_each_in_its_colour(tmp_path):
    rising, falling = [(n, float(n)) for n in range(9)], [(n, float(9 - n)) for n in range(9)]
    one, both = tmp_path / "one.png", tmp_path / "both.png"
    save_curves({"first": {"a": rising}}, one)
    save_curves({"first": {"a": rising}, "second": {"a": falling}}, both)
    blue, orange = (31, 119, 180), (255, 127, 14)  # the library's first two colours

    def colours(path):
        with Image.open(path) as picture:
            return {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}

    assert blue in colours(one) and orange not in colours(one)
    assert {blue, orange} <= colours(both)


def test_nothing_to_draw_is_a_sentence_and_no_file(tmp_path):
    with pytest.raises(UserError, match="there are no curves to draw"):
        save_curves({"a": {}}, tmp_path / "c.png")
    assert not list(tmp_path.iterdir())
