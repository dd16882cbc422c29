# SPDX-License-Identifier: AGPL-3.0-or-later
"""Slots: who sits where."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from haoya.inference.slots import Placement, Slots


def test_a_conversation_comes_back_to_its_own_slot() -> None:
    slots = Slots(2)
    for name in ("a", "b"):
        place = slots.take(name)
        assert place is not None and place.fresh
        slots.free(place.slot, known=True)
    again = slots.take("a")
    assert again == Placement(slot=0)


def test_the_longest_unused_leaves_and_is_stored() -> None:
    slots = Slots(2)
    for name in ("a", "b", "a"):
        place = slots.take(name)
        assert place is not None
        slots.free(place.slot, known=True)
    place = slots.take("c")
    assert place == Placement(slot=1, leaving="b", fresh=True)


def test_many_conversations_of_one_person_push_out_each_other() -> None:
    slots = Slots(3)
    came = [("mine", "polite"), *((f"greedy {number}", "greedy") for number in range(9))]
    for name, person in came:
        place = slots.take(name, person)
        assert place is not None
        slots.free(place.slot, known=True)
    assert slots.take("mine", "polite") == Placement(slot=0)
    slots.free(0, known=True)
    newcomer = slots.take("new", "newcomer")
    assert newcomer is not None and newcomer.leaving.startswith("greedy")


def test_what_is_on_disk_already_is_not_stored_again() -> None:
    slots = Slots(1)
    place = slots.take("a")
    assert place is not None
    slots.free(0, known=True)
    assert slots.unstored() == [(0, "a")]
    slots.stored(0)
    assert slots.unstored() == []
    assert slots.take("b") == Placement(slot=0, fresh=True)


def test_a_conversation_that_is_twice_at_work_gets_a_second_slot() -> None:
    slots = Slots(2)
    first, second = slots.take("a"), slots.take("a")
    assert first and second and first.slot != second.slot
    assert slots.take("a") is None


def test_a_slot_whose_contents_are_not_known_belongs_to_nobody() -> None:
    slots = Slots(1)
    assert slots.take("a") is not None
    slots.free(0, known=False)
    assert slots.take("a") == Placement(slot=0, fresh=True)


class Life(RuleBasedStateMachine):
    """Requests come and go in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(3)
        self.taken: list[tuple[int, str]] = []

    @rule(name=st.sampled_from(["a", "b", "c", "d", ""]))
    def come(self, name: str) -> None:
        place = self.slots.take(name)
        assert (place is None) == (len(self.taken) == 3)
        if place is not None:
            assert place.leaving != name or not name
            self.taken.append((place.slot, name))

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), known=st.booleans())
    def go(self, data: st.DataObject, known: bool) -> None:
        slot, _ = self.taken.pop(data.draw(st.integers(0, len(self.taken) - 1)))
        self.slots.free(slot, known=known)

    @invariant()
    def nobody_shares_a_slot(self) -> None:
        assert len({slot for slot, _ in self.taken}) == len(self.taken) == self.slots.busy


TestLife = Life.TestCase


@given(st.lists(st.sampled_from("abcde"), max_size=40))
def test_as_many_conversations_as_slots_never_leave(names: list[str]) -> None:
    slots = Slots(5)
    for name in names:
        place = slots.take(name)
        assert place is not None and not place.leaving
        slots.free(place.slot, known=True)
