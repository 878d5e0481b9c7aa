"""Everything the pages say, by key. A second language is a second mapping with the same keys."""

from __future__ import annotations

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    "language": "en",
    "site": "Film bench",
    "skip": "Skip to the content",
    "menu": "Pages",
    "for_you": "For you",
    "top": "Top",
    "search": "Search",
    "search_label": "Search films by title",
    "search_placeholder": "Title or year",
    "reactions": "My reactions",
    "status": "Status",
    "you_are": "You are",
    "open_person": "Open another person",
    "person_id": "Person id",
    "open": "Open",
    "new_person": "New person",
    # For you
    "for_you_new": "Like or dislike a few films: the list changes within a second.",
    "for_you_counts": "Chosen from your {likes} and {dislikes}.",
    "like_one": "1 like",
    "like_many": "{count} likes",
    "dislike_one": "1 dislike",
    "dislike_many": "{count} dislikes",
    "show_others": "Show me others",
    "no_items": "There are no films to recommend yet.",
    "reason_people": "People like it",
    "reason_genre": "More {genre}, which you liked",
    "reason_explore": "Something new to try",
    "reason_again": "Seen before",
    # Cards
    "like": "Like",
    "dislike": "Dislike",
    "like_title": "Like {title}",
    "dislike_title": "Dislike {title}",
    "film": "Film",
    "series": "Series",
    "unknown_film": "The services know this item; the catalogue of this site does not.",
    # Other pages
    "top_all": "All genres",
    "top_heading": "Top films",
    "top_genre_heading": "Top films: {genre}",
    "top_intro": "The published list: well liked, and mixed so that neighbours differ.",
    "top_empty": "No list is published yet. It appears seconds after the first films were added.",
    "genres": "Genres",
    "similar": "Similar films",
    "similar_empty": "None are known yet.",
    "similar_down": "Similar films cannot be shown at the moment: the recommendations service does not answer.",
    "search_heading": "Search",
    "search_found": "Results for “{query}”",
    "search_none": "No title holds “{query}”.",
    "search_more": "The first {count} are shown: add a word to narrow it down.",
    "search_hint": "Type a part of a title, or a year.",
    "reactions_intro": "The latest first. Changed your mind? Press the other button.",
    "reactions_none": "Nothing yet. Like or dislike something, and it is listed here.",
    "liked": "Liked",
    "disliked": "Disliked",
    "back_to_list": "Back to the films for you",
    # Status
    "status_catalogue": "Catalogue",
    "status_own_films": "Films this site describes",
    "status_items": "Items that can be recommended",
    "status_genres": "Genres",
    "status_epoch": "Epoch",
    "status_unknown": "unknown",
    "status_services": "Services",
    "status_service": "Service",
    "status_state": "State",
    "status_took": "Answered in",
    "status_ms": "{ms} ms",
    "status_well": "well",
    "status_unwell": "not well",
    "status_silent": "no answer",
    "collector": "Event collector",
    "recommendations": "Recommendations",
    # Messages
    "noted": "Noted.",
    "noted_refresh": "Noted. Choosing other films…",
    "new_list": "New list.",
    "see_changes": "See what changed",
    "collector_down": "Your reaction could not be kept: the event collector does not answer. Please try again.",
    "recommendations_down": "The recommendations service does not answer at the moment.",
    "site_down": "This site does not answer. Please try again.",
    "error_400_heading": "That does not look right",
    "error_400_message": "The address or form holds something this site cannot use.",
    "error_403_heading": "This page is out of date",
    "error_403_message": "The page is out of date. Please load it again and repeat.",
    "error_404_heading": "Not found",
    "error_404_message": "There is no such page, film or genre.",
    "error_405_heading": "Not possible",
    "error_405_message": "This address cannot be used like that.",
    "error_413_heading": "Too much",
    "error_413_message": "More was sent than this site takes.",
    "error_500_heading": "Something went wrong",
    "error_500_message": "This site made a mistake. It was logged.",
    "error_503_heading": "No recommendations at the moment",
    "error_503_message": "The recommendations service does not answer. Search and the films themselves still work.",
    "try_again": "Try again",
}


def text(key: str, **values: object) -> str:
    """KeyError for a text that does not exist."""
    template = ENGLISH[key]
    return template.format(**values) if values else template


def counted(kind: str, count: int) -> str:
    """``like`` or ``dislike`` with its number."""
    return text(f"{kind}_one") if count == 1 else text(f"{kind}_many", count=count)
