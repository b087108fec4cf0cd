//! An outbox as people and programs read it.

use std::fmt::{self, Write as _};

use serde::Serialize;
use winze_client::StoreError;
use winze_client::outbox::{OutboxFile, OutboxPeer, SetBack, Shown, key_to_text};

/// All peers of an outbox.
#[derive(Serialize)]
pub(super) struct View {
    peers: Vec<PeerView>,
}

#[derive(Serialize)]
struct PeerView {
    peer: String,
    /// As the specification writes it: `0x4802`.
    extension: String,
    waiting: u64,
    parked: u64,
    /// Given up; the role has yet to take note.
    discarded: u64,
    oldest_waiting_ms: Option<u64>,
    /// This store was set back; not acknowledged.
    set_back: Option<SetBackView>,
    /// The peer's store was; not acknowledged.
    peer_set_back: Option<SetBackView>,
    waiting_requests: Vec<RequestView>,
    parked_requests: Vec<RequestView>,
}

/// Numbers are of requests where this store was set back, of answers where the peer's was.
#[derive(Serialize)]
struct SetBackView {
    noticed_ms_ago: u64,
    /// The highest that the store which was set back has.
    had: u64,
    /// The highest that the other one knows of.
    known: u64,
}

#[derive(Serialize)]
struct RequestView {
    key: String,
    sequence: u64,
    age_ms: u64,
    attempts: u32,
    last_sent_ms_ago: Option<u64>,
    parked_ms_ago: Option<u64>,
    /// Why it is parked, or was last put off.
    reason: Option<String>,
}

/// Reads up to `rows` requests of each peer and state.
pub(super) fn read(outbox: &OutboxFile, rows: usize, now_unix_ms: u64) -> Result<View, StoreError> {
    let ago = |unix_ms: u64| now_unix_ms.saturating_sub(unix_ms);
    let request = |peer: &OutboxPeer, shown: Shown| RequestView {
        key: key_to_text(peer.extension, &shown.key),
        sequence: shown.sequence,
        age_ms: ago(shown.created_unix_ms),
        attempts: shown.attempts,
        last_sent_ms_ago: shown.last_sent_unix_ms.map(ago),
        parked_ms_ago: shown.parked_unix_ms.map(ago),
        reason: shown.error,
    };
    let set_back = |set_back: SetBack| SetBackView {
        noticed_ms_ago: ago(set_back.noticed_unix_ms),
        had: set_back.had,
        known: set_back.known,
    };
    let peers = outbox
        .peers()?
        .into_iter()
        .map(|peer| {
            let waiting = outbox.waiting(&peer, rows)?.into_iter();
            let parked = outbox.parked(&peer, rows)?.into_iter();
            Ok(PeerView {
                waiting: peer.backlog.waiting,
                parked: peer.backlog.parked,
                discarded: peer.discarded,
                oldest_waiting_ms: peer.backlog.oldest_unix_ms.map(ago),
                set_back: peer.backlog.set_back.map(set_back),
                peer_set_back: peer.backlog.peer_set_back.map(set_back),
                waiting_requests: waiting.map(|shown| request(&peer, shown)).collect(),
                parked_requests: parked.map(|shown| request(&peer, shown)).collect(),
                extension: format!("{:#06x}", peer.extension),
                peer: peer.peer,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(View { peers })
}

impl View {
    /// One line.
    pub(super) fn to_json(&self) -> String {
        // Strings and numbers alone: they always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.peers.is_empty() {
            return f.write_str("nothing was ever asked");
        }
        for (index, peer) in self.peers.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(
                f,
                "{} ({}): {} waiting, {} parked",
                peer.peer, peer.extension, peer.waiting, peer.parked
            )?;
            if let Some(oldest_ms) = peer.oldest_waiting_ms {
                write!(f, ", the oldest waits for {}", Span(oldest_ms))?;
            }
            if peer.discarded > 0 {
                write!(
                    f,
                    "; {} given up, of which the role has yet to take note",
                    peer.discarded
                )?;
            }
            if let Some(SetBackView {
                noticed_ms_ago,
                had,
                known,
            }) = &peer.set_back
            {
                write!(
                    f,
                    "\n  this store was set back, noticed {} ago: its last request was number {had}, and the peer has \
                     answered number {known}; what was asked between is forgotten here",
                    Span(*noticed_ms_ago)
                )?;
            }
            if let Some(SetBackView {
                noticed_ms_ago,
                had,
                known,
            }) = &peer.peer_set_back
            {
                write!(
                    f,
                    "\n  the peer's store was set back, noticed {} ago: its last answer was number {had}, and number \
                     {known} is recorded here; what it has forgotten is asked again as far as it is still here",
                    Span(*noticed_ms_ago)
                )?;
            }
            requests(f, "waiting", &peer.waiting_requests, peer.waiting)?;
            requests(f, "parked", &peer.parked_requests, peer.parked)?;
        }
        Ok(())
    }
}

fn requests(
    f: &mut fmt::Formatter<'_>,
    state: &str,
    shown: &[RequestView],
    of: u64,
) -> fmt::Result {
    for request in shown {
        write!(
            f,
            "\n  {state} {} made {} ago, sent {}",
            request.key,
            Span(request.age_ms),
            Times(request.attempts)
        )?;
        if let Some(ms) = request.last_sent_ms_ago {
            write!(f, ", last {} ago", Span(ms))?;
        }
        if let Some(ms) = request.parked_ms_ago {
            write!(f, ", parked {} ago", Span(ms))?;
        }
        if let Some(reason) = &request.reason {
            write!(f, ": {}", Words(reason))?;
        }
    }
    let more = of.saturating_sub(shown.len() as u64);
    if more > 0 {
        write!(f, "\n  ... and {more} more {state} (--rows)")?;
    }
    Ok(())
}

/// A length of time in the largest unit that it fills.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms < 1_000 => write!(f, "{ms} ms"),
            ms if ms < 120_000 => write!(f, "{} s", ms / 1_000),
            ms if ms < 7_200_000 => write!(f, "{} min", ms / 60_000),
            ms if ms < 172_800_000 => write!(f, "{} h", ms / 3_600_000),
            ms => write!(f, "{} days", ms / 86_400_000),
        }
    }
}

/// A peer's words: they must not do to the terminal anything but show text.
struct Words<'a>(&'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter.is_control() {
                true => write!(f, "{}", letter.escape_unicode())?,
                false => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

struct Times(u32);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("not yet"),
            1 => f.write_str("once"),
            times => write!(f, "{times} times"),
        }
    }
}
