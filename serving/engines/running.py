"""One running engine of a node: its process, what it holds, and what it is being asked; nothing here waits for it."""

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from polygraft.conf import config
from serving.adapters.store.node_copies import NodeCopies
from serving.engines.driver import AdapterFiles, Driver, EngineError, EngineLoad
from serving.engines.errands import Errands
from serving.engines.facts import kernel_oom_kills
from serving.engines.names import digest_of
from serving.engines.process import EngineProcess

_REFUSED_AGAIN_AFTER_SECONDS = 30.0
_LOOK_SECONDS = 10.0
_WATCH_SECONDS = 2.0
# A request that came just before an adapter was let go of may take so long until the engine counts it.
_UNCOUNTED_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An adapter that could not be loaded; `by_engine` is whether it was the engine that would not have it."""

    name: str
    reason: str
    by_engine: bool


class RunningEngine:
    """An engine's process with its driver. Used from one thread; the engine is asked from others."""

    def __init__(self, process: EngineProcess, driver: Driver, copies: NodeCopies, base_model: str) -> None:
        self.process = process
        self.started_at = time.monotonic()
        self.oom_kills = kernel_oom_kills()
        self.answers = False
        self.draining_since: float | None = None
        self.terminated_at: float | None = None
        self.load: EngineLoad | None = None
        self.resident: set[str] = set()
        # The names whose files it may still read: vLLM reads an adapter again that it had evicted, and dies if it has
        # gone. One leaves the set when the engine has let go of it and has since been idle.
        self.given: set[str] = set()
        # What of that the node's records say.
        self.noted: set[str] = set()
        self._let_go_at: dict[str, float] = {}
        # Whether the engine itself has said what it holds.
        self.has_told = False
        self._driver = driver
        self._copies = copies
        self._base_model = base_model
        self._alive_at = self._probed_at = time.monotonic()
        # When it was first asked for a token in vain, since the last sign of life.
        self._silent_since: float | None = None
        self._refused: dict[str, float] = {}
        self._loads: dict[str, Future[None]] = {}
        self._unloads: dict[str, Future[None]] = {}
        self._probe: Future[None] | None = None
        self._look: Future[set[str]] | None = None
        self._watch: Future[EngineLoad | None] | None = None
        self._looked_at = self._watched_at = float("-inf")
        self._loading = Errands(config().engine_loads_at_once)
        self._asking = Errands(2)

    def awaited(self) -> list[Future[object]]:
        """The calls under way whose ends move the engine on."""
        calls = [*self._loads.values(), *self._unloads.values(), self._look, None if self.answers else self._probe]
        return [call for call in calls if call is not None]  # type: ignore[misc]  # of whatever result

    def begin_probe(self) -> None:
        """Have the base model generate a token, unless it is at that."""
        if self._probe is None:
            self._probed_at = time.monotonic()
            self._probe = self._asking.send(lambda: self._driver.probe(self.process, self._base_model))

    def take_probe(self) -> bool | None:
        """Whether the token came; None while nobody knows."""
        if self._probe is None or not self._probe.done():
            return None
        probe, self._probe = self._probe, None
        if probe.exception() is not None:
            self._silent_since = self._silent_since or self._probed_at
            return False
        self._note_life()
        return True

    def watch(self) -> bool:
        """Measure how busy it is now and then, and ask for a token when none has come for a while.

        Returns:
            False when it has generated nothing for so long that it counts as hung.
        """
        now = time.monotonic()
        if self._watch is not None and self._watch.done():
            watch, self._watch = self._watch, None
            self._note_load(None if watch.exception() else watch.result())
            self._forget_unread()
        if self._watch is None and now - self._watched_at > _WATCH_SECONDS:
            self._watched_at = now
            self._watch = self._asking.send(lambda: self._driver.load(self.process))
        if now - self._alive_at > config().engine_hang_timeout / 3:
            self.begin_probe()
        # Judged by a probe that has just failed, never by the clock alone: this thread may have been held up.
        if self.take_probe() is False and self._silent_since is not None:
            return now - self._silent_since < config().engine_hang_timeout
        return True

    def look(self) -> bool:
        """Ask the engine now and then what it holds, rather than trust what it was told to load.

        Returns:
            Whether it turned out to hold other adapters than was thought.
        """
        now = time.monotonic()
        if self._look is None:
            # Not while adapters come and go: the answer would be neither of before nor of after.
            if now - self._looked_at > _LOOK_SECONDS and not self._loads and not self._unloads:
                self._looked_at = now
                self._look = self._asking.send(lambda: self._driver.loaded_adapters(self.process))
            return False
        if not self._look.done():
            return False
        look, self._look = self._look, None
        if look.exception() is not None:
            return False
        self.has_told = True
        held = look.result()
        if held == self.resident:
            return False
        self.resident = held
        self.given |= held
        return True

    def dismiss(self, wanted: Collection[str]) -> set[str]:
        """Count what is not wanted as resident no more.

        Returns:
            Their names; once nobody sends requests for them any more, `unload` lets go of them.
        """
        for name, load in list(self._loads.items()):
            if name not in wanted and load.cancel():
                del self._loads[name]
        leaving = self.resident.difference(wanted)
        self.resident -= leaving
        return leaving

    def unload(self, names: Collection[str]) -> None:
        """Begin to let go of adapters."""
        for name in names:
            self._unloads[name] = self._loading.send(self._unloading(name))

    def fill(self, wanted: Collection[str]) -> None:
        """Begin to load what is missing, some at a time."""
        if self._look is not None:
            return
        here = self.resident | self._loads.keys() | self._unloads.keys()
        for name in wanted:
            if name not in here and not self._refused_lately(name):
                self.given.add(name)
                self._loads[name] = self._loading.send(self._loading_of(name))

    def take_loaded(self) -> Iterator[str | Refusal]:
        """What has become of the loads that have ended: the names of those that are resident now, and the refusals."""
        for name in _ended(self._unloads):
            self._unloads.pop(name).exception()
        for name in _ended(self._loads):
            error = self._loads.pop(name).exception()
            if error is None:
                self._note_life()
                self.resident.add(name)
                yield name
            else:
                self._refused[name] = time.monotonic()
                yield Refusal(name, str(error), by_engine=isinstance(error, EngineError))

    def _forget_unread(self) -> None:
        """Count as not given any more what it has let go of, if nothing was under way in it when it was last measured.

        Whoever asks for such an adapter now is refused, so that no request can make it read the files.
        """
        here = self.resident | self._loads.keys() | self._unloads.keys()
        now = time.monotonic()
        gone = self.given - here if self.has_told else set()
        self._let_go_at = {name: self._let_go_at.get(name, now) for name in gone}
        if self.load is None or self.load.running + self.load.waiting > 0:
            return
        for name, since in list(self._let_go_at.items()):
            if self._watched_at - since > _UNCOUNTED_SECONDS:
                self.given.discard(name)
                del self._let_go_at[name]

    def is_filled(self) -> bool:
        """Whether no adapter is on its way in or out."""
        return self.has_told and not self._loads and not self._unloads

    def stop(self) -> None:
        """Have it finish and end."""
        if self.terminated_at is None:
            self.terminated_at = time.monotonic()
            self._driver.stop(self.process)

    def leave(self) -> None:
        """Ask it nothing any more; its process goes on."""
        self._loading.end()
        self._asking.end()

    def kill(self) -> None:
        """End its process at once."""
        self.leave()
        self.process.kill()

    def _note_load(self, load: EngineLoad | None) -> None:
        if load is not None and (self.load is None or load.generated != self.load.generated):
            self._note_life()
        self.load = load

    def _note_life(self) -> None:
        self._alive_at = time.monotonic()
        self._silent_since = None

    def _refused_lately(self, name: str) -> bool:
        refused_at = self._refused.get(name)
        return refused_at is not None and time.monotonic() - refused_at < _REFUSED_AGAIN_AFTER_SECONDS

    def _loading_of(self, name: str) -> Callable[[], None]:
        def load() -> None:
            copy = self._copies.fetch(digest_of(name), self._base_model)
            files = AdapterFiles(name=name, peft_folder=copy.peft_folder, gguf_file=copy.gguf_file)
            self._driver.load_adapter(self.process, files)
            self._driver.probe(self.process, name)

        return load

    def _unloading(self, name: str) -> Callable[[], None]:
        return lambda: self._driver.unload_adapter(self.process, name)


def _ended(calls: "dict[str, Future[T]]") -> list[str]:
    return [name for name, call in calls.items() if call.done()]
