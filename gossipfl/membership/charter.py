"""The charter of a mesh: who is of it, by signed statements that every device checks by itself.

One device has founded the mesh. It admits devices, and makes some of them admins, who admit devices too. So a
credential is one admission, or two: of an admin by the founder, and of a device by that admin. A revocation ends for
good what an admission began: by the founder for anybody, by an admin for anybody but admins. When an admin is revoked,
whatever it had signed counts no more.

Pure: it verifies; who holds a private key makes the signatures. Statements name the mesh and its founder, so none
counts in another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from gossipfl.errors import LocalError, RemoteError
from gossipfl.membership.ids import SIGNATURE_BYTES, signed_by

MAX_REVOCATIONS = 1024
"""By one issuer: 250 bytes each. Issuers are few: the founder has made each of them one."""

Device: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
Signature: TypeAlias = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Sign: TypeAlias = Callable[[bytes], bytes]
"""From a statement to the signature of some device under it."""


class Admission(Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """`by` says that `device` is of the mesh, and if it is `admin`, that it may say so of others."""

    device: Device
    by: Device
    admin: bool
    signature: Signature


Credential: TypeAlias = Annotated[tuple[Admission, ...], Meta(max_length=2)]
"""Why somebody is of the mesh: the founder's word first; nothing for the founder itself."""


