//! The control stream: Cap'n Proto RPC calls of a connector enter, the answers that make it feel at home leave.
//!
//! Only what cloudflared calls on its `RegistrationServer` is understood (register, unregister, send the local configuration), and
//! every call is granted. Layouts: <https://capnproto.org/encoding.html>, `rpc.capnp` of Cap'n Proto and cloudflared's
//! `tunnelrpc.capnp`. Its bootstrap question stays open: calls are pipelined on it, and nothing else would be asked of it.

use bytes::{Buf as _, Bytes, BytesMut};

/// `Message.call` and `Message.return` in `rpc.capnp`.
const CALL: u16 = 2;
const RETURN: u64 = 3;
/// Methods of `RegistrationServer`.
const REGISTER_CONNECTION: u16 = 0;
const UNREGISTER_CONNECTION: u16 = 1;
/// `connectionDetails` in the union of `ConnectionResponse`.
const CONNECTION_DETAILS: u64 = 1;
/// A word, in bytes: the unit of every layout.
const WORD: usize = 8;

/// Bytes that have come, and belong to messages that are not whole yet.
#[derive(Default)]
pub(super) struct Messages(pub(super) BytesMut);

/// What to say to a call.
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    /// The call was the last: the connector leaves.
    pub(super) leaves: bool,
}

impl Messages {
    /// The answer to the next call that has come whole; other messages need none.
    pub(super) fn next_answer(&mut self) -> Option<Answer> {
        loop {
            let message = self.next_message()?;
            if let Some((question, method)) = message.call() {
                return Some(Answer { bytes: answer(question, method), leaves: method == UNREGISTER_CONNECTION });
            }
        }
    }

    /// A frame is a table of segment sizes in words, padded to a word, and the segments.
    fn next_message(&mut self) -> Option<Message> {
        let number = |at: usize| self.0.get(at * 4..at * 4 + 4).map(|four| four.try_into().map_or(0, u32::from_le_bytes));
        let count = number(0)? as usize + 1;
        let sizes: Vec<usize> = (1..=count).map(|at| Some(number(at)? as usize * WORD)).collect::<Option<_>>()?;
        let table = ((count + 1) * 4).next_multiple_of(WORD);
        let whole = table + sizes.iter().sum::<usize>();
        if self.0.len() < whole {
            return None;
        }
        let mut frame = self.0.split_to(whole).freeze();
        frame.advance(table);
        Some(Message(sizes.iter().map(|size| frame.split_to(*size)).collect()))
    }
}

/// The segments of a message.
struct Message(Vec<Bytes>);

/// A struct in it: where its data begins, in words, and how many words of data it has.
struct Struct {
    segment: usize,
    at: usize,
    data: usize,
}

impl Message {
    /// Question and method, if the message is a call.
    fn call(&self) -> Option<(u32, u16)> {
        let root = self.follow(0, 0);
        let tag = self.word(root.segment, root.at).to_le_bytes();
        if u16::from_le_bytes([tag[0], tag[1]]) != CALL {
            return None;
        }
        let call = self.follow(root.segment, root.at + root.data);
        let [q0, q1, q2, q3, m0, m1, ..] = self.word(call.segment, call.at).to_le_bytes();
        Some((u32::from_le_bytes([q0, q1, q2, q3]), u16::from_le_bytes([m0, m1])))
    }

    /// The struct that a pointer names, in this segment or by a landing pad in another.
    fn follow(&self, segment: usize, at: usize) -> Struct {
        let pointer = self.word(segment, at);
        let low = u32::try_from(pointer & 0xFFFF_FFFF).expect("32 bits");
        match low & 3 {
            0 => {
                let offset = low.cast_signed() >> 2;
                let at = (at + 1).checked_add_signed(offset as isize).expect("a pointer into its segment");
                Struct { segment, at, data: usize::try_from(pointer >> 32 & 0xFFFF).expect("16 bits") }
            }
            2 if low & 4 == 0 => self.follow(usize::try_from(pointer >> 32).expect("32 bits"), (low >> 3) as usize),
            _ => panic!("a pointer to something other than a struct: {pointer:#x}"),
        }
    }

    fn word(&self, segment: usize, at: usize) -> u64 {
        let bytes = self.0.get(segment).and_then(|segment| segment.get(at * WORD..(at + 1) * WORD));
        u64::from_le_bytes(bytes.expect("a word inside of its segment").try_into().expect("eight bytes"))
    }
}

/// The `Return` for a question: details of a connection for a registration, nothing for every other call.
fn answer(question: u32, method: u16) -> Bytes {
    let mut words = vec![
        to_struct(0, 1, 1), // the root: Message
        RETURN,
        to_struct(0, 2, 1), // Message.return
        u64::from(question),
        0,
        to_struct(0, 0, 2), // Return.results: Payload
        0,                  // Payload.content
        0,                  // Payload.capTable
    ];
    if method == REGISTER_CONNECTION {
        words[6] = to_struct(1, 0, 1);
        words.extend([
            to_struct(0, 1, 1), // the result: ConnectionResponse
            CONNECTION_DETAILS,
            to_struct(0, 1, 2), // ConnectionDetails
            0,                  // tunnelIsRemotelyManaged: no
            to_bytes(1, 16),    // uuid
            to_bytes(2, 4),     // locationName
            u64::from_le_bytes(*b"test edg"),
            u64::from_le_bytes(*b"e  uuid."),
            u64::from_le_bytes(*b"TST\0\0\0\0\0"),
        ]);
    }
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&0_u32.to_le_bytes()); // one segment
    frame.extend_from_slice(&u32::try_from(words.len()).expect("a few words").to_le_bytes());
    for word in words {
        frame.extend_from_slice(&word.to_le_bytes());
    }
    frame.freeze()
}

/// A pointer to a struct so many words behind it.
fn to_struct(offset: u64, data: u64, pointers: u64) -> u64 {
    offset << 2 | data << 32 | pointers << 48
}

/// A pointer to a list of bytes so many words behind it.
fn to_bytes(offset: u64, count: u64) -> u64 {
    offset << 2 | 1 | 2 << 32 | count << 35
}
