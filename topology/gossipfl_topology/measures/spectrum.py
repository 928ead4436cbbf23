"""How fast a mixing matrix averages: its second-largest eigenvalue modulus, in memory and time for 10⁵ nodes.

Knows matrices only: no graph, no rule that made them.
"""

# ruff: noqa: N803 (a mixing matrix is W, as in the papers)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray
from gossipfl_topology.parameters import check

if TYPE_CHECKING:
    from scipy import sparse

    Matrix: TypeAlias = FloatArray | sparse.sparray

DENSE = 1000
"""Up to so many nodes all eigenvalues are computed, in less than a second."""
STEPS = 3000
"""Of Lanczos: random graphs of 10⁵ nodes need some 500, a torus 700, a random geometric graph 2000, a ring 10⁵."""
DIGITS = 1e-6
"""Error that Lanczos may leave, relative to the gap: relative to ρ, slow graphs would be wrong by factors."""
SHIFT = 1e-10
"""Distance of the shift from the eigenvalue 1: below the gap of a ring of 10⁵ nodes, far above the rounding error."""


def slem(W: Matrix) -> float:
    """The second-largest eigenvalue modulus ρ = ‖W − J‖₂, J = 11ᵀ/n: what a round leaves of the disagreement, at most.

    After a round x ← W x, ‖x − x̄‖ is at most ρ times what it was (Xiao, Boyd, "Fast linear iterations for distributed
    averaging", Systems & Control Letters, 2004). ρ = max(λ₂, −λₙ) if W is symmetric, else the largest singular value.

    Above 1000 nodes: the Lanczos iteration without reorthogonalization (Paige 1972), until the error is a millionth
    of 1 − ρ. Where it takes too long the graph is long and thin, and a sparse LU factorization of I − W is cheap
    (shift-invert; Ericsson, Ruhe 1980). Thin tails on a large random core defeat both: this may take hours.

    Args:
        W: shape (n, n), dense or sparse, symmetric or not; rows and columns sum to 1 if it averages.

    Returns:
        ρ; exactly 1 if W averages and its graph is in several parts.

    Raises:
        TopologyError: W isn't a square matrix of finite numbers; or Lanczos doesn't converge, and W doesn't average.

    >>> round(slem(np.array([[0.75, 0.25], [0.25, 0.75]])), 12)
    0.5
    """
    from scipy import sparse
    from scipy.sparse import csgraph

    matrix: Any = sparse.csr_array(W, dtype=float) if sparse.issparse(W) else np.asarray(W, dtype=float)
    shape = matrix.shape
    check("slem", "shape of W", shape, len(shape) == 2 and shape[0] == shape[1] > 0, "must be (n, n), n ≥ 1")
    finite = np.isfinite(matrix.data if sparse.issparse(matrix) else matrix).all()
    check("slem", "W", "has NaN or ∞", bool(finite), "must be finite")
    averages = all(np.allclose(matrix.sum(axis=axis), 1, rtol=0, atol=1e-9) for axis in (0, 1))
    if averages and csgraph.connected_components(sparse.csr_array(matrix), directed=False, return_labels=False) > 1:
        return 1.0
    symmetric = abs(matrix - matrix.T).max() <= 1e-12
    if shape[0] <= DENSE:
        rest = (matrix.toarray() if sparse.issparse(matrix) else matrix) - 1 / shape[0]
        return float(abs(np.linalg.eigvalsh(rest)).max() if symmetric else np.linalg.norm(rest, 2))
    least, most = _lanczos(_apply(matrix, symmetric), shape[0])
    if most - least > DIGITS * abs(1 - least):
        if not averages:
            raise TopologyError(
                "slem: W averages too slowly to measure; if rows and columns summed to 1, it would work"
            )
        least = max(least, _shift_invert(matrix if symmetric else matrix.T @ matrix, both=symmetric))
    return least if symmetric else math.sqrt(least)


def spectral_gap(W: Matrix) -> float:
    """1 − ρ with ρ = `slem(W)`: 1 if one round averages exactly, exactly 0 if the graph is in several parts.

    Args:
        W: as of `slem`.

    Raises:
        TopologyError: as `slem`.

    >>> round(spectral_gap(np.array([[0.75, 0.25], [0.25, 0.75]])), 12)
    0.5
    """
    return 1 - slem(W)


