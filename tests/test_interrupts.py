"""Ctrl-C at the worst moment: what a crawl has found and where it says it stands still agree."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest

from miners.committing import MOST_WAITING
from miners.crawl import Run
from miners.interrupts import uninterrupted
from schemas import Lake
from schemas.transaction import Transaction


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Ctrl-C as a person's terminal has it: what runs in the background of a shell is deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    reached = []

    def press_within() -> None:
        with uninterrupted():
            press_ctrl_c()
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        press_within()
    assert reached == ["the end"]
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_a_commit_that_is_interrupted_while_it_waits_for_room_is_not_lost(lake: Lake) -> None:
    go_on = threading.Event()
    commits = MOST_WAITING + 3

    def change(number: int) -> None:
        def make(transaction: Transaction) -> None:
            go_on.wait(20)
            transaction.append("failure", pl.DataFrame({"subject": [str(number)]}))

        run.add(make)
        run.cursor = str(number)

    def disturb() -> None:
        time.sleep(1)
        press_ctrl_c()
        time.sleep(0.5)
        go_on.set()

    def crawl() -> None:
        with run:
            for number in range(commits):
                change(number)
                run.commit()

    run = Run(lake, "h", {}, "s", lambda: datetime.now(UTC), time.monotonic)
    threading.Thread(target=disturb).start()
    with pytest.raises(KeyboardInterrupt):
        crawl()
    stored = lake.sql("SELECT subject FROM failure")["subject"].to_list()
    assert len(stored) > MOST_WAITING
    assert stored == [str(number) for number in range(len(stored))]
    assert lake.sql("SELECT cursor FROM crawl").item() == stored[-1]
