"""The pages of the MLflow UI and of the model server, as a person sees them in a browser."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.e2e.stacks import Stack, can_not_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        can_not_run(f"UI tests can't run: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page for which Playwright fetches what it asks of this machine. Chromium itself gives up all requests
    when a network interface comes or goes (ERR_NETWORK_CHANGED), and Docker's do so with each container."""
    page = browser.new_page(viewport={"width": 1200, "height": 1100})
    page.set_default_timeout(PATIENCE)
    page.route(re.compile("^http://127.0.0.1:"), lambda route: route.fulfill(response=route.fetch()))
    yield page
    page.unroute_all(behavior="ignoreErrors")
    page.close()


@pytest.fixture(scope="module", params=["native", "docker"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """The iris stacks only."""
    found: Stack = request.getfixturevalue(f"{request.param}_stack")
    return found


def see(page: Page, *texts: str) -> None:
    for text in texts:
        found = page.get_by_text(text, exact=True).locator("visible=true").first
        expect(found, text).to_be_visible(timeout=PATIENCE)


def open_page(page: Page, stack: Stack, path: str) -> None:
    page.goto("about:blank")
    page.goto(f"{stack.tracking_url}/#/{path}")
    close = page.get_by_role("button", name="Close")
    if close.count():
        close.first.click()


def test_the_run_page_shows_parameters_metrics_and_data_set(stack: Stack, page: Page, tmp_path: Path) -> None:
    version = stack.client.get_model_version_by_alias("iris", "champion")
    run = stack.client.get_run(version.run_id or "")
    open_page(page, stack, f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}")
    see(page, "accuracy", "f1", "max_iter", "test_size", "artifacts", "Finished")
    expect(page.get_by_text("iris-train").first).to_be_visible(timeout=PATIENCE)
    see(page, f"v{version.version}")
    page.screenshot(path=tmp_path / "run.png")


def test_the_artifact_page_shows_the_models_files(stack: Stack, page: Page, tmp_path: Path) -> None:
    version = stack.client.get_model_version_by_alias("iris", "champion")
    run = stack.client.get_run(version.run_id or "")
    model_id = (version.source or "").rpartition("/")[2]
    open_page(page, stack, f"experiments/{run.info.experiment_id}/models/{model_id}/artifacts")
    see(page, "MLmodel", "input_example.json", "iris_classifier.py", "requirements.txt")
    page.get_by_text("code", exact=True).last.click()
    see(page, "custom_code.py")
    page.get_by_text("artifacts", exact=True).last.click()
    see(page, "classifier.joblib")
    page.get_by_text("input_example.json", exact=True).last.click()
    expect(page.get_by_text("sepal length (cm)").first).to_be_visible(timeout=PATIENCE)
    page.screenshot(path=tmp_path / "artifacts.png")


def test_the_version_page_shows_the_alias_and_the_signature(stack: Stack, page: Page, tmp_path: Path) -> None:
    version = stack.client.get_model_version_by_alias("iris", "champion").version
    open_page(page, stack, f"models/iris/versions/{version}")
    see(page, f"Version {version}", "Inputs (4)", "Outputs (1)", "gate", "replay", "deployed_at")
    expect(page.get_by_text("champion").first).to_be_visible(timeout=PATIENCE)
    page.get_by_text("Inputs (4)").click()
    expect(page.get_by_text("petal width (cm)").first).to_be_visible(timeout=PATIENCE)
    page.screenshot(path=tmp_path / "version.png")
    open_page(page, stack, "models/iris")
    see(page, f"Version {version}")
    expect(page.get_by_text("champion").first).to_be_visible(timeout=PATIENCE)


def test_the_model_servers_page_tries_the_example_without_the_internet(
    stack: Stack, page: Page, tmp_path: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{stack.serving_url}/docs")
    page.get_by_text("Ask for predictions").click()
    expect(page.get_by_role("cell", name="petal width (cm)")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text('"predictions"', timeout=PATIENCE)
    page.screenshot(path=tmp_path / "docs.png", full_page=True)
    assert [url for url in asked if not url.startswith((stack.serving_url, "data:"))] == []


def test_a_page_of_an_origin_that_is_set_may_ask_and_one_of_another_may_not(stack: Stack, page: Page) -> None:
    headers = "headers: {'Content-Type': 'application/json'}"
    ask = f"([url, body]) => fetch(url, {{method: 'POST', body, {headers}}}).then(answer => answer.json())"
    url = f"{stack.serving_url}/invocations"
    page.unroute_all()  # Playwright would itself answer which origins may ask
    page.goto(f"{stack.tracking_url}/health")
    assert stack.model.is_right(page.evaluate(ask, [url, stack.model.request])["predictions"])
    assert page.evaluate(ask, [url, "{"])["error_code"] == "BAD_REQUEST"
    page.goto(f"{stack.tracking_url}/health".replace("127.0.0.1", "localhost"))
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate(ask, [url, stack.model.request])
