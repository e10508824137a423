//! What a link has seen since it was made.

/// Counts of an end of a line; they wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that came in, each once.
    pub frames_in: u32,
    /// Their bytes, without what the line adds.
    pub frame_bytes_in: u32,
    /// Frames that went out, each once.
    pub frames_out: u32,
    /// Their bytes, without what the line adds.
    pub frame_bytes_out: u32,
    /// Bytes that went out on the line, all of them.
    pub line_bytes_out: u32,
    /// Frames that went out once more.
    pub repeated: u32,
    /// Connections that were opened.
    pub connections: u32,
    /// Connections given up because nobody answered.
    pub given_up: u32,
    /// Dropped: no COBS, or a wrong checksum.
    pub damaged: u32,
    /// Dropped: longer than any packet.
    pub too_long: u32,
    /// Dropped: a good checksum, and a content that no peer of this version sends.
    pub malformed: u32,
    /// Dropped: of a connection that is not open.
    pub stale: u32,
    /// Dropped: frames that had come before.
    pub duplicate: u32,
    /// Dropped: frames beyond the capacity that there was; the peer sends them again.
    pub unwelcome: u32,
}
