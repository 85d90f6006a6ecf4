"""`model.memory`: arrays are aligned, do not overlap, and are freed with their last reference."""

import gc
import weakref

import numpy as np
import pytest

from model import memory


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_starts_on_a_cache_line(dtype):
    """This also holds if arrays of other sizes were allocated before it."""
    arrays = [memory.empty(size, dtype) for size in (1, 3, 1000, 17)]
    assert [a.ctypes.data % memory.LINE for a in arrays] == [0] * 4
    assert [(a.size, a.dtype) for a in arrays] == [
        (size, np.dtype(dtype)) for size in (1, 3, 1000, 17)
    ]


def test_no_two_arrays_share_memory():
    """Each array keeps the values that were written to it."""
    arrays = [memory.zeros(size, "float32") for size in range(1, 40)]
    for number, array in enumerate(arrays):
        assert not array.any()
        array[...] = number + 1
    assert all((array == number + 1).all() for number, array in enumerate(arrays))


def test_array_may_be_larger_than_a_block():
    """A larger array gets its own block."""
    assert memory.zeros(2 * memory.BLOCK // 4, "float32").nbytes == 2 * memory.BLOCK


def test_block_is_freed_with_the_last_array_in_it():
    """A process that trains many runs does not grow."""
    array = memory.empty(2 * memory.BLOCK, "uint8")
    block = array
    while block.base is not None:
        block = block.base
    freed = weakref.ref(block)
    del array, block
    memory.empty(2 * memory.BLOCK, "uint8")  # its block replaces the last one, which memory keeps
    gc.collect()
    assert freed() is None
