"""Files within tar archives, read where they lie: nothing is unpacked."""

import tarfile
from collections.abc import Iterator

from tinyalex.data.stored import Stored


def members(archive: Stored) -> Iterator[tuple[str, Stored]]:
    """Name and place of each file in an uncompressed tar archive, which may itself lie within another.

    ValueError, naming the file, for what is no such archive or ends in the middle of one.
    """
    with open(archive.file, "rb") as file:
        file.seek(archive.offset)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                end = (
                    archive.offset + archive.size
                    if archive.size >= 0
                    else archive.file.stat().st_size
                )
                while (member := tar.next()) is not None:
                    # What next() has read is not needed again; ImageNet has a million.
                    tar.members.clear()  # type: ignore[attr-defined]
                    if not member.isfile():
                        continue
                    if member.offset_data + member.size > end:
                        raise ValueError(f"{member.name} is cut off")
                    yield member.name, Stored(archive.file, member.offset_data, member.size)
                # next() also stops at a header that is broken or cut off; a whole archive stops at a block of zeros.
                file.seek(tar.offset)
                block = file.read(tarfile.BLOCKSIZE)
                if (
                    len(block) < tarfile.BLOCKSIZE
                    or any(block)
                    or tar.offset + tarfile.BLOCKSIZE > end
                ):
                    raise ValueError("its end is missing")
        except (tarfile.TarError, ValueError) as error:
            raise ValueError(
                f"{archive.file} is not a whole tar archive: {error}.\nDownload it again."
            ) from error
