"""The skeleton serves: who one is, an account, its statuses, home."""

from __future__ import annotations


def test_a_status_is_on_its_author_s_timeline_and_home(ada, bob):
    said = bob.says(f"hello @{ada.username} #Tag")
    assert [status["id"] for status in bob.get("/api/v1/timelines/home/")] == [said]
    (status,) = ada.get(f"/api/v1/accounts/{bob.id}/statuses")
    assert (status["id"], status["account"]["username"]) == (said, bob.username)
    assert ada.get("/api/v1/accounts/verify_credentials")["id"] == ada.id


def test_answers_and_reblogs_are_left_out_of_an_account_s_statuses_where_that_is_asked_for(ada, bob):
    asked = ada.says('is it? "in_reply_to_id":"7"')
    said = bob.says("says")
    answer = bob.says("answers", in_reply_to=asked)
    boost = bob.post(f"/api/v1/statuses/{asked}/reblog")["id"]

    def shown(**query: bool) -> list[str]:
        return [status["id"] for status in bob.get(f"/api/v1/accounts/{bob.id}/statuses", **query)]

    assert shown() == [boost, answer, said]
    assert shown(exclude_replies=True) == [boost, said]
    assert shown(exclude_reblogs=True) == [answer, said]
    assert shown(exclude_replies=True, exclude_reblogs=True) == [said]
