//! One borsh value in each direction of a stream, its length first and bounded before a byte of it is read.

use async_trait::async_trait;
use borsh::{BorshDeserialize, BorshSerialize};
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{StreamProtocol, request_response};
use std::io;
use std::marker::PhantomData;

/// Reads and writes requests `Q` and responses `R`.
#[derive(Debug)]
pub struct FrameCodec<Q, R> {
    request_bytes_max: u32,
    response_bytes_max: u32,
    types: PhantomData<fn() -> (Q, R)>,
}

impl<Q, R> FrameCodec<Q, R> {
    /// A codec that refuses requests and responses over these many bytes.
    #[must_use]
    pub fn new(request_bytes_max: u32, response_bytes_max: u32) -> Self {
        Self { request_bytes_max, response_bytes_max, types: PhantomData }
    }
}

impl<Q, R> Clone for FrameCodec<Q, R> {
    fn clone(&self) -> Self {
        Self::new(self.request_bytes_max, self.response_bytes_max)
    }
}

#[async_trait]
impl<Q, R> request_response::Codec for FrameCodec<Q, R>
where
    Q: BorshSerialize + BorshDeserialize + Send + Sync + 'static,
    R: BorshSerialize + BorshDeserialize + Send + Sync + 'static,
{
    type Protocol = StreamProtocol;
    type Request = Q;
    type Response = R;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Q>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, self.request_bytes_max).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<R>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, self.response_bytes_max).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, value: Q) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &value, self.request_bytes_max).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, value: R) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &value, self.response_bytes_max).await
    }
}

async fn read_frame<V: BorshDeserialize>(
    io: &mut (impl AsyncRead + Unpin + Send),
    bytes_max: u32,
) -> io::Result<V> {
    let mut length = [0u8; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length);
    if length > bytes_max {
        return Err(too_long(length as usize, bytes_max));
    }
    // Grown as bytes arrive: a peer that only announces a length gets no memory for it.
    let mut frame = Vec::new();
    io.take(u64::from(length)).read_to_end(&mut frame).await?;
    if frame.len() != length as usize {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the frame ends early"));
    }
    borsh::from_slice(&frame).map_err(|error| encoding(&error))
}

async fn write_frame(
    io: &mut (impl AsyncWrite + Unpin + Send),
    value: &impl BorshSerialize,
    bytes_max: u32,
) -> io::Result<()> {
    let frame = borsh::to_vec(value).map_err(|error| encoding(&error))?;
    let length = u32::try_from(frame.len())
        .ok()
        .filter(|length| *length <= bytes_max)
        .ok_or_else(|| too_long(frame.len(), bytes_max))?;
    io.write_all(&length.to_le_bytes()).await?;
    io.write_all(&frame).await?;
    io.flush().await
}

fn encoding(error: &impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

fn too_long(length: usize, bytes_max: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a frame of {length} bytes is over the limit of {bytes_max}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    async fn check(frame: &[u8], bytes_max: u32) -> Result<Vec<u8>, io::ErrorKind> {
        read_frame::<Vec<u8>>(&mut Cursor::new(frame), bytes_max).await.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn frames_are_bounded_whole_and_without_a_rest() {
        let mut good = Vec::new();
        write_frame(&mut good, &vec![7u8, 8], 64).await.unwrap();
        assert_eq!(check(&good, 64).await, Ok(vec![7, 8]));
        assert_eq!(check(&good, 5).await, Err(io::ErrorKind::InvalidData));
        assert_eq!(check(&good[..7], 64).await, Err(io::ErrorKind::UnexpectedEof));
        let mut rest = good.clone();
        rest[0] += 1;
        rest.push(0);
        assert_eq!(check(&rest, 64).await, Err(io::ErrorKind::InvalidData));
        assert!(write_frame(&mut Vec::new(), &vec![0u8; 65], 64).await.is_err());
    }
}
