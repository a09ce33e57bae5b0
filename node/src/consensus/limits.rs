//! The named limits of consensus: every list, message and queue that a peer can fill is bounded here.

use std::time::Duration;

/// The most members a federation has.
pub const MEMBERS_MAX: usize = 128;

/// The largest block body, in bytes. A body with its certificate fits into one answer of value sync.
pub const BODY_BYTES_MAX: usize = 2 << 20;

/// The size of one part of a body, in bytes; only the last may be smaller.
pub const PART_BYTES: usize = 128 << 10;

/// The most messages of one stream: the opening, the body's parts, the closing.
pub const STREAM_PARTS_MAX: u64 = (BODY_BYTES_MAX.div_ceil(PART_BYTES) + 2) as u64;

/// The longest stream id, in bytes.
pub const STREAM_ID_BYTES_MAX: usize = 64;

/// How many streams of one publisher are followed at a time.
pub const STREAMS_PER_PEER_MAX: usize = 4;

/// How many publishers' streams are followed at a time.
pub const STREAMS_MAX: usize = STREAMS_PER_PEER_MAX * MEMBERS_MAX;

/// After this time a stream is forgotten, complete or not.
pub const STREAM_AGE_MAX: Duration = Duration::from_secs(60);

/// How far above the next height a proposal is kept until its turn.
pub const PENDING_HEIGHTS_AHEAD_MAX: u64 = 4;

/// How many whole proposals of one publisher wait for their height.
pub const PENDING_PER_PEER_MAX: usize = 2;

/// How many whole proposals wait for their height in all (32 MiB of bodies at most).
pub const PENDING_MAX: usize = 16;

/// How many distinct blocks of one (height, round) are judged: a proposer that sends more has been caught signing two.
pub const PROPOSALS_PER_ROUND_MAX: usize = 2;

/// How many rounds ahead of this member's own a proposal's missing parts are asked for: every member is the rightful proposer of
/// some round, and rounds have no end.
pub const ROUNDS_AHEAD_MAX: u32 = 8;

/// The largest signed vote or proposal on the wire, in bytes.
pub const VOTE_BYTES_MAX: usize = 512;

/// The largest liveness message (a certificate with a signature of every member), in bytes.
pub const LIVENESS_BYTES_MAX: usize = 64 << 10;

/// The largest stream message: a part and its frame, in bytes.
pub const PART_MESSAGE_BYTES_MAX: usize = PART_BYTES + 1024;

/// The largest gossip message of any topic, in bytes.
pub const GOSSIP_BYTES_MAX: usize = 1 << 20;

/// The largest status, request or proof, in bytes.
pub const SMALL_MESSAGE_BYTES_MAX: usize = 512;

/// How many heights one request of value sync may span.
pub const SYNC_HEIGHTS_MAX: usize = 16;

/// The largest answer of value sync, in bytes.
pub const SYNC_RESPONSE_BYTES_MAX: usize = 3 << 20;

/// How long an answer of value sync may take before another peer is asked.
pub const SYNC_REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// The largest message of the engine's request-response protocol, in bytes.
pub const RPC_BYTES_MAX: usize = 4 << 20;

/// The signatures remembered as verified (32 bytes each, twice).
pub const VERIFIED_SIGNATURES_MAX: usize = 8_192;

/// How many votes with a wrong signature are looked at per second while the node pauses; the rest is dropped unread.
pub const VOTE_FAILURES_PER_SECOND_MAX: u32 = 64;

/// How long one question to the peers for a missing body takes before it is asked again.
pub const BODY_FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the parts of a proposed body may take before the whole of it is asked for.
pub const MISSING_PAUSE: Duration = Duration::from_millis(150);

/// How long the members may take to give it.
pub const MISSING_FETCH_TIMEOUT: Duration = Duration::from_millis(500);

/// How often it is asked for.
pub const MISSING_ATTEMPTS_MAX: u32 = 3;

/// How many proposals wait for the host to look at them.
pub const NOTICES_MAX: usize = 64;

/// How long the application may stay unable to judge a decided block before the node gives up.
pub const DECIDED_JUDGE_ATTEMPTS_MAX: u32 = 20;

/// How long the engine may take to listen before the start counts as failed.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the engine may outlive its channel before it counts as hung on a safety failure.
pub const SAFETY_HANG_DELAY: Duration = Duration::from_secs(5);
