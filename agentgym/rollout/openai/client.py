"""One model for all episodes of a run: limits, requests that are tried again, and what to blame."""

import asyncio
import logging
import random
import time
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

from agentgym.errors import AgentGymError, ConfigError, MissingError, PolicyError
from agentgym.rollout.openai.answer import Answer, MalformedAnswer, read_answer
from agentgym.rollout.openai.key import ApiKey
from agentgym.rollout.openai.pace import Pace, retry_after, wait_before
from agentgym.rollout.openai.refusal import Refusal, read_refusal
from agentgym.rollout.openai.request import encode, with_valid_arguments
from agentgym.rollout.openai.settings import OPENAI_URL, OpenAIConfig
from agentgym.rollout.openai.spending import Spending
from agentgym.rollout.openai.transport import PassingFault, Response, Transport
from agentgym.rollout.policy import ContextFull

logger = logging.getLogger(__name__)

_MAX_TOKENS = ("max_tokens", "max_completion_tokens")
_MODELS_SHOWN = 12
_LOOKING_S = 60.0


class Filtered(ContextFull):
    """Raised where the provider will not answer this conversation: the episode is truncated."""

    reason = "content_filter"


class Client:
    """Asks one model for all episodes of a run; an async context manager.

    Faults of the server, of the network and of time are tried again. What no other episode would
    fare better with, such as a wrong key or an unknown model, is an error that ends the run.
    """

    def __init__(self, config: OpenAIConfig) -> None:
        """Read the key.

        Raises:
            ConfigError, MissingError: no model is named, or the key is unusable or not there.
        """
        if not config.model:
            raise ConfigError("no model is named", hint="use -m openai:MODEL@URL")
        self.config = config
        self.spending = Spending(config)
        self._key = ApiKey.from_env(config.api_key_env)
        if not self._key and config.url == OPENAI_URL:
            raise MissingError(
                f"{OPENAI_URL} wants a key, and {config.api_key_env} is not set",
                hint=f"export {config.api_key_env}=..., or name a server: -m openai:MODEL@URL",
            )
        self._transport = Transport(config, self._key)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._pace = Pace(config.requests_per_minute)
        self._chance = random.Random()  # two runs should not wait alike
        self._has_answered = False
        self._mends_arguments = False
        self._said: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.close()

    async def knock(self) -> None:
        """Find out whether there is a server.

        Raises:
            MissingError: there is none.
        """
        await self._transport.knock()

    async def ask(self, request: dict[str, Any], *, taken_ids: Collection[str] = ()) -> Answer:
        """Return the answer to a request; its usage tells the retries and what it cost.

        Raises:
            ContextFull: the conversation is too long, or the provider will not have it.
            PolicyError: there was no answer in as many attempts, or as much time, as are allowed.
            BudgetError, ConfigError: no request of this run would fare better.
        """
        began, waited_s = time.monotonic(), 0.0
        for attempt in range(1, self.config.max_attempts + 1):
            try:
                answer = await self._attempt(request, taken_ids)
            except PassingFault as fault:
                last = fault
            else:
                usage = {**answer.usage, "retries": float(attempt - 1)}
                return Answer(answer.message, self.spending.add(usage))
            wait_s = wait_before(attempt + 1, asked_s=last.after_s, chance=self._chance)
            is_last = attempt == self.config.max_attempts
            if is_last or waited_s + wait_s > self.config.max_wait_s:
                break
            waited_s += wait_s
            self.spending.retries += 1
            await asyncio.sleep(wait_s)
        raise self._given_up(last, attempts=attempt, seconds=time.monotonic() - began)

    def _given_up(self, last: PassingFault, *, attempts: int, seconds: float) -> PolicyError:
        limit_s = self.config.max_wait_s
        if last.after_s > limit_s:
            what = f"asks to wait {last.after_s:.0f} s, more than openai.max_wait_s = {limit_s:g}"
        else:
            times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            what = f"gave no answer in {times} and {seconds:.0f} s"
        return PolicyError(
            f"{self.config.model} at {self.config.url} {what}; the last: {last}",
            hint="agentgym config explain openai.max_attempts",
        )

    async def _attempt(self, request: dict[str, Any], taken_ids: Collection[str]) -> Answer:
        if self._mends_arguments:
            request = with_valid_arguments(request) or request
        response = await self._post(request)
        if self._may_be_of_arguments(response) and (mended := with_valid_arguments(request)):
            response = await self._post(mended)
            self._mends_arguments |= response.is_ok
        if response.is_ok:
            return self._read(response, taken_ids)
        refusal = self._refusal(response)
        self._check_room(refusal, request)
        self._judge(refusal, response)
        raise await self._blame(refusal, response)

    async def _post(self, request: dict[str, Any]) -> Response:
        """Send a request in its turn."""
        async with self._slots:
            await self._pace.turn(self.spending.begin)
            return await self._transport.post(encode(request))

    def _read(self, response: Response, taken_ids: Collection[str]) -> Answer:
        try:
            answer = read_answer(self._key.hide_in_answer(response.body), taken_ids=taken_ids)
        except MalformedAnswer as error:
            raise PassingFault(f"an answer with {self._key.hide(str(error))}") from None
        self._has_answered = True
        return answer

    def _refusal(self, response: Response) -> Refusal:
        return read_refusal(response.status, response.body, hide=self._key.hide)

    def _may_be_of_arguments(self, response: Response) -> bool:
        return not response.is_ok and self._refusal(response).may_be_of_arguments

    def _judge(self, refusal: Refusal, response: Response) -> None:
        """Raise where a refusal is of this conversation, or of this moment."""
        if refusal.is_no_money:
            self.spending.refused = f"{self.config.url} wants to be paid: {refusal}"
            self.spending.check()
        if refusal.is_too_long:
            self._say_once("ends episodes whose conversation is too long", refusal)
            raise ContextFull
        if refusal.is_filtered:
            self._say_once("will not have some conversations and ends their episodes", refusal)
            raise Filtered
        if refusal.is_passing:
            after_s = retry_after(response.headers.get("retry-after"))
            if after_s <= self.config.max_wait_s:
                self._pace.pause(after_s)
            raise PassingFault(str(refusal), after_s=after_s)

    def _check_room(self, refusal: Refusal, request: dict[str, Any]) -> None:
        """Raise where the tokens asked for leave no room for the conversation of a first request.

        Once there was an answer they do, and it is the conversation that has grown.
        """
        key = next((key for key in _MAX_TOKENS if key in request), None)
        if key is None or self._has_answered or not refusal.is_of_max_tokens:
            return
        setting = f"openai.{key}" if key == "max_tokens" else f"openai.extra.{key}"
        raise ConfigError(
            f"{self.config.url} has no room for {setting} = {request[key]}: {refusal}",
            hint=f"lower {setting} so that the conversation fits beside it",
        )

    def _say_once(self, what: str, refusal: Refusal) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s %s: %s", self.config.url, what, refusal)

    async def _blame(self, refusal: Refusal, response: Response) -> AgentGymError:
        """Return what is wrong with the run; with a request, once others were answered."""
        url, model, status = self.config.url, self.config.model, refusal.status
        if status == 401 or (status == 403 and not self._has_answered):
            message = f"{url} refuses requests {self._key_words()}: {refusal}"
            return ConfigError(message, hint=self._key_hint)
        if status == 404:
            message = f"{url} has no model {model!r}, or is no such API: {refusal}"
            return ConfigError(message, hint=await self._models_hint())
        if 300 <= status < 400:
            place = self._key.hide(response.headers.get("location", "nowhere"))
            return ConfigError(
                f"{url} sends requests on to {place:.200}", hint="give the URL itself"
            )
        kind = PolicyError if self._has_answered else ConfigError
        return kind(
            f"{url} refuses a request for {model!r}: {refusal}",
            hint="agentgym config explain openai lists what is sent and can be changed",
        )

    def _key_words(self) -> str:
        name = self._key.variable
        return f"with the key in {name}" if self._key else f"without a key ({name} is not set)"

    @property
    def _key_hint(self) -> str:
        name = self._key.variable
        return f"export {name}=..., or name another variable with openai.api_key_env=NAME"

    async def _models_hint(self) -> str:
        self._pace.pause(_LOOKING_S)  # other episodes need not find out, too
        names = await self._transport.models()
        if not names:
            return "the URL should end where /chat/completions begins, often with /v1"
        more = f" and {len(names) - _MODELS_SHOWN} more" if len(names) > _MODELS_SHOWN else ""
        return f"it has {', '.join(names[:_MODELS_SHOWN])}{more}"
