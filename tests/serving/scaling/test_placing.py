"""Where engines go, and in which words they wait."""

import pytest

from serving.capacity.need import Need
from serving.scaling.placing import Machine, NoPlace, Place, place

GIB = 1024**3
SMALL = Need(gpus=0, gpu_bytes=0, host_bytes=0, processor_bytes=4 * GIB)
ON_GPU = Need(gpus=1, gpu_bytes=18 * GIB, host_bytes=GIB, processor_bytes=17 * GIB, takes_whole_gpus=True)
ON_TWO = Need(gpus=2, gpu_bytes=18 * GIB, host_bytes=GIB, processor_bytes=34 * GIB, takes_whole_gpus=True)


def machine(name: str, *, memory: float | None = 64, gpus: tuple[float, ...] = (), **more: object) -> Machine:
    return Machine(
        name=name,
        labels=more.pop("labels", {}),  # type: ignore[arg-type]  # by its name
        memory_bytes=None if memory is None else int(memory * GIB),
        gpus={index: int(size * GIB) for index, size in enumerate(gpus)},
        **more,  # type: ignore[arg-type]  # by their names
    )


def reason(need: Need | None, machines: list[Machine], **labels: str) -> str:
    with pytest.raises(NoPlace) as caught:
        place(need, machines, labels)
    return str(caught.value)


def test_siblings_are_spread_before_room_counts() -> None:
    machines = [machine("big", memory=500, siblings=1, engines=1), machine("small", memory=16, engines=3)]
    assert place(SMALL, machines, {}) == Place("small", (), 4 * GIB)


def test_what_is_taken_is_not_given_twice() -> None:
    machines = [machine("a", memory=8, taken_bytes=4 * GIB), machine("b", memory=8, siblings=2)]
    assert place(SMALL, machines, {}).node == "b"


def test_an_engine_gets_whole_gpus_that_nobody_uses() -> None:
    used = machine("a", gpus=(24, 24, 24), gpus_taken={0: GIB})
    assert place(ON_GPU, [used], {}).gpus == (1,)
    assert place(ON_TWO, [used], {}) == Place("a", (1, 2), 18 * GIB)


def test_a_part_of_a_gpu_is_shared_where_the_engine_says_how_much_it_takes() -> None:
    part = Need(gpus=1, gpu_bytes=8 * GIB, host_bytes=0, processor_bytes=8 * GIB)
    assert place(part, [machine("a", gpus=(24,), gpus_taken={0: 12 * GIB})], {}).gpus == (0,)
    assert "needs 8.0 GiB" in reason(part, [machine("a", gpus=(24,), gpus_taken={0: 18 * GIB})])


def test_an_engine_for_gpus_goes_to_processors_only_where_there_are_no_gpus() -> None:
    laptop, server = machine("laptop"), machine("server", gpus=(12,))
    assert place(ON_GPU, [laptop], {}) == Place("laptop", (), 17 * GIB)
    assert reason(ON_GPU, [laptop, server]) == "needs 18.0 GiB, the best node (server) has 11.0 GiB free on a GPU"


def test_only_nodes_with_all_labels_come_into_question() -> None:
    machines = [machine("a", labels={"zone": "eu"}), machine("b", labels={"zone": "eu", "kind": "fast"}, siblings=5)]
    assert place(SMALL, machines, {"zone": "eu", "kind": "fast"}).node == "b"
    assert reason(SMALL, machines, zone="us") == "no living node has the labels zone=us"


def test_who_waits_learns_what_is_missing() -> None:
    assert reason(SMALL, []) == "no node is alive"
    assert (
        reason(SMALL, [machine("a", memory=2), machine("b", memory=4)])
        == "needs 4.0 GiB, the best node (b) has 3.7 GiB free"
    )
    assert (
        reason(ON_TWO, [machine("a", gpus=(24,))])
        == "needs 2 GPUs with 18.0 GiB each, the best node (a) has 0 MiB on each of so many"
    )
    cramped = machine("a", memory=1, gpus=(24,))
    assert reason(ON_GPU, [cramped]) == "needs 1.0 GiB of main memory beside its GPUs, the best node (a) has 942 MiB"


def test_a_model_of_unknown_size_goes_anywhere() -> None:
    assert place(None, [machine("a", memory=None, siblings=1), machine("b", memory=1)], {}).node == "b"
    assert place(SMALL, [machine("silent", memory=None)], {}).node == "silent"
