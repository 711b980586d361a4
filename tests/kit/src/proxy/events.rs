//! What a watch says, event by event.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use kube::client::Body;

use super::{Asked, Broken, Shared, rules::Fault, status};

/// How far a watch got.
enum State<S> {
    /// It goes on.
    Open(S, BytesMut),
    /// It breaks now.
    Breaking,
    /// It has ended.
    Ended,
}

/// The same body with what rules do to its events.
pub(super) fn body(
    shared: Arc<Shared>,
    asked: Asked,
    body: Body,
) -> StreamBody<impl Stream<Item = Result<Frame<Bytes>, Broken>>> {
    let source = Box::pin(body.into_data_stream());
    let events = stream::unfold(State::Open(source, BytesMut::new()), move |state| {
        let (shared, asked) = (shared.clone(), asked.clone());
        async move {
            let (mut source, mut rest) = match state {
                State::Open(source, rest) => (source, rest),
                State::Breaking => return Some((Err(Broken), State::Ended)),
                State::Ended => return None,
            };
            let line = match line(&mut source, &mut rest).await? {
                Ok(line) => line,
                Err(broken) => return Some((Err(broken), State::Ended)),
            };
            match shared.rules.take(&asked, true) {
                // Somewhere in the middle of an event, as connections do.
                Some(Fault::Cut) => {
                    return Some((Ok(line.slice(..line.len() / 2)), State::Breaking));
                }
                Some(Fault::Expire) => {
                    let gone = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status(410));
                    return Some((Ok(gone.into()), State::Ended));
                }
                Some(Fault::Hold(gate)) => gate.opened().await,
                _ => {}
            }
            Some((Ok(line), State::Open(source, rest)))
        }
    });
    StreamBody::new(events.map(|line| line.map(Frame::data)))
}

/// The next whole line: an event may come in several pieces.
async fn line<E>(
    source: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    rest: &mut BytesMut,
) -> Option<Result<Bytes, Broken>> {
    loop {
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            return Some(Ok(rest.split_to(end + 1).freeze()));
        }
        match source.next().await? {
            Ok(piece) => rest.extend_from_slice(&piece),
            Err(_) => return Some(Err(Broken)),
        }
    }
}
