//! From the words of the command line to values.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::{RestoreChoice, Rewind};

const NO_ADDRESS: &str = "want HOST:PORT, for example 127.0.0.1:6123";

/// An argument of the program.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("want NAME=VALUE, for example input=book.txt".to_owned()),
    }
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    host_and_port(text)?;
    let found = text
        .to_socket_addrs()
        .map_err(|error| format!("look up the host: {error}"))?;
    // `localhost` is often both ::1 and 127.0.0.1; the latter is what the defaults mean.
    let all: Vec<SocketAddr> = found.collect();
    let first = all
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| all.first());
    first
        .copied()
        .ok_or_else(|| "the host has no address".to_owned())
}

/// An address to dial; it is looked up each time, as it may move.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or(NO_ADDRESS)?;
    let fine = !host.is_empty() && port.parse::<u16>().is_ok() && !text.contains('/');
    if fine {
        Ok(text.to_owned())
    } else {
        Err(NO_ADDRESS.to_owned())
    }
}

/// Which state a job starts with.
pub(super) fn restore(text: &str) -> Result<RestoreChoice, String> {
    match text {
        "" => Err("want `latest`, `none` or the folder of a checkpoint or savepoint".to_owned()),
        "latest" => Ok(RestoreChoice::Latest),
        "none" => Ok(RestoreChoice::None),
        path => Ok(RestoreChoice::Path(path.to_owned())),
    }
}

/// Where a store is: a folder or a URI. What it may be is for the store to say.
pub(super) fn location(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("want a folder or s3://BUCKET/PREFIX".to_owned());
    }
    Ok(text.to_owned())
}

/// The name of an operation.
pub(super) fn operation(text: &str) -> Result<String, String> {
    weir_rest::check_operation(text)?;
    Ok(text.to_owned())
}

/// A wish to go back, and its name if it has one.
pub(super) fn rewind(text: &str) -> Result<Rewind, String> {
    let name = (!text.is_empty()).then(|| operation(text)).transpose()?;
    Ok(Rewind { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_split_at_its_first_equals_sign() {
        let parsed = |text| assignment(text).ok();
        assert_eq!(parsed("a=b=c"), Some(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parsed("a="), Some(("a".to_owned(), String::new())));
        assert_eq!((parsed("a"), parsed("=b")), (None, None));
    }

    #[test]
    fn an_address_needs_host_and_port() {
        for text in ["6123", ":6123", "host:", "host:70000", "http://host:80"] {
            assert!(
                host_and_port(text).is_err() && address(text).is_err(),
                "{text}"
            );
        }
        assert_eq!(address("localhost:0"), Ok(([127, 0, 0, 1], 0).into()));
        assert_eq!(host_and_port("[::1]:80").as_deref(), Ok("[::1]:80"));
    }

    #[test]
    fn a_folder_named_like_a_word_of_ours_is_reached_with_a_dot() {
        assert_eq!(restore("latest"), Ok(RestoreChoice::Latest));
        assert_eq!(restore("none"), Ok(RestoreChoice::None));
        for path in ["./latest", "/state/job/savepoint-1-4", "s3://b/job/chk-1-2"] {
            assert_eq!(restore(path), Ok(RestoreChoice::Path(path.to_owned())));
        }
        assert!(restore("").is_err());
    }
}
