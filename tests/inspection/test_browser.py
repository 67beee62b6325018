"""The page in a real browser, where one is installed: groups open and close, search finds, the table sorts."""

import json
import re
import shutil
import subprocess

import pytest

from dcn.inspection.graph.network import describe
from dcn.inspection.render.page import write_page
from tests.inspection.graphs import VOC_DCN, golden

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
# what a person would do; the result goes into an element that the browser prints
SCRIPT = """<script>{
const found = {errors: []};
window.addEventListener("error", event => found.errors.push(event.message));
const size = () => document.querySelectorAll("#graph .box").length;
const click = element => element.dispatchEvent(new MouseEvent("click", {bubbles: true}));
const type = text => { $("query").value = text; $("query").dispatchEvent(new Event("input")); };
found.start = size();
click([...document.querySelectorAll("#graph .box")].find(box => box.textContent.startsWith("res5")));
found.res5 = size();
click([...document.querySelectorAll("#graph .head")].find(head => head.textContent.includes("res5")));
found.closed = size();
window.dispatchEvent(new KeyboardEvent("keydown", {key: "e"}));
found.all = size();
found.edges = document.querySelectorAll("#graph .edge").length;
found.overlaps = [...boxes.values()].filter(({box}) => !box.classList.contains("open")).filter((one, i, all) =>
  all.some((two, k) => k > i && one.x < two.x + two.w && two.x < one.x + one.w && one.y < two.y + two.h
    && two.y < one.y + one.h)).length;
window.dispatchEvent(new KeyboardEvent("keydown", {key: "c"}));
found.none = size();
type("deformable groups");
found.hits = [...document.querySelectorAll("#hits li")].map(li => li.firstChild.textContent);
click(document.querySelector("#hits li"));
found.picked = document.querySelector("#detail h3").textContent;
found.lit = document.querySelectorAll("#graph .edge.lit").length;
type("");
click($("tab-table"));
found.rows = document.querySelectorAll("#table tbody tr").length;
click(document.querySelectorAll("#table th")[3]);
found.largest = document.querySelector("#table tbody td").textContent;
click($("tab-sampling"));
found.cards = [...document.querySelectorAll("#sampling article")].map(card => [card.id,
  card.querySelectorAll("circle.tap, circle.part").length,
  card.querySelector("[data-measured]").href.split("/").pop()]);
click(document.querySelector("#sampling article:nth-child(2) p [data-go]"));
found.offsets = [document.querySelector("#detail h3").textContent, $("sampling").hidden];
click(document.querySelector("#detail [data-go]"));
reveal([...NODES.values()].find(node => node.name === "res5c_branch2b"));
click(document.querySelector("#detail [data-sampling]"));
found.marked = [document.querySelector("#sampling .picked").id, $("sampling").hidden];
document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
$("found").textContent = JSON.stringify(found);
}</script>"""


@pytest.mark.skipif(BROWSER is None, reason='needs a browser: apt-get install chromium')
def test_the_page_in_a_browser(tmp_path):
    graph, inputs, _ = golden(VOC_DCN + 'test')
    network = describe(graph, 'network', inputs)
    page = tmp_path / 'page.html'
    offsets = tmp_path / 'where it looks.html'
    offsets.write_text(''.join(f'<h3 id="res5{block}_branch2b">' for block in 'abc') + '<section id="parts">')
    write_page(str(page), network, offsets=str(offsets))
    page.write_text(page.read_text(encoding='utf-8').replace('</body>', SCRIPT + '</body>'), encoding='utf-8')
    done = subprocess.run(
        [
            BROWSER,
            '--headless=new',
            '--no-sandbox',
            '--disable-gpu',
            '--window-size=1400,900',
            f'--user-data-dir={tmp_path / "profile"}',
            '--virtual-time-budget=5000',
            '--dump-dom',
            page.as_uri(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
    )
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', done.stdout).group(1))
    assert found['errors'] == []
    # two inputs, stem and four stages, 8 operators of the region proposals, 17 of the head
    assert found['start'] == found['closed'] == 2 + 5 + 8 + 17
    assert found['res5'] == found['start'] - 1 + 3
    assert found['all'] == len(network.layers) + 2 and found['overlaps'] == 0
    assert found['edges'] > found['all'] and found['none'] == 2 + 3
    assert found['hits'] == ['res5a_branch2b', 'res5b_branch2b', 'res5c_branch2b']
    assert found['picked'] == 'res5a_branch2b' and found['lit'] == 3  # data, offsets, output
    assert found['rows'] == len(network.layers) and found['largest'] == 'rpn_conv_3x3'
    cards = [f'sampling-res5{block}_branch2b' for block in 'abc']
    assert [card[0] for card in found['cards'][:3]] == cards and [card[1] for card in found['cards'][:3]] == [9, 9, 9]
    assert found['cards'][0][2] == 'where%20it%20looks.html#res5a_branch2b'
    assert [card[1:] for card in found['cards'][3:]] == [[49, 'where%20it%20looks.html#parts']] * 2
    assert found['offsets'] == ['res5b_branch2b_offset', True]
    assert found['marked'] == ['sampling-res5c_branch2b', False]
