//! Messages of which a part is encoded once for all who get them.

use std::sync::Arc;

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut},
    encoding::{DecodeContext, WireType},
};

/// A message whose first fields are encoded already, and shared; the others are its own.
///
/// That is what the message would be in whole, since [fields may come in any order, and a message's
/// bytes may be those of two, one after the other](https://protobuf.dev/programming-guides/encoding/#last-one-wins).
#[derive(Clone, Debug, Default)]
pub struct Shared<M> {
    shared: Option<Arc<[u8]>>,
    own: M,
}

impl<M> Shared<M> {
    pub(super) fn new(shared: Arc<[u8]>, own: M) -> Self {
        Self {
            shared: Some(shared),
            own,
        }
    }

    /// A message that shares nothing.
    pub(super) fn own(own: M) -> Self {
        Self { shared: None, own }
    }
}

impl<M: Message> Message for Shared<M> {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if let Some(shared) = &self.shared {
            buffer.put_slice(shared);
        }
        self.own.encode_raw(buffer);
    }

    fn encoded_len(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.len()) + self.own.encoded_len()
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.own.merge_field(tag, wire_type, buffer, context)
    }

    fn clear(&mut self) {
        self.shared = None;
        self.own.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{Heartbeat, WatchRunsResponse, watch_runs_response};

    #[test]
    fn what_is_shared_and_what_is_not_make_one_message() {
        let whole = WatchRunsResponse {
            message: Some(watch_runs_response::Message::Heartbeat(Heartbeat {
                time: Some(prost_types::Timestamp {
                    seconds: 1_800_000_000,
                    nanos: 7,
                }),
                ..Heartbeat::default()
            })),
            resume_token: "1.a.b.c.7".to_owned(),
        };
        let part = WatchRunsResponse {
            resume_token: String::new(),
            ..whole.clone()
        };
        let own = WatchRunsResponse {
            message: None,
            ..whole.clone()
        };

        let shared = Shared::new(part.encode_to_vec().into(), own);

        assert_eq!(shared.encoded_len(), whole.encoded_len());
        let read = WatchRunsResponse::decode(&*shared.encode_to_vec()).unwrap();
        assert_eq!(read, whole);
        let alone = Shared::own(whole.clone());
        assert_eq!(alone.encode_to_vec(), whole.encode_to_vec());
    }
}
