"""The staircase as a file of its own."""

from xml.etree import ElementTree

from edgewise.report.charts import StairsMarks
from edgewise.report.data import Staircase
from edgewise.report.picture import staircase_svg


def test_the_picture_stands_alone():
    stairs = Staircase(name="conv", widths=(8, 16, 17), latency_s=(1e-3, 1e-3, 2e-3))
    picture = staircase_svg(stairs, StairsMarks(chosen=(16,)), caption="<measured> & named")
    tree = ElementTree.fromstring(picture)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert "<measured> & named" in [node.text for node in tree.iter()]
    assert "prefers-color-scheme: dark" in picture
    assert "http" not in picture.replace('xmlns="http://www.w3.org/2000/svg"', "")
