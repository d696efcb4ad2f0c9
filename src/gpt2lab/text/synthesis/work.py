"""The requests: so many at once, at the pace the account allows, within the budget, tried again when nothing came.

An answer is in the journal before it is judged. Ctrl-C lets what is under way arrive, for it is paid; a second one
drops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import Iterator

from gpt2lab.core import console
from gpt2lab.core.errors import Failed, Interrupted
from gpt2lab.text.synthesis.answers import Answer, NoAnswer, Request, Tokens, Writer, to_record
from gpt2lab.text.synthesis.journal import Journal
from gpt2lab.text.synthesis.ledger import Ledger
from gpt2lab.text.synthesis.pace import Pace
from gpt2lab.text.synthesis.settings import SynthesisRecipe

LONGEST_BACKOFF = 60.0
GO_ON = "the same command continues, and nothing is paid twice"


class Work:
    def __init__(
        self, recipe: SynthesisRecipe, ledger: Ledger, journal: Journal, writer: Writer, max_cost: float | None
    ) -> None:
        self.settings, self.checks = recipe.requests, recipe.checks
        self.ledger, self.journal, self.writer, self.max_cost = ledger, journal, writer, max_cost
        self.pace, self.row = Pace(recipe.requests), asyncio.Lock()
        self.tasks: dict[asyncio.Task[None], Tokens] = {}  # and the most that each may use
        self.failures: Counter[int] = Counter()
        self.delays: dict[int, float] = {}
        self.refused_in_a_row = 0
        self.stop = asyncio.Event()
        self.error: Exception | None = None

    async def run(self) -> None:
        """Until no text is missing, or something says stop; then what is under way is waited for."""
        ledger = self.ledger
        with (
            self._signals(),
            console.progress("synthesize", ledger.count, "texts", done=len(ledger.accepted)) as self.progress,
        ):
            self._start_more()
            while self.tasks:
                done, _ = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del self.tasks[task]
                    if not task.cancelled() and isinstance(error := task.exception(), Exception):
                        self.error = self.error or error
                        self.stop.set()
                self._start_more()
        if ledger.missing:
            raise self.error or self._why_it_ended()

    def _start_more(self) -> None:
        ledger = self.ledger
        while (
            not self.stop.is_set()
            and len(self.tasks) < self.settings.concurrency
            and len(self.tasks) < ledger.missing
            and (number := ledger.next_number()) is not None
        ):
            most = ledger.most(number)
            if not self._affordable(most):
                ledger.ask_again(number)
                return
            self.tasks[asyncio.create_task(self._ask(number, most))] = most

    def _affordable(self, most: Tokens) -> bool:
        if self.max_cost is None or not self.writer.costs:
            return True
        bill = self.ledger.bill
        return bill.cost(sum(self.tasks.values(), bill.paid + bill.perhaps + most)) <= self.max_cost

    async def _ask(self, number: int, most: Tokens) -> None:
        request = Request(number, self.ledger.attempts[number] + 1, self.ledger.prompt(number))
        if not await self._turn(self.delays.pop(number, 0.0), most):
            return
        about = {"number": number, "attempt": request.attempt}
        if self.writer.costs:
            self.ledger.take(self.journal.write({"kind": "sent", **about, "most": most.as_dict()}))
        try:
            answer = await asyncio.wait_for(self.writer.write(request), self.settings.timeout)
        except (NoAnswer, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                error = NoAnswer(f"no answer within {self.settings.timeout:g} seconds", paid=True)
            self._nothing(about, str(error), error.paid)
            self._try_again(number, error)
        except Exception as error:
            self._nothing(about, str(error), paid=False)
            raise
        else:
            self._answered(request, answer, most)

    def _nothing(self, about: dict[str, int], why: str, paid: bool) -> None:
        self.ledger.take(self.journal.write({"kind": "nothing", **about, "paid": paid, "why": why}))

    def _answered(self, request: Request, answer: Answer, most: Tokens) -> None:
        self.failures.pop(request.number, None)
        if answer.tokens:
            self.pace.returned(max(0, most.total - answer.tokens.total))
        reason = self.ledger.take(self.journal.write(to_record(request, answer, self.writer.host)))
        self.refused_in_a_row = self.refused_in_a_row + 1 if reason else 0
        refused = sum(self.ledger.refused.values())
        cost = (
            f", {self.ledger.bill.money(self.ledger.bill.at_most)}"
            if self.ledger.bill.prices and self.writer.costs
            else ""
        )
        self.progress.advance(0 if reason else 1, f"{refused:,} refused{cost}")
        if not reason:
            return
        self.ledger.ask_again(request.number)
        if self.refused_in_a_row >= self.checks.refused_in_a_row:
            raise self._refused(f"{self.refused_in_a_row} answers in a row were refused")
        if len(self.ledger.given_up) > self.ledger.spare:
            raise self._refused(f"{len(self.ledger.given_up)} texts were refused {self.checks.attempts} times each")

    def _refused(self, what: str) -> Failed:
        reasons = "; ".join(f"{count} {reason}" for reason, count in self.ledger.refused.most_common(4))
        return Failed(
            f"{what}. In all: {reasons}",
            place=self.journal.writer.path,
            way_out="read the answers there. Other checks than these may be set, and judge what is there again "
            "without paying; another prompt or model needs another --out",
        )

    def _try_again(self, number: int, error: NoAnswer) -> None:
        self.failures[number] += 1
        times = self.failures[number]
        if times > self.settings.retries:
            raise Failed(f"{times} tries, and no answer: {error}", place=self.writer.host, way_out=GO_ON)
        if (error.wait or 0) > self.settings.longest_wait:
            wish = f"{error}; it asks to come back in {console.duration(error.wait or 0)}"
            raise Failed(wish, place=self.writer.host, way_out=f"later {GO_ON}")
        backoff = min(LONGEST_BACKOFF, self.settings.backoff * 2 ** (times - 1)) * random.uniform(1, 1.25)
        wait = backoff if error.wait is None else error.wait
        if error.busy:
            self.pace.hold(wait)
        else:
            self.delays[number] = wait
        self.ledger.ask_again(number)

    async def _turn(self, delay: float, most: Tokens) -> bool:
        """Wait for one's place in the row; False when the work stops first."""
        await self._pause(delay)
        async with self.row:
            while (seconds := self.pace.delay()) > 0 and not self.stop.is_set():
                await self._pause(seconds)
            if self.stop.is_set():
                return False
            self.pace.begin(most.total)
        return True

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), seconds)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop, names = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
        try:
            for name in names:
                loop.add_signal_handler(name, self._stop_asked)
        except (RuntimeError, ValueError):  # only the main thread hears signals
            yield
            return
        try:
            yield
        finally:
            for name in names:
                loop.remove_signal_handler(name)

    def _stop_asked(self) -> None:
        if self.stop.is_set():
            for task in self.tasks:
                task.cancel()
        elif self.writer.costs:
            console.say("stopping when the answers that are under way have come; once more to drop them")
        self.stop.set()

    def _why_it_ended(self) -> Exception:
        ledger = self.ledger
        have = f"{len(ledger.accepted):,} of {ledger.count:,} texts are written and kept in {self.journal.writer.path}"
        if self.stop.is_set():
            return Interrupted(f"interrupted; {have}", "")
        bill = ledger.bill
        spent = f"{bill.money(bill.at_most)} of {self.max_cost:g} are spent, and one more request could go beyond"
        return Failed(f"the budget is used up: {spent}; {have}", way_out=f"with a higher --max-cost {GO_ON}")
