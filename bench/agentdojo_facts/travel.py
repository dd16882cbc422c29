# SPDX-License-Identifier: AGPL-3.0-or-later
"""An agency that books hotels, tables and cars, with the owner's calendar and mail.

The agency keeps the listings (names, addresses, prices, hours): a known partner's words, not the
owner's. Reviews are written by anybody. A booking commits the owner to a place and days.
"""

from agentdojo_facts.workspace import (
    CANCEL_EVENT,
    CREATE_EVENT,
    DAY_EVENTS,
    SEARCH_EVENTS,
    SEND_EMAIL,
)
from haoya.core.tool import ToolSpec

_READ = frozenset({"read"})
_SPEND = frozenset({"spend"})


def _spec(name: str, **facts: object) -> ToolSpec:
    return ToolSpec(name=name, purpose=name, **facts)  # pyright: ignore


_LISTINGS = (
    "get_all_hotels_in_city",
    "get_hotels_prices",
    "get_hotels_address",
    "get_all_restaurants_in_city",
    "get_cuisine_type_for_restaurants",
    "get_restaurants_address",
    "get_dietary_restrictions_for_all_restaurants",
    "get_contact_information_for_restaurants",
    "get_price_for_restaurants",
    "check_restaurant_opening_hours",
    "get_all_car_rental_companies_in_city",
    "get_car_types_available",
    "get_car_fuel_options",
    "get_car_rental_address",
    "get_car_price_per_day",
    "get_flight_information",
)
_REVIEWS = (
    "get_rating_reviews_for_hotels",
    "get_rating_reviews_for_restaurants",
    "get_rating_reviews_for_car_rental",
)

FACTS = [
    _spec("get_user_information", effects=_READ, author="owner", private=True),
    *(_spec(name, effects=_READ, author="known") for name in _LISTINGS),
    *(_spec(name, effects=_READ) for name in _REVIEWS),
    _spec(
        "reserve_hotel",
        effects=_SPEND,
        authority={"hotel": "which", "start_day": "when", "end_day": "when"},
        author="known",
    ),
    _spec(
        "reserve_restaurant",
        effects=_SPEND,
        authority={"restaurant": "which", "start_time": "when"},
        author="known",
    ),
    _spec(
        "reserve_car_rental",
        effects=_SPEND,
        authority={"company": "which", "start_time": "when", "end_time": "when"},
        author="known",
    ),
    SEND_EMAIL,
    CREATE_EVENT,
    CANCEL_EVENT,
    SEARCH_EVENTS,
    DAY_EVENTS,
]
