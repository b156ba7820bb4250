"""Whose turn it is, in a model of prompts that come whenever they like: time is tokens."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import pytest
from mlx_serving.mlx.prefill_order import (
    EQUAL_TOKENS,
    PATIENCE,
    PATIENCE_TOKENS_MIN,
    PrefillOrder,
)

CHUNK = 200
PLACES = 6
OTHERS_SHARE = 3


@dataclass(eq=False)
class Prompt:
    missing_tokens: int
    rank: int = 1
    arrived_tokens: int = 0
    needed_tokens: int = 0
    came_at: int = 0
    within: float = 0.0
    """Tokens after which it must be done."""
    done_at: int | None = None

    @property
    def waited(self) -> int:
        assert self.done_at is not None
        return self.done_at - self.came_at


class World:
    """What is prefilled in chunks, a prompt at a time; its clock counts tokens."""

    def __init__(self, order: PrefillOrder | None = None, chunk: int = CHUNK) -> None:
        self.order = order or PrefillOrder()
        self.chunk = chunk
        self.prompts: list[Prompt] = []
        self.clock = 0
        self.turns: list[Prompt] = []

    def come(self, *prompts: Prompt) -> None:
        for prompt in prompts:
            prompt.came_at = self.clock
            self.order.came(prompt)
            patience = max(PATIENCE_TOKENS_MIN, PATIENCE[prompt.rank] * prompt.needed_tokens)
            ahead = sum(older.missing_tokens for older in [*self.prompts, prompt])
            prompt.within = patience + (1 + OTHERS_SHARE) * ahead + 2 * self.chunk
            self.prompts.append(prompt)

    def turn(self) -> Prompt:
        prompt = self.order.next(self.prompts)
        tokens = min(self.chunk, prompt.missing_tokens)
        prompt.missing_tokens -= tokens
        self.clock += tokens
        self.order.computed(prompt, tokens, self.prompts)
        self.turns.append(prompt)
        if not prompt.missing_tokens:
            self.prompts.remove(prompt)
            prompt.done_at = self.clock
        return prompt

    def run(self) -> None:
        while self.prompts:
            self.turn()


def done(world: World, prompts: Sequence[Prompt]) -> list[Prompt]:
    world.come(*prompts)
    world.run()
    return sorted(prompts, key=lambda prompt: prompt.waited)


def test_the_shortest_is_done_first_and_each_in_one_go() -> None:
    world = World()
    prompts = [Prompt(900), Prompt(100), Prompt(500), Prompt(1_000)]
    assert done(world, prompts) == [prompts[1], prompts[2], prompts[0], prompts[3]]
    changes = sum(
        one is not other for one, other in zip(world.turns, world.turns[1:], strict=False)
    )
    assert changes == 3


def test_equal_ones_are_done_as_they_came() -> None:
    prompts = [Prompt(600) for _ in range(5)]
    assert done(World(), prompts) == prompts


def test_a_short_one_goes_before_the_rest_of_a_long_one() -> None:
    world, long, short = World(), Prompt(4_000), Prompt(50)
    world.come(long)
    world.turn()
    world.come(short)
    assert world.turn() is short and world.turn() is long


@pytest.mark.parametrize(
    ("left", "other", "keeps"),
    [(900, 600, True), (902, 600, False), (150, 22, True), (151, 22, False)],
)
def test_one_that_is_hardly_shorter_waits(left: int, other: int, keeps: bool) -> None:
    world, first = World(), Prompt(left + CHUNK)
    world.come(first)
    world.turn()
    world.come(Prompt(other))
    assert (world.turn() is first) == keeps


def test_the_next_turns_of_conversations_wait_for_the_first_ones_of_others() -> None:
    world, firsts = World(), [Prompt(180) for _ in range(5)]
    world.come(*firsts)
    while any(prompt.done_at is None for prompt in firsts):
        world.turn()
        world.come(Prompt(150))
    assert [prompt.waited for prompt in firsts] == [180 * (i + 1) for i in range(5)]


def test_the_median_is_that_of_the_shortest_first() -> None:
    lengths = [7_000, 300, 4_700, 326, 1_010, 2_370, 64, 3_000]

    def in_turns(
        prompts: Sequence[Prompt], next_of: Callable[[int, list[Prompt]], Prompt]
    ) -> float:
        left, clock, step = list(prompts), 0, 0
        while left:
            prompt = next_of(step, left)
            tokens = min(CHUNK, prompt.missing_tokens)
            prompt.missing_tokens -= tokens
            clock, step = clock + tokens, step + 1
            if not prompt.missing_tokens:
                left.remove(prompt)
                prompt.done_at = clock
        return median(prompt.waited for prompt in prompts)

    ours = median(prompt.waited for prompt in done(World(), [Prompt(n) for n in lengths]))
    round_robin = in_turns([Prompt(n) for n in lengths], lambda step, left: left[step % len(left)])
    as_they_came = in_turns([Prompt(n) for n in lengths], lambda _, left: left[0])
    least = in_turns(
        [Prompt(n) for n in lengths], lambda _, left: min(left, key=lambda one: one.missing_tokens)
    )
    # One that is overdue may take its share.
    assert ours <= 4 / 3 * least
    assert ours < 0.6 * min(round_robin, as_they_came)


def test_a_better_class_goes_first_whatever_its_length() -> None:
    batch, normal, interactive = Prompt(10, rank=2), Prompt(300, rank=1), Prompt(900, rank=0)
    assert done(World(), [batch, normal, interactive]) == [interactive, normal, batch]


def test_beside_one_that_is_overdue_the_others_keep_their_share() -> None:
    world, long = World(), Prompt(20_000, rank=0)
    world.come(long)
    shorts = []
    while long.done_at is None:
        if len(world.prompts) < 2:
            shorts.append(Prompt(100, rank=0))
            world.come(shorts[-1])
        world.turn()
    # One chunk of the long one at most is between two of others.
    longest = max(short.waited for short in shorts if short.done_at)
    assert longest <= 100 + EQUAL_TOKENS + CHUNK
    computed = sum(100 for short in shorts if short.done_at)
    assert computed >= 0.7 * world.clock


# --- nobody starves ---


def endless(world: World, random_: random.Random) -> None:
    """Takes every place with what is put before all others."""
    while len(world.prompts) < PLACES:
        world.come(Prompt(random_.choice([1, CHUNK // 2, CHUNK]), rank=0))


def mixed(world: World, random_: random.Random) -> None:
    while len(world.prompts) < PLACES and random_.random() < 0.7:
        length = round(10 ** random_.uniform(0, 3.7))
        world.come(Prompt(length, rank=random_.randrange(3)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("others", [endless, mixed])
def test_nobody_waits_longer_than_its_bound(
    others: Callable[[World, random.Random], None], seed: int
) -> None:
    random_ = random.Random(seed)
    world = World(chunk=random_.choice([16, CHUNK, 512]))
    watched = [Prompt(random_.randrange(1, 5_000), rank=random_.randrange(3)) for _ in range(3)]
    world.come(*watched)
    came = list(watched)
    for _ in range(40_000):
        before = set(map(id, world.prompts))
        others(world, random_)
        came += [prompt for prompt in world.prompts if id(prompt) not in before]
        if not world.prompts:
            continue
        world.turn()
        if world.clock > 200_000:
            break
    for prompt in came:
        if prompt.done_at is None:
            assert world.clock - prompt.came_at <= prompt.within
        else:
            assert prompt.waited <= prompt.within
    assert all(prompt.done_at is not None for prompt in watched)


def test_without_a_share_for_those_that_are_overdue_one_starves() -> None:
    world, random_ = World(PrefillOrder(overdue_share=0.0)), random.Random(1)
    long = Prompt(3_000, rank=2)
    world.come(long)
    while world.clock <= 2 * long.within:
        endless(world, random_)
        world.turn()
    assert long.done_at is None and long.missing_tokens == 3_000


@pytest.mark.parametrize("seed", range(20))
def test_turns_are_told_before_they_come(seed: int) -> None:
    """As they are when each prompt is computed as a whole, those that are overdue too."""
    chance = random.Random(seed)
    order, prompts = PrefillOrder(), []
    for _ in range(12):
        prompt = Prompt(chance.randrange(1, 400), chance.randrange(3))
        order.came(prompt)
        prompts.append(prompt)
        other = Prompt(1)
        order.computed(other, chance.randrange(0, 4 * PATIENCE_TOKENS_MIN), prompts)
    told = list(order.turns(prompts))
    assert list(order.turns(prompts)) == told, "nothing has changed"
    came = []
    while prompts:
        prompt = order.next(prompts)
        order.computed(prompt, prompt.missing_tokens, prompts)
        prompts.remove(prompt)
        came.append(prompt)
    assert came == told