def mixing_time(W: Matrix, epsilon: float = 1e-3) -> float:
    """Rounds until ‖Wᵗ − J‖₂ ≤ ε: ⌈ln ε / ln ρ⌉, at least 1, and ∞ if ρ ≥ 1.

    It is exact if W is symmetric, else an upper bound, since ‖Wᵗ − J‖₂ ≤ ρᵗ.

    Args:
        W: as of `slem`, rows and columns summing to 1.
        epsilon: ε, 0 < ε < 1.

    Raises:
        TopologyError: as `slem`, or ε out of range.

    >>> mixing_time(np.array([[0.75, 0.25], [0.25, 0.75]]), 1 / 8)
    3
    """
    check("mixing_time", "epsilon", epsilon, 0 < epsilon < 1, "must be in (0, 1)")
    rho = slem(W)
    if rho >= 1:
        return math.inf
    # The quotient of two logarithms may lie a rounding error above a whole number.
    return max(1, math.ceil(math.log(epsilon) / math.log(rho) - 1e-9)) if rho > 0 else 1


def _apply(matrix: Any, symmetric: bool) -> Callable[[FloatArray], FloatArray]:  # noqa: FBT001
    """v ↦ A v with A = W − J, or AᵀA if W isn't symmetric."""

    def deflated(v: FloatArray) -> FloatArray:
        product: FloatArray = matrix @ v - v.mean()
        return product

    transposed = matrix.T
    return deflated if symmetric else lambda v: transposed @ (u := deflated(v)) - u.mean()


def _lanczos(apply: Callable[[FloatArray], FloatArray], n: int) -> tuple[float, float]:
    """Bounds, from the Lanczos iteration, on the largest eigenvalue modulus of a symmetric operator.

    Without reorthogonalization: eigenvalues come twice, the outermost and their residuals stay right, and a step costs
    a product and four vector operations. Restarted iterations with few vectors (ARPACK) took 5 to 11 times as long.
    The upper bound is |θ| plus the norm of the residual.
    """
    from scipy.linalg import eigh_tridiagonal

    v = np.random.default_rng(0).standard_normal(n)
    v -= v.mean()
    v /= math.sqrt(_dot(v, v))
    previous, alpha, beta = np.zeros(n), np.empty(STEPS), np.zeros(STEPS + 1)
    least = most = 0.0
    for k in range(STEPS):
        w = apply(v) - beta[k] * previous
        alpha[k] = _dot(w, v)
        w -= alpha[k] * v
        beta[k + 1] = math.sqrt(_dot(w, w))
        exhausted = beta[k + 1] < 1e-14
        if exhausted or (k + 1) % 50 == 0 or k + 1 == STEPS:
            ends = [
                eigh_tridiagonal(alpha[: k + 1], beta[1 : k + 1], select="i", select_range=(end, end)) for end in (0, k)
            ]
            moduli = [abs(theta[0]) for theta, _ in ends]
            least = max(moduli)
            most = max(modulus + beta[k + 1] * abs(s[-1, 0]) for modulus, (_, s) in zip(moduli, ends, strict=True))
            if exhausted or most - least <= DIGITS * abs(1 - least):
                break
        previous, v = v, w / beta[k + 1]
    return float(least), float(most)


def _dot(v: FloatArray, w: FloatArray) -> float:
    """Σ vᵢ wᵢ on one core: where another program has the other core, the threads of BLAS took 20 times as long."""
    return float(np.einsum("i,i", v, w))


def _shift_invert(matrix: Any, *, both: bool) -> float:
    """The largest |λ| but one of a symmetric averaging matrix, near 1; the largest λ but one, if not `both`."""
    found = _near_one(matrix)
    # Gershgorin: no eigenvalue is below this, so most often λ₂ is known to be the one.
    lowest = (2 * matrix.diagonal() - abs(matrix).sum(axis=1)).min()
    return max(found, _near_one(-matrix)) if both and -lowest > found else found


def _near_one(matrix: Any) -> float:
    """The largest eigenvalue < 1 + SHIFT, the vector of ones projected out."""
    from scipy import sparse
    from scipy.sparse.linalg import LinearOperator, eigsh, splu

    n = matrix.shape[0]
    shifted = sparse.csc_array((1 + SHIFT) * sparse.eye_array(n) - matrix)
    # Symmetric and positive definite: pivots stay on the diagonal, and the order keeps the fill small.
    factors = splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})

    def solve(v: FloatArray) -> FloatArray:
        solved = factors.solve(v - v.mean())
        centred: FloatArray = solved - solved.mean()
        return centred

    start = np.random.default_rng(0).standard_normal(n)
    inverse = LinearOperator((n, n), matvec=solve, dtype=float)
    nu = eigsh(inverse, k=1, which="LA", v0=start - start.mean(), tol=1e-9, return_eigenvectors=False)[0]
    return float(1 + SHIFT - 1 / nu)
