"""Search: the language, suggestions while one types, what is missing, and help."""

from __future__ import annotations

from playwright.sync_api import expect

from actors.core.ids import bucket_of_account


def search(page, text):
    field = page.get_by_role("combobox")
    field.fill(text)
    field.press("Enter")


def test_words_phrases_names_and_tags_are_found_by_keyboard_alone(site, open_page):
    ada, bob = site.people(2)
    bob.post("a quokka smiles at the blue harbour #quokkas")
    bob.post("harbour blue quokka without order")
    page = open_page("/search", ada)
    expect(page.get_by_role("combobox")).to_be_focused()
    search(page, '"blue harbour"')
    expect(page.locator("rk-status:visible")).to_have_count(1)
    search(page, f"quokka from:{bob.name}")
    expect(page.locator("rk-status:visible")).to_have_count(2)
    assert "from%3A" in page.url
    search(page, bob.name)
    expect(page.locator(".rk-account:visible").first).to_contain_text(bob.name)
    search(page, "#quokkas")
    expect(page.locator(".rk-line:visible").first).to_contain_text("#quokkas")


def test_suggestions_complete_names_tags_and_the_language(site, open_page):
    bob = site.person("quentin")
    bob.post("seen at #quayside")
    page = open_page("/search", site.ada)
    field = page.get_by_role("combobox")
    field.press_sequentially("kites from:quen")
    expect(page.get_by_role("option").first).to_contain_text("quentin")
    field.press("ArrowDown")
    assert field.get_attribute("aria-activedescendant") == page.get_by_role("option").first.get_attribute("id")
    field.press("Enter")
    expect(field).to_have_value("kites from:quentin ")
    field.press_sequentially("#quay")
    expect(page.get_by_role("option").first).to_contain_text("#quayside")
    field.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    field.fill("")
    field.press_sequentially("has:")
    expect(page.get_by_role("option").first).to_contain_text("has:media")


def test_missing_shards_bad_queries_and_nothing_are_said(site, open_page):
    page = open_page("/search?q=kites&part=posts", site.ada)
    expect(page.locator("rk-status:visible").first).to_be_visible()
    other = 1 - site.cluster.shard_of(bucket_of_account(int(site.ada.user_id)))
    site.cluster.down.add(other)
    try:
        page.goto("/search?q=kites+wind&part=posts")
        expect(page.get_by_text("1 of 2")).to_be_visible()
    finally:
        site.cluster.down.discard(other)
    page.goto("/search?q=%22open&part=posts")
    expect(page.get_by_role("alert").first).to_be_visible()
    page.goto("/search?q=xyzzyplugh&part=posts")
    expect(page.get_by_text("No post was found")).to_be_visible()


def test_help_is_the_language_of_the_documents(open_page):
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
    table = text.partition("## The language of queries")[2].partition("- `AND`")[0]
    page = open_page("/search")
    expect(page.locator(".rk-help:visible dt code").first).to_be_visible()
    shown = page.locator(".rk-help:visible dt code").all_text_contents()
    for written in shown:
        assert f"`{written}`" in table, written
    for operator in ("from:", "to:", "lang:", "since:", "until:", "has:", "is:", "min_likes:", "filter:"):
        assert any(each.startswith(operator) for each in shown), operator
