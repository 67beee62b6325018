"""Bytes of ``.params`` files put together by hand, so that the readers are not tested with the writers' help.

Little-endian: Q uint64, I uint32, i int32, q int64.
"""

import struct

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
CPU = struct.pack('<ii', 1, 0)
GPU3 = struct.pack('<ii', 2, 3)
FLOAT32, INT64 = 0, 6
ONE_TWO = struct.pack('<ff', 1, 2)


def checkpoint(arrays, names=(), tail=b''):
    """A whole file of ready ``arrays`` (bytes each) and ``names``."""
    text = b''.join(struct.pack('<Q', len(name.encode())) + name.encode() for name in names)
    return struct.pack('<QQQ', 0x112, 0, len(arrays)) + b''.join(arrays) + struct.pack('<Q', len(names)) + text + tail


def shape64(*sizes):
    return struct.pack(f'<i{len(sizes)}q', len(sizes), *sizes)


def v0(sizes, data=ONE_TWO, flag=FLOAT32, device=CPU):
    return struct.pack(f'<I{len(sizes)}I', len(sizes), *sizes) + device + struct.pack('<i', flag) + data


def v1(sizes, data=ONE_TWO, flag=FLOAT32, device=CPU):
    return struct.pack('<I', V1) + shape64(*sizes) + device + struct.pack('<i', flag) + data


def v2(sizes, data=ONE_TWO, flag=FLOAT32, device=CPU, mark=V2, storage=0):
    return struct.pack('<Ii', mark, storage) + shape64(*sizes) + device + struct.pack('<i', flag) + data


def v3(sizes, data=ONE_TWO, **rest):
    return v2(sizes, data, mark=V3, **rest)


def row_sparse(sizes, stored, rows, data, row_flag=INT64):
    """``stored``: shape of the rows that are there; ``rows``: of their numbers; ``data``: values, then numbers."""
    return (
        struct.pack('<Ii', V2, 1)
        + shape64(*stored)
        + shape64(*sizes)
        + CPU
        + struct.pack('<ii', FLOAT32, row_flag)
        + shape64(*rows)
        + data
    )


def csr(sizes, stored, starts, columns, data):
    """``stored``, ``starts``, ``columns``: shapes of values, row starts, column numbers; ``data``: all, so ordered."""
    return (
        struct.pack('<Ii', V2, 2)
        + shape64(*stored)
        + shape64(*sizes)
        + CPU
        + struct.pack('<ii', FLOAT32, INT64)
        + shape64(*starts)
        + struct.pack('<i', INT64)
        + shape64(*columns)
        + data
    )
