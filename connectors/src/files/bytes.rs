//! The bytes of one file, pinned to the content the listing saw, decompressed on the way.
//!
//! Knows stores and compression; knows nothing of rows.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{GetOptions, GetRange};

use super::failure;
use super::format::Compression;
use super::listing::Found;
use super::place::{self, Place};
use crate::error::{Error, Result};

/// Bytes of a file, in order.
pub(super) type ByteStream = BoxStream<'static, Result<Bytes>>;

/// How much compressed input is taken at once, in bytes: what bounds the output of one step.
const INPUT_STEP: usize = 16 * 1024;

/// A request for a file that fails when its content is not the pinned one any more.
pub(super) fn request(file: &Found, range: Option<GetRange>) -> GetOptions {
    GetOptions {
        if_match: file.meta.e_tag.clone(),
        range,
        ..GetOptions::default()
    }
}

/// Whether the content is still the pinned one, for stores that do not check it themselves on every read.
pub(super) async fn unchanged(place: &Place, file: &Found) -> Result<()> {
    match place.head(&file.meta.location).await? {
        Some(meta) if place::pin(&meta) == file.pin() => Ok(()),
        _ => Err(failure::changed(&file.path)),
    }
}

/// Reads a file whole. The stream ends with an error when the file changed in the meantime.
pub(super) async fn open(
    place: &Arc<Place>,
    file: &Found,
    compression: Compression,
) -> Result<ByteStream> {
    let got = place
        .store
        .get_opts(&file.meta.location, request(file, None))
        .await
        .map_err(|error| failure::of_store(error, &file.path))?;
    if place::pin(&got.meta) != file.pin() {
        return Err(failure::changed(&file.path));
    }
    let path = file.path.clone();
    let body = got
        .into_stream()
        .map_err(move |error| failure::of_store(error, &path));
    let (place, pinned) = (Arc::clone(place), file.clone());
    let check =
        stream::once(async move { unchanged(&place, &pinned).await.map(|()| Bytes::new()) });
    let whole = body.chain(check).boxed();
    match compression {
        Compression::None => Ok(whole),
        _ => Ok(decompressed(whole, compression, file.path.clone())?),
    }
}

enum Inflate {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
}

impl Inflate {
    fn push(&mut self, input: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => {
                decoder.write_all(input)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Self::Zstd(decoder) => {
                decoder.write_all(input)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    /// What is left; fails when the input broke off.
    fn end(&mut self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Self::Zstd(decoder) => {
                decoder.do_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

struct Inflating {
    input: ByteStream,
    pending: Bytes,
    inflate: Option<Inflate>,
    file: String,
}

fn decompressed(input: ByteStream, compression: Compression, file: String) -> Result<ByteStream> {
    let inflate = match compression {
        Compression::Zstd => {
            let decoder = zstd::stream::write::Decoder::new(Vec::new())
                .map_err(|error| broken(&file, error))?;
            Inflate::Zstd(Box::new(decoder))
        }
        _ => Inflate::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
    };
    let state = Inflating {
        input,
        pending: Bytes::new(),
        inflate: Some(inflate),
        file,
    };
    Ok(stream::try_unfold(state, Inflating::step).boxed())
}

impl Inflating {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            if self.pending.is_empty() {
                match self.input.try_next().await? {
                    Some(more) => self.pending = more,
                    None => return self.last(),
                }
            }
            let Some(inflate) = &mut self.inflate else {
                return Ok(None);
            };
            let input = self.pending.split_to(self.pending.len().min(INPUT_STEP));
            let output = inflate
                .push(&input)
                .map_err(|error| broken(&self.file, error))?;
            if !output.is_empty() {
                return Ok(Some((output.into(), self)));
            }
        }
    }

    fn last(mut self) -> Result<Option<(Bytes, Self)>> {
        let Some(mut inflate) = self.inflate.take() else {
            return Ok(None);
        };
        let output = inflate.end().map_err(|error| broken(&self.file, error))?;
        Ok(Some((output.into(), self)))
    }
}

fn broken(file: &str, error: std::io::Error) -> Error {
    failure::bad_data(
        "the file cannot be decompressed: it is damaged or cut short",
        file,
    )
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn inflate(data: &[u8], compression: Compression) -> Result<Vec<u8>> {
        let chunks: Vec<Result<Bytes>> = data
            .chunks(7)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let input = stream::iter(chunks).boxed();
        let output: Vec<Bytes> = decompressed(input, compression, "f".to_owned())?
            .try_collect()
            .await?;
        Ok(output.concat())
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn members_and_frames_follow_each_other() {
        let gz = [gzip("one\n"), gzip("two\n")].concat();
        assert_eq!(
            inflate(&gz, Compression::Gzip).await.unwrap(),
            b"one\ntwo\n"
        );
        let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        let zst = [frame("one\n"), frame("two\n")].concat();
        assert_eq!(
            inflate(&zst, Compression::Zstd).await.unwrap(),
            b"one\ntwo\n"
        );
    }

    #[tokio::test]
    async fn a_file_cut_short_is_an_error() {
        let gz = gzip("a row that is long enough to be cut\n");
        assert!(
            inflate(&gz[..gz.len() - 9], Compression::Gzip)
                .await
                .is_err()
        );
        let zst = zstd::encode_all(&b"a row that is long enough to be cut\n"[..], 1).unwrap();
        assert!(
            inflate(&zst[..zst.len() - 3], Compression::Zstd)
                .await
                .is_err()
        );
    }
}
