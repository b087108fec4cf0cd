use winze_transport::{Frame, HEADER_BYTES, Header};

/// The frames in `data`, one after the other as they are on the wire before encryption. A last one that announces more
/// than there is has what there is; less than a header at the end is none.
pub fn wire_frames(data: &[u8]) -> impl Iterator<Item = Frame> {
    let mut rest = data;
    std::iter::from_fn(move || next_frame(&mut rest))
}

/// As [`wire_frames`], one at a time.
pub fn next_frame(rest: &mut &[u8]) -> Option<Frame> {
    let (header, behind) = rest.split_first_chunk::<HEADER_BYTES>()?;
    let header = Header::parse(header);
    let payload_bytes = (header.payload_bytes as usize).min(behind.len());
    let (payload, behind) = behind.split_at(payload_bytes);
    *rest = behind;
    Some(Frame {
        extension_type: header.extension_type,
        msg_type: header.msg_type,
        payload: payload.to_vec(),
    })
}
