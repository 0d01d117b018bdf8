import base64
import json
import re
from importlib.resources import files

from occlupose.viewer.page.html import MODULES, assemble

WEB = files("occlupose.viewer.page") / "web"


def page(title="walk", content=None, inside=""):
    return assemble(title, content or {}, inside)


def test_everything_is_filled_in():
    text = page(inside="AAAA")
    assert "{{" not in re.sub(r"<script type=\"importmap\">.*?</script>", "", text)
    assert '<script type="text/plain" id="media">AAAA</script>' in text and "<title>walk</title>" in text


def test_no_address_of_a_network_is_in_it():
    ours = [path.read_text() for path in WEB.iterdir() if path.name != "three.min.js"]
    assert not any(re.search(r"https?://", text) for text in ours)
    namespace = "http://www.w3.org/1999/xhtml"
    assert set(re.findall(r"https?://[\w./-]+", (WEB / "three.min.js").read_text())) == {namespace}


def test_names_and_content_cannot_end_their_element():
    nasty = '</script><b>&"{{media}}'
    text = page(nasty, {"name": nasty}, "AAAA")
    assert "<title>&lt;/script&gt;&lt;b&gt;&amp;&quot;{{media}}</title>" in text
    content = re.search(r'id="content">(.*?)</script>', text)[1]
    assert json.loads(content) == {"name": nasty}


def test_every_module_is_in_the_page_and_imports_only_those():
    imports = json.loads(re.search(r'<script type="importmap">(.*?)</script>', page())[1])["imports"]
    scripts = {name: base64.b64decode(address.partition(",")[2]).decode() for name, address in imports.items()}
    assert set(scripts) == {"three", *(f"occlupose/{name}" for name in MODULES)}
    assert {path.name for path in WEB.iterdir() if path.suffix == ".js"} == {
        "three.min.js",
        "three.entry.js",
        *(f"{name}.js" for name in MODULES),
    }
    wanted = {word for text in scripts.values() for word in re.findall(r'from "((?:occlupose/)?\w+)";', text)}
    assert wanted <= set(scripts)


def test_lines_of_our_sources_are_short():
    sources = [path for path in WEB.iterdir() if path.name != "three.min.js"]
    assert max(len(line) for path in sources for line in path.read_text().splitlines()) <= 120


def test_what_the_page_takes_from_three_is_bundled():
    entry = set(re.findall(r"^  (\w+),$|\{ (\w+) \}", (WEB / "three.entry.js").read_text(), re.MULTILINE))
    bundled = re.search(r"export\{([^}]*)\}", (WEB / "three.min.js").read_text())[1]
    names = {each.split(" as ")[-1] for each in bundled.split(",")}
    assert names == {"".join(each) for each in entry}
