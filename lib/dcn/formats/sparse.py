"""MXNet's two sparse layouts as plain NumPy arrays."""

from typing import NamedTuple, Optional, Tuple, Union

import numpy as np

from dcn.formats.errors import FormatError


class SparseArray(NamedTuple):
    """One sparse array of ``shape``.

    row_sparse  data (R, ...) holds R rows of the whole, ``indices`` (R,) says which; ``indptr`` is None
    csr         data (N,) holds the values of a matrix row by row, ``indices`` (N,) their columns,
                ``indptr`` (rows + 1,) where each row begins
    An array of zeros may come with no rows, no values and an empty ``indptr``.
    """

    storage: str
    shape: Tuple[int, ...]
    data: np.ndarray
    indices: np.ndarray
    indptr: Optional[np.ndarray] = None

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def dense(self) -> np.ndarray:
        """The whole as an ordinary array; its size follows ``shape``, however small the file."""
        whole = np.zeros(self.shape, self.data.dtype)
        indices = self.indices.astype(np.int64)
        self._check_positions(indices)
        if self.storage == 'row_sparse':
            whole[indices] = self.data
        elif self.indptr is not None and len(self.indptr):
            whole[np.repeat(np.arange(self.shape[0]), np.diff(self.indptr.astype(np.int64))), indices] = self.data
        return whole

    def _check_positions(self, indices):
        axis, limit = ('rows', self.shape[0]) if self.storage == 'row_sparse' else ('columns', self.shape[1])
        if len(indices) and not 0 <= indices.min() <= indices.max() < limit:
            raise FormatError(
                f'{self.storage} array of shape {self.shape}: expected {axis} from 0 to {limit - 1}, '
                f'found {indices.min()} to {indices.max()}; the array is damaged'
            )
        if self.indptr is None or not len(self.indptr):
            return
        indptr = self.indptr.astype(np.int64)
        if indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
            raise FormatError(
                f'csr array of shape {self.shape}: expected row starts that rise from 0 to {len(indices)}, '
                f'found {indptr[0]} to {indptr[-1]}; the array is damaged'
            )


Array = Union[np.ndarray, SparseArray]


def dense(array: Array) -> np.ndarray:
    """An array of either kind as an ordinary one."""
    return array.dense() if isinstance(array, SparseArray) else array
