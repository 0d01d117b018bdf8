"""The sound of a video file, copied into another one as it is."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

MP4_CODECS = ("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus")
"""Of sound that players find in an .mp4, by FFmpeg's names."""


@dataclass(frozen=True)
class SoundTrack:
    """The sound of a video file.

    Attributes:
        path: of the file.
        codec: FFmpeg's name.
        begin: time of the first frame of the video by the clock of the file, s.
    """

    path: Path
    codec: str
    begin: float

    @property
    def fits_mp4(self) -> bool:
        """Whether it can be copied into an .mp4."""
        return self.codec in MP4_CODECS


class SoundCopy:
    """Copies sound into a video while that is written; what cannot be read is left out.

    Arguments:
        track: the sound; its file must be readable.
        source: the file, opened.
        output: takes a stream more.
    """

    def __init__(self, track: SoundTrack, source: InputContainer, output: OutputContainer) -> None:
        self._track = track
        self._source = source
        self._output = output
        self._stream: AudioStream = source.streams.audio[0]
        self._copied = output.add_stream_from_template(self._stream)
        self._packets: Iterator[tuple[float, Packet]] | None = None
        self._next: tuple[float, Packet] | None = None

    def start(self, time: float) -> None:
        """Chooses where the sound begins: at a time of the source, s."""
        self._packets = self._from(time)
        self._next = next(self._packets, None)

    def copy_until(self, time: float) -> None:
        """Copies what begins before a time, s, counted from the start."""
        while self._packets is not None and self._next is not None and self._next[0] < time:
            self._output.mux(self._next[1])
            self._next = next(self._packets, None)

    def _from(self, start: float) -> Iterator[tuple[float, Packet]]:
        """Time after the start, s, and packet."""
        tick = self._stream.time_base
        if tick is None:
            return
        shift = round((self._track.begin + start) / tick)
        with suppress(av.FFmpegError, OSError):  # what came before stays
            if start:
                self._source.seek(shift, stream=self._stream)
            for packet in self._source.demux(self._stream):
                if packet.pts is not None and packet.dts is not None and packet.pts >= shift:
                    packet.pts -= shift
                    packet.dts -= shift
                    packet.stream = self._copied
                    yield float(packet.pts * tick), packet
