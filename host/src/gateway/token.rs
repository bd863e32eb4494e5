//! The host's token: a client that has it may call the root of every vat.
//!
//! Promises: 32 random bytes from the operating system, in hex, in a file that only its owner can
//! read, made once; `Debug` does not show it; the time of a comparison does not depend on where the
//! texts differ. Does not know HTTP.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// The token's file in the store's folder.
pub const TOKEN_NAME: &str = "token";

/// The file's name until it is complete.
const NEW_NAME: &str = "token.new";

const SECRET_BYTES: usize = 32;

/// Characters of a token that a person wrote: few enough to send, and too many to guess.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 32..=256;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("the token {} cannot be {verb}: {source}", path.display())]
pub struct TokenError {
    path: PathBuf,
    verb: &'static str,
    source: io::Error,
}

/// The secret.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads the token, or makes it. The caller holds the store's lock.
    pub fn provide(dir: &Path) -> Result<Token, TokenError> {
        let path = dir.join(TOKEN_NAME);
        let (read, verb) = match File::open(&path) {
            Ok(file) => (read(file), "used"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (make(dir), "made"),
            Err(error) => (Err(error), "read"),
        };
        read.map_err(|source| TokenError { path, verb, source })
    }

    /// Whether this is the token.
    pub fn is(&self, offered: &str) -> bool {
        // The length is no secret. Every byte is looked at, whichever differ.
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }

    /// The secret itself, for the link that is shown to the owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn read(file: File) -> io::Result<Token> {
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        let why = format!("others may read it (mode {:o}): chmod 600", mode & 0o777);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut text = String::new();
    file.take(*TOKEN_CHARS.end() as u64 + 2)
        .read_to_string(&mut text)?;
    let text = text.trim_end_matches(['\r', '\n']);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !TOKEN_CHARS.contains(&text.len()) || !text.chars().all(plain) {
        let why =
            format!("it is not {TOKEN_CHARS:?} of A-Z a-z 0-9 - _; remove it to get a new one");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(Token(text.to_owned()))
}

fn make(dir: &Path) -> io::Result<Token> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = dir.join(NEW_NAME);
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(token.as_bytes())?;
    // Without this sync a power cut could leave an empty file under the final name.
    file.sync_all()?;
    fs::rename(&new, dir.join(TOKEN_NAME))?;
    File::open(dir)?.sync_all()?;
    Ok(Token(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Token::provide(dir.path()).expect("makes it");
        let again = Token::provide(dir.path()).expect("reads it");
        assert_eq!(first.reveal(), again.reveal());
        assert_eq!(first.reveal().len(), 64);
        let mode = fs::metadata(dir.path().join(TOKEN_NAME))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let elsewhere = tempfile::tempdir().expect("a folder");
        let other = Token::provide(elsewhere.path()).expect("makes it");
        assert_ne!(first.reveal(), other.reveal());
    }

    #[test]
    fn only_the_token_is_the_token() {
        let dir = tempfile::tempdir().expect("a folder");
        let token = Token::provide(dir.path()).expect("makes it");
        let right = token.reveal().to_owned();
        assert!(token.is(&right));
        let longer = format!("{right}0");
        let mut flipped = right.clone();
        flipped.replace_range(63..64, if right.ends_with('0') { "1" } else { "0" });
        for wrong in ["", &right[..63], &longer, &flipped] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(&right));
    }

    #[test]
    fn a_token_others_can_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        Token::provide(dir.path()).expect("makes it");
        let path = dir.path().join(TOKEN_NAME);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changes it");
        assert!(
            Token::provide(dir.path())
                .expect_err("refused")
                .to_string()
                .contains("chmod 600")
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changes it");
        for bad in [
            "",
            "short",
            &"x".repeat(5000),
            &format!("{}é", "x".repeat(40)),
        ] {
            fs::write(&path, bad).expect("writes");
            assert!(Token::provide(dir.path()).is_err(), "{bad}");
        }
    }
}
