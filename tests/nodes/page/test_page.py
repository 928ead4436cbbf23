"""The page in a real browser, over real daemons: what it shows, follows and lets one do, for anybody on any screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.page.browsing import Tab
from tests.nodes.page.conftest import NODES, Watched
from tests.nodes.support import gossipfl

pytestmark = pytest.mark.page
Open = Callable[..., Tab]
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
DESK = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}
LEARNING = "#devices tbody tr:has-text('learning')"


def own_page(mesh: Watched, index: int) -> str:
    """The address that `gossipfl page` prints of one daemon."""
    printed = gossipfl("page", "--home", mesh.daemons[index].home.path)
    assert printed.returncode == 0, printed.stderr
    return printed.stdout.strip()


def test_all_devices_are_shown_and_one_that_is_killed_is_seen_to_go_and_to_come_back(mesh: Watched, tab: Open) -> None:
    shown = tab(mesh.url, **DESK)
    shown.page.locator(LEARNING).nth(NODES - 1).wait_for(timeout=60_000)
    shown.wait("#links", f"{NODES} up, {NODES * (NODES - 1) // 2} links")
    assert shown.texts("#state") == ["live"]
    assert "shown" in shown.texts("#about")[0]
    for daemon in mesh.daemons:
        assert daemon.id[-8:] in shown.texts("#devices table")[0]

    mesh.daemons[3].kill()
    shown.wait("#devices tr:has-text('node 3')", "down")
    shown.wait("#state", "1 down")
    shown.wait("#health", "Down: node 3.")
    shown.wait("#links", f"{NODES - 1} up, {(NODES - 1) * (NODES - 2) // 2} links")
    shown.wait("#events li", "node 3")

    mesh.daemons[3].start()
    shown.wait("#devices tr:has-text('node 3')", "learning")
    shown.wait("#state", "live")
    shown.wait("#links", f"{NODES} up")
    assert len(shown.texts("#devices tbody tr")) == NODES


def test_a_device_that_is_chosen_tells_of_itself_and_of_its_peers(mesh: Watched, tab: Open) -> None:
    shown = tab(mesh.url, **DESK)
    shown.page.locator(LEARNING).nth(NODES - 1).wait_for(timeout=60_000)
    assert not shown.page.locator("#peers").is_visible()
    shown.page.get_by_role("button", name="node 5", exact=True).click()
    shown.wait("#facts-title", "Device: node 5")
    shown.wait("#peers-title", "Peers of node 5")
    assert len(shown.texts("#peers tbody tr")) == NODES - 1
    assert shown.texts("#devices tr.on td:first-child") == ["node 5"]
    shown.page.get_by_role("button", name="Whole mesh").click()
    shown.wait("#facts-title", "All devices")

    shown.page.get_by_role("button", name="merges").first.click()
    merges = [int(text.replace(",", "")) for text in shown.texts("#devices tbody td:nth-child(7)")]
    assert merges == sorted(merges, reverse=True)
    for title in ("Accuracy", "Training loss", "Sent a second, each", "Best minus worst"):
        curves = shown.page.locator("figure", has_text=title).locator("path.curve.bold")
        assert len(curves.get_attribute("d") or "") > 20


def test_with_its_token_a_daemon_shows_its_own_links_and_takes_orders(mesh: Watched, tab: Open) -> None:
    url = own_page(mesh, 1)
    shown = tab(url, **DESK)
    shown.wait("#links", f"{NODES - 1} linked, {NODES - 1} known")
    assert shown.page.url == url.partition("#")[0], "the token is not left in the address"
    assert len(shown.texts("#peers tbody tr")) == NODES - 1
    shown.page.get_by_role("button", name="Pause training").click()
    shown.wait("#health", "Local training rests")
    assert mesh.daemons[1].status()["paused"]
    shown.page.get_by_role("button", name="Resume training").click()
    shown.page.get_by_role("button", name="Pause training").wait_for()
    assert not mesh.daemons[1].status()["paused"]
    shown.page.get_by_role("button", name="Publish now").click()
    shown.wait("#state", "published to")
    shown.wait("#events li", "resumed")


def test_without_a_token_it_asks_for_one_and_a_wrong_one_is_none(mesh: Watched, tab: Open) -> None:
    address, _, token = own_page(mesh, 1).partition("#")
    shown = tab(address, **DESK)
    for given, works in (("nothing like it", False), (token, True)):
        shown.page.get_by_label("Token").fill(given)
        with shown.page.expect_response("**/v1/mesh") as answer:
            shown.page.get_by_role("button", name="Open").click()
        assert answer.value.status == (200 if works else 401)
        shown.wait("#state", "live" if works else "needs a token")
        assert shown.page.locator("#graph").is_visible() == works
    assert all("401" in complaint for complaint in shown.complaints), "which browsers write down by themselves"
    shown.complaints.clear()


def test_a_daemon_that_may_be_read_shows_itself_without_a_token_and_takes_no_orders(mesh: Watched, tab: Open) -> None:
    shown = tab(own_page(mesh, 0).partition("#")[0], **DESK)
    shown.wait("#links", f"{NODES - 1} linked")
    shown.wait("#figures", "accuracy")
    assert not shown.page.locator("#orders").is_visible()
    assert not shown.page.locator("#ask").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_it_is_readable_in_light_and_dark_and_on_a_phone(
    mesh: Watched, tab: Open, scheme: str, screen: dict[str, Any]
) -> None:
    if not AXE.exists():
        pytest.skip(f"axe-core is not installed: npm install --prefix {AXE.parents[2]}")
    # A device with its peers has all there is; the policy of the page would keep the checker's own script out.
    shown = tab(mesh.url, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True, **screen)
    shown.page.locator(LEARNING).nth(NODES - 1).wait_for(timeout=60_000)
    shown.page.get_by_role("button", name="node 2", exact=True).click()
    shown.wait("#peers-title", "Peers of node 2")
    background = shown.run("() => getComputedStyle(document.body).backgroundColor")
    red = int(background.partition("(")[2].partition(",")[0])
    assert red > 200 if scheme == "light" else red < 50
    assert shown.run("() => document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    shown.page.add_script_tag(path=AXE)
    found = shown.run("async () => (await axe.run()).violations")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_the_scheme_can_be_chosen_and_stays_so(mesh: Watched, tab: Open) -> None:
    shown = tab(mesh.url, color_scheme="light", **DESK)
    ask = "() => getComputedStyle(document.documentElement).colorScheme"
    assert shown.run(ask) == "light dark"
    for chosen in ("dark", "light"):
        shown.page.get_by_role("button", name="Light or dark").click()
        assert shown.run(ask) == chosen
    shown.page.reload()
    assert shown.run(ask) == "light"


def test_a_name_that_is_markup_stays_text(mesh: Watched, tab: Open) -> None:
    shown = tab(mesh.url, **DESK)
    evil = "<img src=x onerror=document.title='got you'>"
    found = shown.run(
        """async (evil) => {
            const panels = await import("/show/panels.js");
            const list = document.createElement("ol");
            panels.showEvent(list, { time: 1, event: evil, peer: evil, reason: evil }, (id) => id);
            panels.showHealth(list, [["ok", evil]]);
            panels.showFigures(list, [[evil, evil]]);
            document.body.append(list);
            return [list.querySelectorAll("img").length, document.title];
        }""",
        evil,
    )
    assert found[0] == 0
    assert found[1] != "got you"
