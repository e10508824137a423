//! What a frame is for, by its first message; for the byte ledger.

use transport_quic::MessageKind;

/// See [`crdt_core::peek_is_content`].
pub(crate) fn kind_of(frame: &[u8]) -> MessageKind {
    if crdt_core::peek_is_content(frame) { MessageKind::Cells } else { MessageKind::Control }
}

#[cfg(test)]
mod tests {
    use crdt_core::{
        Config, Connect, DocumentName, Heap, Moment, Output, Path, PeerId, Replica, Role, Write,
    };
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn an_open_is_control_and_a_write_is_content() {
        let name = DocumentName::new("pump").unwrap();
        let mut device =
            Replica::<Heap, _>::new(&name, Config::new(Role::Member), ChaCha12Rng::seed_from_u64(7));
        let mut cloud =
            Replica::<Heap, _>::new(&name, Config::new(Role::Aggregator), ChaCha12Rng::seed_from_u64(8));
        let sessions = [
            device.connect(Connect::initiator(PeerId([8; 32]), Role::Aggregator, 300)).unwrap(),
            cloud.connect(Connect::responder(PeerId([7; 32]), Role::Member, 300)).unwrap(),
        ];
        let mut frames = vec![];
        for round in 0..3 {
            if round > 0 {
                let path = Path::new("speed").unwrap();
                device.update(Moment::new(1_000 * round), &[Write::set(path, 5)]).unwrap();
            }
            for _ in 0..4 {
                for from_device in [true, false] {
                    let moment = Moment::new(1_000 * round + 500);
                    let mut buffer = [0; 1200];
                    let from = if from_device { &mut device } else { &mut cloud };
                    let mut sent = vec![];
                    while let Some(output) = from.poll_output(moment, &mut buffer) {
                        match output {
                            Output::Persist => {
                                let token = from.take_unsaved(|_| {});
                                from.handle_persisted(token);
                            }
                            Output::Transmit { len, .. } => sent.push(buffer[..len].to_vec()),
                            _ => {}
                        }
                    }
                    let (to, session) =
                        if from_device { (&mut cloud, sessions[1]) } else { (&mut device, sessions[0]) };
                    for frame in sent {
                        to.handle_frame(moment, session, &frame).unwrap();
                        frames.push((from_device, round, kind_of(&frame)));
                    }
                }
            }
        }
        assert_eq!(frames[0], (true, 0, MessageKind::Control), "the Open: {frames:?}");
        let warm: Vec<_> = frames.iter().filter(|(device, round, _)| *device && *round == 2).collect();
        assert!(!warm.is_empty() && warm.iter().all(|(.., kind)| *kind == MessageKind::Cells), "{frames:?}");
    }

    #[test]
    fn any_bytes_have_a_kind() {
        assert_eq!(kind_of(&[]), MessageKind::Control);
        assert_eq!(kind_of(&[0xff; 9]), MessageKind::Control);
        assert_eq!(kind_of(&[0, 0x85, 1]), MessageKind::Cells);
        assert_eq!(kind_of(&[0x80, 0x02, 0x01]), MessageKind::Control);
        assert_eq!(kind_of(&[0; 600]), MessageKind::Cells);
    }
}
