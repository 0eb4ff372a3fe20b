//! A subscriber that does as little as it can: a thousand of them must not be what is measured.
//!
//! It takes a message's event number from its first bytes, and reads no more of it.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prost::{Message as _, bytes::Buf as _};
use tokio::task::JoinHandle;
use tonic::{
    Request, Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};
use watchbell_client::pb;

use crate::calls::Client;

/// An event that has come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) sequence: i64,
    pub(crate) at: Timestamp,
}

/// Follows all runs. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Subscriber {
    received: Arc<Mutex<Vec<Received>>>,
    reads: JoinHandle<()>,
}

impl Subscriber {
    pub(crate) async fn start(client: &Client) -> anyhow::Result<Self> {
        let mut grpc = tonic::client::Grpc::new(client.channel.clone());
        grpc.ready().await?;
        let request = pb::WatchRunsRequest {
            skip_snapshot: true,
            ..Default::default()
        };
        let path = PathAndQuery::from_static("/watchbell.v1.RunService/WatchRuns");
        let answer = grpc
            .server_streaming(Request::new(request), path, Numbers)
            .await?;
        let mut feed = answer.into_inner();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = received.clone();
        let reads = tokio::spawn(async move {
            while let Ok(Some(number)) = feed.message().await {
                let Some(sequence) = number else { continue };
                let at = Timestamp::now();
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Received { sequence, at });
            }
        });
        Ok(Self { received, reads })
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The event of this number, where it has come in.
    pub(crate) fn find(&self, sequence: i64) -> Option<Received> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received
            .iter()
            .rev()
            .find(|received| received.sequence == sequence)
            .copied()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.reads.abort();
    }
}

/// Requests as they are; of answers, the event's number.
#[derive(Clone, Copy, Debug)]
struct Numbers;

impl Codec for Numbers {
    type Encode = pb::WatchRunsRequest;
    type Decode = Option<i64>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        *self
    }

    fn decoder(&mut self) -> Self::Decoder {
        *self
    }
}

impl Encoder for Numbers {
    type Item = pb::WatchRunsRequest;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Numbers {
    type Item = Option<i64>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let mut head = [0; 16];
        let whole = buffer.remaining();
        let count = whole.min(head.len());
        buffer.copy_to_slice(&mut head[..count]);
        buffer.advance(whole - count);
        Ok(Some(number_in(&head[..count])))
    }
}

/// The number of the event that a WatchRunsResponse begins with: field 3, and in it field 1.
fn number_in(message: &[u8]) -> Option<i64> {
    let rest = message.strip_prefix(&[3 << 3 | 2])?;
    let (_, rest) = varint(rest)?;
    let rest = rest.strip_prefix(&[1 << 3])?;
    let (number, _) = varint(rest)?;
    i64::try_from(number).ok()
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use pb::watch_runs_response::Message;

    use super::*;

    #[test]
    fn the_number_of_an_event_is_found_and_nothing_else_is_taken_for_one() {
        let message = |message| pb::WatchRunsResponse {
            message: Some(message),
            resume_token: "1.a.b.c.7".to_owned(),
        };
        let event = pb::RunEvent {
            sequence: 123_456_789,
            run: Some(pb::Run::default()),
            ..Default::default()
        };
        let encoded = message(Message::Event(event)).encode_to_vec();
        assert_eq!(number_in(&encoded), Some(123_456_789));
        let beat = message(Message::Heartbeat(pb::Heartbeat::default())).encode_to_vec();
        assert_eq!(number_in(&beat), None);
        assert_eq!(number_in(&[]), None);
    }
}
