"""The host's life: a compute thread that owns llama.cpp, and the event loop's side of it once it is up."""

import asyncio
import threading

from .adapters import AdapterRegistry
from .embedder import Embedder
from .embeddings import Embeddings
from .errors import StillLoading
from .generation import Event, Generation
from .intake import Intake
from .metrics import Metrics
from .model import Model
from .options import Options
from .pool import ContextPool
from .scheduler import Scheduler

_TRIM_SECONDS = 1.0


class Host:
    """One base model, its adapters and their requests. Made on the event loop that will use it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.metrics = Metrics(options.served_model_name)
        self._scheduler = Scheduler(options, self.metrics, self._publish)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._compute, name="compute")
        self._loaded: asyncio.Future[Model] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._registry: AdapterRegistry | None = None
        self._intake: Intake | None = None
        self._embedder: Embedder | None = None
        self._tending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Loads the model and the first adapters; raises ModelUnreadable or a HostError."""
        self._thread.start()
        model = await self._loaded
        registry = AdapterRegistry(self.options.served_model_name, model, self._scheduler)
        for name, path in self.options.lora:
            await registry.load(name, str(path))
        self._intake = Intake(model, registry, self._scheduler, self.options.ctx_size)
        self._registry = registry

    async def ended(self) -> None:
        """Waits until the compute thread has ended, and raises what broke it, if anything did."""
        await self._ended

    @property
    def ready(self) -> bool:
        """Whether requests can be answered."""
        return self._registry is not None and not self._ended.done()

    @property
    def registry(self) -> AdapterRegistry:
        """The names this host answers to."""
        if self._registry is None:
            raise StillLoading("The model is still being loaded.")
        return self._registry

    @property
    def intake(self) -> Intake:
        """Where requests begin."""
        if self._intake is None or self._ended.done():
            raise StillLoading("The model is not loaded.")
        return self._intake

    @property
    def embeddings(self) -> Embeddings:
        """Where requests for embeddings go."""
        if self._embedder is None:
            raise StillLoading("The model is not loaded.")
        return Embeddings(self.intake, self.registry, self._scheduler, self._embedder)

    async def close(self) -> None:
        """Ends the compute thread, which frees everything llama.cpp holds."""
        if self._tending is not None:
            self._tending.cancel()
        self._scheduler.stop()
        await asyncio.to_thread(self._thread.join)

    def _compute(self) -> None:
        failure: BaseException | None = None
        try:
            model = Model(self.options)
            pool = ContextPool(model, self.options, self._scheduler.defer)
            self.metrics.kv_usage.set_function(lambda: pool.usage)
            self._embedder = Embedder(model, self.options)
            self._loop.call_soon_threadsafe(self._begin, model, pool)
            self._scheduler.run(model, pool)
            self._embedder.close()
            pool.close()
            model.close()
        except BaseException as error:  # noqa: BLE001 - handed to the event loop, which ends the process
            failure = error
        self._loop.call_soon_threadsafe(self._finish, failure)

    def _begin(self, model: Model, pool: ContextPool) -> None:
        self._loaded.set_result(model)
        self._tending = self._loop.create_task(self._tend(pool))

    async def _tend(self, pool: ContextPool) -> None:
        while True:
            await asyncio.sleep(_TRIM_SECONDS)
            self._scheduler.defer(pool.trim)

    def _finish(self, failure: BaseException | None) -> None:
        if failure is None:
            self._ended.set_result(None)
        elif not self._loaded.done():
            self._loaded.set_exception(failure)
            self._ended.cancel()
        else:
            self._ended.set_exception(failure)

    def _publish(self, events: list[tuple[Generation, Event]]) -> None:
        self._loop.call_soon_threadsafe(_deliver, events)


def _deliver(events: list[tuple[Generation, Event]]) -> None:
    for generation, event in events:
        generation.sink.deliver(generation.index, event)