class Revocation(Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """`by`, which has that credential, says that `device` is of the mesh no more."""

    device: Device
    by: Device
    credential: Annotated[tuple[Admission, ...], Meta(max_length=1)]
    signature: Signature


class Charter(Struct, frozen=True, forbid_unknown_fields=True):
    """What a device keeps of it: who founded the mesh, why it belongs to it itself, and who is of it no more."""

    founder: Device
    credential: Credential = ()
    revocations: tuple[Revocation, ...] = ()


class Members:
    """Whom `me` takes for members of `mesh`.

    Raises:
        LocalError: the charter does not admit `me`, or holds a revocation that does not count.
    """

    def __init__(self, me: str, mesh: str, charter: Charter) -> None:
        self._mesh, self._founder = mesh, charter.founder
        self.credential = charter.credential
        self._revoked: dict[str, Revocation] = {}
        if (objection := self.objection(me, charter.credential)) is not None:
            raise LocalError(f"this device is not of mesh {mesh!r}: {objection}")
        try:
            for revocation in charter.revocations:
                self.add(self.news([revocation]))
        except RemoteError as error:
            raise LocalError(f"a ban that was kept does not count: {error}") from error

    @property
    def revocations(self) -> tuple[Revocation, ...]:
        """All that count, the oldest first."""
        return tuple(self._revoked.values())

    def objection(self, device: str, credential: Credential) -> str | None:
        """Why `device` is not of the mesh though it shows `credential`; None if it is."""
        if (flaw := self._flaw(device, credential)) is not None:
            return flaw
        for named, is_admin in (
            (device, _is_admin(credential)),
            *((admission.by, True) for admission in credential[1:]),
        ):
            if named in self._revoked and (not is_admin or self._revoked[named].by == self._founder):
                return f"{named} was banned by {self._revoked[named].by}"
        return None

    def is_revoked(self, device: str) -> bool:
        """Has somebody banned `device`? An admin whom another one banned is of the mesh even so: see `objection`."""
        return device in self._revoked

    def news(self, revocations: Iterable[Revocation]) -> list[Revocation]:
        """Those that were not known.

        Raises:
            RemoteError: the issuer of one may not say so, did not say so, or says too much.
        """
        return [revocation for revocation in revocations if self._is_news(revocation)]

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Let these, which are news, count from now on."""
        self._revoked.update((revocation.device, revocation) for revocation in revocations)
        by_founder = {one.device for one in self._revoked.values() if one.by == self._founder}
        for device in [one.device for one in self._revoked.values() if one.by in by_founder]:
            del self._revoked[device]  # what an admin said before counts no more

    def _is_news(self, revocation: Revocation) -> bool:
        known, by = self._revoked.get(revocation.device), revocation.by
        if known is not None and (known.by == self._founder or by != self._founder):
            return False
        if revocation.device == self._founder:
            raise RemoteError("the founder of a mesh can't be banned")
        if not _is_admin(revocation.credential):
            raise RemoteError(f"a ban by {by}, who is no admin")
        if (objection := self.objection(by, revocation.credential)) is not None:
            raise RemoteError(f"a ban by {by}, who can't ban: {objection}")
        if not signed_by(by, self._statement("ban", revocation.device, admin=False), revocation.signature):
            raise RemoteError(f"a ban that {by} has not signed")
        if sum(one.by == by for one in self._revoked.values()) >= MAX_REVOCATIONS:
            raise RemoteError(f"{by} has banned {MAX_REVOCATIONS} devices already")
        return True

    # --- for those who hold the key of `me`

    def check_issuer(self, *, admin: bool = False) -> None:
        """May the device whose charter this is admit and ban others, and with `admin`, make admins?

        Raises:
            LocalError: it may not.
        """
        if not _is_admin(self.credential):
            raise LocalError("this device is no admin of its mesh: it can neither admit nor ban; the founder can")
        if admin and self.credential:
            raise LocalError("only the founder of a mesh makes admins")

    def admit(self, device: str, by: str, sign: Sign, *, admin: bool = False) -> Credential:
        """A credential for `device`, signed by `by`, whose charter this is.

        Raises:
            LocalError: `by` may not admit, or `device` was banned.
        """
        self.check_issuer(admin=admin)
        if device == self._founder:
            raise LocalError("that is the device that founded the mesh")
        signature = sign(self._statement("admission", device, admin=admin))
        credential = (*self.credential, Admission(device, by, admin, signature))
        if (objection := self.objection(device, credential)) is not None:
            raise LocalError(objection)
        return credential

    def revoke(self, device: str, by: str, sign: Sign, shown: Credential = ()) -> Revocation:
        """A revocation of `device`, signed by `by`, whose charter this is; it does not count yet.

        Args:
            device: whom it is about.
            by: whose word it is.
            sign: with the key of `by`.
            shown: the credential of `device`, if it is known.

        Raises:
            LocalError: `by` may not ban it, or nobody would believe it.
        """
        self.check_issuer()
        if device == self._founder:
            raise LocalError("the founder of a mesh can't be banned")
        if device == by:
            raise LocalError("that is this device")
        if shown and _is_admin(shown) and by != self._founder:
            raise LocalError("that device is an admin, whom only the founder can ban")
        revocation = Revocation(device, by, self.credential, sign(self._statement("ban", device, admin=False)))
        try:
            self.news([revocation])
        except RemoteError as error:  # as others would say
            raise LocalError(str(error)) from error
        return revocation

    def _flaw(self, device: str, credential: Credential) -> str | None:
        """What is wrong with a credential, whoever was banned."""
        if not credential:
            return None if device == self._founder else "it shows no admission"
        issuer, said = self._founder, ""
        for admission in credential:
            if admission.by != issuer or said == "member":
                return f"{admission.by} can't admit"
            if not signed_by(
                issuer, self._statement("admission", admission.device, admin=admission.admin), admission.signature
            ):
                return f"an admission that {issuer} has not signed"
            issuer, said = admission.device, "admin" if admission.admin else "member"
        if len(credential) > 1 and said == "admin":
            return "only the founder of a mesh makes admins"
        return None if issuer == device else f"it shows an admission of {issuer}"

    def _statement(self, kind: str, device: str, *, admin: bool) -> bytes:
        """What is signed."""
        return msgspec.msgpack.encode(("gossipfl 1", kind, self._mesh, self._founder, device, admin))


def _is_admin(credential: Credential) -> bool:
    return not credential or (len(credential) == 1 and credential[0].admin)
