"""Pages: what comes from outside is text, tables and charts are well-formed, nothing is loaded from elsewhere."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from dcn.webpage import charts
from dcn.webpage.document import Html, Section, document, escaped, figure, folded, gallery, paragraph, table, write
from dcn.webpage.pictures import picture

VOID = {'meta', 'img', 'br', 'input', 'link'}


class Nesting(HTMLParser):
    """Fails where an element is closed that was not the last one opened."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.sources = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ('src', 'href')]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_text_from_outside_stays_text():
    assert escaped('<b>&"\x1b') == '&lt;b&gt;&amp;&quot;\\x1b' and escaped(Html('<b>')) == '<b>'
    page = document('a <script>', 'b & c', [Section('<x>', 'x', [table(['<th>'], [['</td>']], caption='<c>')])])
    found = Nesting(page)
    assert 'script' not in found.tags and {'a <script>', 'b & c', '<x>', '<th>', '</td>', '<c>'} <= set(found.text)


def test_a_page_is_whole_and_loads_nothing(tmp_path):
    image = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    chart = charts.lines([charts.Series('one', [0, 1, 2], [3, float('nan'), 5]), charts.Series('two', [0], [1])])
    parts = [gallery([figure(picture(image, 'noise'), 'a'), figure(chart)]), folded('more', paragraph('p', 1))]
    path = write(str(tmp_path / 'page.html'), document('t', 's', [Section('A', 'a', parts), Section('B', 'b', [])]))
    text = open(path, encoding='utf-8').read()
    found = Nesting(text)
    assert all(source.startswith(('data:', '#')) for source in found.sources) and found.sources[:2] == ['#a', '#b']
    assert 'http' not in text and 'url(' not in text and '@import' not in text
    assert ['id="a"' in text, 'id="b"' in text, 'prefers-color-scheme: dark' in text] == [True] * 3


def test_a_picture_without_loss_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    tag = picture(image, 'a "picture"', quality=None)
    assert 'width="7" height="5"' in tag and 'alt="a &quot;picture&quot;"' in tag
    content = base64.b64decode(re.search('base64,([^"]*)', tag).group(1))
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), 1), image)


def test_a_table_marks_rows_and_columns_of_numbers():
    text = table(['name', 'x'], [['a', 1], ['b', 2]], right=[1], marked=[1])
    assert re.findall('<tr.*?>', text) == ['<tr>', '<tr>', '<tr class="marked">']
    assert text.count('class="n"') == 3


@pytest.mark.parametrize(
    'low, high, expected',
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0.1, 0.95, [0.2, 0.4, 0.6, 0.8]), (-3, 3, [-2, 0, 2]), (5, 5, [5])],
)
def test_ticks_are_round(low, high, expected):
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_points_lie_where_they_should():
    chart = charts.lines([charts.Series('a', [0, 10], [0, 1])], 'x', 'y', (0, 10), (0, 1), width=464, height=250)
    left, right, bottom, top = charts.LEFT, 464 - charts.RIGHT, 250 - charts.BOTTOM, charts.TOP
    assert f'points="{left:.1f},{bottom:.1f} {right:.1f},{top:.1f}"' in chart
    dots = charts.scatter([charts.Series('a', [5, 20], [0.5, -1])], 'x', 'y', (0, 10), (0, 1), width=464, height=250)
    centres = re.findall('cx="(.*?)" cy="(.*?)"', dots)
    assert centres == [(f'{(left + right) / 2:.1f}', f'{(bottom + top) / 2:.1f}'), (f'{right:.1f}', f'{bottom:.1f}')]


def test_a_line_breaks_where_it_has_no_value():
    chart = charts.lines([charts.Series('a', [0, 1, 2, 3, 4], [0, 1, float('nan'), 3, 4])])
    assert chart.count('<polyline') == 2
